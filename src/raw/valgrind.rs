//! Valgrind's memcheck: what it knows of the stack stays with the greenlet.
//!
//! Of each byte memcheck knows whether it may be touched, and of each bit whether it has a value (*V bits*). It learns of a stack by the
//! stack pointer: what is pushed may be touched and has no value, what is popped may not be touched. A jump from one greenlet
//! to another looks like a great push or pop, or, between two stacks, like nothing at all. So
//!
//! ```text
//!   stop    ─┐
//!            │  in place: it is all there, but whoever ran meanwhile has
//!            │  pushed and popped over it, or so it looks.         ──leave──►  `Kept`: its V bits
//!   start +  │                                                     ◄──put────  (and, before it is
//!   saved   ─┤                                                                  saved or read, `take`, `show`)
//!            │  saved: copied to the buffer, V bits and all, as every copy is
//!   start   ─┤
//!            │  below: may be touched from `leave` on, far enough for the callback to be called
//!   - PAD   ─┘
//! ```
//!
//! Stacks that are added are registered, so that a jump between two of them is seen to be one.
//!
//! Memcheck is spoken to by a sequence of instructions that does nothing on a processor, and that valgrind knows. Source: `valgrind.h` and
//! `memcheck.h`, in the manual *Client requests*. Where memory for the V bits runs out, the program ends: nobody ships this.

use super::{Greenlet, Stack};
use core::ffi::c_void;
use core::ptr;

/// So much below the stack pointer is declared usable before a jump: what the ABI has reserved for callees, and the red zone that
/// memcheck keeps below a stack pointer.
const PAD: usize = 512;

/// Requests of valgrind's own, and of memcheck's.
const STACK_REGISTER: usize = 0x1501;
#[cfg(feature = "std")]
const STACK_DEREGISTER: usize = 0x1502;
const MEMCHECK: usize = (b'M' as usize) << 24 | (b'C' as usize) << 16;
const MAKE_UNDEFINED: usize = MEMCHECK + 1;
const MAKE_DEFINED: usize = MEMCHECK + 2;
const GET_VBITS: usize = MEMCHECK + 8;
const SET_VBITS: usize = MEMCHECK + 9;

/// What [`GET_VBITS`] and [`SET_VBITS`] answer when all went well. Without valgrind every request answers 0.
const DONE: usize = 1;

unsafe extern "C" {
    // The C library's, which valgrind needs in any case; the engine itself may be without an allocator.
    fn realloc(block: *mut c_void, size: usize) -> *mut c_void;
    fn free(block: *mut c_void);
    fn abort() -> !;
}

/// Asks valgrind for something.
///
/// # Safety
///
/// As for the request. Without valgrind nothing happens.
unsafe fn request(what: usize, a: usize, b: usize, c: usize) -> usize {
    let words = [what, a, b, c, 0, 0];
    let answer;
    // SAFETY: four rotations by 128 in all, and an exchange of a register with itself: only the flags change.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        core::arch::asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") &words,
            inout("rdx") 0usize => answer,
            options(nostack),
        );
    }
    // SAFETY: the same: rotations by 128 in all, and a register that becomes itself.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        core::arch::asm!(
            "ror x12, x12, #3",
            "ror x12, x12, #13",
            "ror x12, x12, #51",
            "ror x12, x12, #61",
            "orr x10, x10, x10",
            inout("x3") 0usize => answer,
            in("x4") &words,
            options(nostack),
        );
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    compile_error!(
        "valgrind's sequence of instructions is wanted for this one: see src/raw/valgrind.rs"
    );
    answer
}

/// The V bits of a suspended greenlet's bytes that are in place: a byte for each.
#[derive(Debug)]
pub struct Kept {
    bits: *mut u8,
    capacity: usize,
    /// From where on, counted from the greenlet's start, and how many. None while it runs.
    from: usize,
    len: usize,
}

/// What goes with a stack.
#[derive(Debug)]
pub struct Fiber {
    /// Its number with valgrind, if it has been registered.
    number: Option<usize>,
    /// Nobody who began on it has ever been above this address.
    highest: usize,
}

impl Fiber {
    pub const NEW: Fiber = Fiber { number: None, highest: 0 };

    /// Native stacks are known to valgrind.
    pub fn learn(&mut self) {}

    /// The stack has this memory from now on.
    pub fn attached(&mut self, bottom: usize, top: usize) {
        // SAFETY: the caller's stack.
        self.number = Some(unsafe { request(STACK_REGISTER, bottom, top - 1, 0) });
        self.highest = 0;
    }

