//! A global allocator that counts, and that fails when told to: for the calling thread alone.
//!
//! While a panic unwinds it never fails: the panic machinery of the standard library ends the process then.
#![allow(dead_code)] // as in the module beside it

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

pub struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    /// How many more allocations succeed; `usize::MAX`: all.
    static LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
    /// After the first that fails, all do.
    static FOR_EVER: Cell<bool> = const { Cell::new(false) };
    static FAILED: Cell<usize> = const { Cell::new(0) };
    /// Bytes that this thread has allocated, less what it has freed.
    static LIVE_HERE: Cell<usize> = const { Cell::new(0) };
}

/// Bytes that are allocated, by all threads.
static LIVE: AtomicUsize = AtomicUsize::new(0);

fn count(new: usize, old: usize) {
    LIVE.fetch_add(new.wrapping_sub(old), Relaxed);
    LIVE_HERE.set(LIVE_HERE.get().wrapping_add(new.wrapping_sub(old)));
}

fn fails() -> bool {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
    match LEFT.get() {
        usize::MAX => false,
        _ if std::thread::panicking() => false,
        0 => {
            if !FOR_EVER.get() {
                LEFT.set(usize::MAX);
            }
            FAILED.set(FAILED.get() + 1);
            true
        }
        left => {
            LEFT.set(left - 1);
            false
        }
    }
}

// SAFETY: all is the system's allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fails() {
            return ptr::null_mut();
        }
        count(layout.size(), 0);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(0, layout.size());
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if fails() {
            return ptr::null_mut();
        }
        count(size, layout.size());
        unsafe { System.realloc(block, layout, size) }
    }
}

/// How often `body` allocates or resizes on this thread.
pub fn allocations(body: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    body();
    ALLOCATIONS.get() - before
}

/// Bytes that are allocated now, by all threads.
pub fn live() -> usize {
    LIVE.load(Relaxed)
}

/// Bytes that this thread has allocated, less what it has freed: only differences mean something.
pub fn live_here() -> usize {
    LIVE_HERE.get()
}

/// From here on, `after` allocations of this thread succeed and the next one fails; `for_ever`: all after it, too.
pub fn fail(after: usize, for_ever: bool) {
    FOR_EVER.set(for_ever);
    LEFT.set(after);
}

/// Nothing fails any more. Returns how many more would have succeeded before the one that is to fail, which has not
/// been reached then; `None` if it has.
pub fn succeed() -> Option<usize> {
    let left = LEFT.replace(usize::MAX);
    (left != usize::MAX && left != 0).then_some(left)
}

/// How many allocations of this thread were made to fail.
pub fn failed() -> usize {
    FAILED.get()
}

/// Does an operation once more that was refused, with more on the stack: were anything of the caller's saved by now, it would come back to
/// frames that are gone.
#[inline(never)]
pub fn from_below<T>(operation: impl FnOnce() -> T) -> T {
    let room = black_box([0x5a5a_usize; 60]);
    let result = operation();
    assert_eq!(black_box(room), [0x5a5a; 60]);
    result
}