    /// Its memory is going to be something else.
    #[cfg(feature = "std")]
    pub fn forget(&mut self) {
        if let Some(number) = self.number.take() {
            // SAFETY: the number is that of a registered stack.
            unsafe { request(STACK_DEREGISTER, number, 0, 0) };
        }
    }
}

impl Kept {
    pub const NEW: Kept = Kept { bits: ptr::null_mut(), capacity: 0, from: 0, len: 0 };

    /// Keeps the V bits of the bytes from `start + saved` up to `end`, which are in place.
    ///
    /// # Safety
    ///
    /// They are.
    unsafe fn keep(&mut self, start: usize, saved: usize, end: usize) {
        self.from = saved;
        self.len = end.saturating_sub(start + saved);
        if self.len == 0 {
            return;
        }
        // SAFETY: the block is `realloc`'s, or null; both areas are `len` bytes long.
        unsafe {
            if self.len > self.capacity {
                let block = realloc(self.bits.cast(), self.len);
                if block.is_null() {
                    abort();
                }
                (self.bits, self.capacity) = (block.cast(), self.len);
            }
            let got = request(GET_VBITS, start + saved, self.bits.addr(), self.len);
            if got != DONE {
                self.len = 0; // not under valgrind
            }
        }
    }

    /// Tells memcheck what it knew of the bytes between these two offsets from `start`, as far as they are in place.
    pub fn show(&self, start: usize, from: usize, end: usize) {
        let (from, end) = (from.max(self.from), end.min(self.from + self.len));
        if from < end {
            let bits = self.bits.addr() + (from - self.from);
            // SAFETY: the bytes are the greenlet's own, and in place; their bits were kept.
            unsafe {
                request(MAKE_UNDEFINED, start + from, end - from, 0);
                request(SET_VBITS, start + from, bits, end - from);
            }
        }
    }

    /// The bytes from `from` up to `end` are about to be copied off the stack, to `offset` of the buffer.
    ///
    /// # Safety
    ///
    /// They are in place.
    pub unsafe fn take(&mut self, offset: usize, from: usize, end: usize) {
        let start = from - offset;
        self.show(start, offset, end - start);
    }

    /// The greenlet is about to run: its first `saved` bytes have been copied back, the others have been in place.
    ///
    /// # Safety
    ///
    /// It is so.
    pub unsafe fn put(&mut self, start: usize, saved: usize) {
        self.show(start, saved, usize::MAX);
        self.len = 0;
    }

    pub fn free(&mut self) {
        // SAFETY: the block is `realloc`'s, or null, and forgotten here.
        unsafe { free(self.bits.cast()) };
        *self = Kept::NEW;
    }
}

/// Copies, as anybody does: memcheck follows.
///
/// # Safety
///
/// As for [`core::ptr::copy_nonoverlapping`].
pub unsafe fn copy(from: *const u8, to: *mut u8, bytes: usize) {
    // SAFETY: the caller's promise.
    unsafe { ptr::copy_nonoverlapping(from, to, bytes) }
}

/// From here on all of this stretch may be touched: nobody's frames are in it.
///
/// # Safety
///
/// The stretch is stack memory.
pub unsafe fn clear(from: usize, end: usize) {
    // SAFETY: the caller's promise.
    unsafe { request(MAKE_UNDEFINED, from, end - from, 0) };
}

/// `left` is about to be left for somebody on the stack `to`, where the stack pointer will be `at`.
///
/// # Safety
///
/// Both are valid. What `left` has not saved is in place.
pub unsafe fn leave(left: *mut Greenlet, to: *mut Stack, at: usize, ends: bool) {
    // SAFETY: both are valid. Nobody has bytes in place below `at`, but for the callback that calls this, for whose frame
    // it makes no difference.
    unsafe {
        (*to).fiber.highest = (*to).fiber.highest.max(at);
        if !ends {
            // Main's stop is the end of the address space. What lies above all others nobody touches, or seems to.
            let end = (*left).stop.min((*(*left).stack).fiber.highest);
            (*left).kept.keep((*left).start, (*left).saved, end);
        }
        request(MAKE_DEFINED, at - PAD, PAD, 0);
    }
}

/// Nothing is left to be told.
///
/// # Safety
///
/// None is needed.
pub unsafe fn arrived(_: *mut Greenlet) {}
