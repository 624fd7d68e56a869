//! Where a value is while it crosses a switch: in the thread's state, never in the sender's frames,
//! which may be moved before the receiver has taken it.

use crate::error::OutOfMemory;
use alloc::alloc::{Layout, alloc, dealloc};
use core::cell::{Cell, UnsafeCell};
use core::mem::MaybeUninit;
use core::ptr;

/// Values up to this size travel without an allocation, ever.
const ROOM: usize = 64;
const ROOM_ALIGN: usize = 16;

#[repr(C, align(16))]
struct Room(MaybeUninit<[u8; ROOM]>);

/// Holds at most one value. Whoever puts one in makes sure that a receiver of the same type takes it.
pub(crate) struct Transit {
    room: UnsafeCell<Room>,
    /// For larger values: kept, so that it is allocated once for the largest that ever comes.
    large: Cell<*mut u8>,
    layout: Cell<Layout>,
}

impl Transit {
    pub(crate) const fn new() -> Transit {
        Transit {
            room: UnsafeCell::new(Room(MaybeUninit::uninit())),
            large: Cell::new(ptr::null_mut()),
            layout: Cell::new(Layout::new::<()>()),
        }
    }

    /// Whether a value of this type can always be put in.
    pub(crate) const fn fits<T>() -> bool {
        size_of::<T>() <= ROOM && align_of::<T>() <= ROOM_ALIGN
    }

    /// Takes a value in, or gives it back.
    #[inline(always)]
    pub(crate) fn put<T>(&self, value: T) -> Result<(), (OutOfMemory, T)> {
        let place: *mut T = if Self::fits::<T>() {
            self.room.get().cast()
        } else {
            let enough = self.layout.get();
            if (enough.size() < size_of::<T>() || enough.align() < align_of::<T>())
                && self.grow(Layout::new::<T>()).is_err()
            {
                return Err((OutOfMemory, value));
            }
            self.large.get().cast()
        };
        // SAFETY: `place` has the size and the alignment, and nothing in it needs to be dropped.
        unsafe { place.write(value) };
        Ok(())
    }

    /// Takes the value out.
    ///
    /// # Safety
    ///
    /// The last `put` was of a `T`, and it has not been taken.
    #[inline(always)]
    pub(crate) unsafe fn take<T>(&self) -> T {
        const WORD: usize = size_of::<usize>();
        let place: *const T =
            if Self::fits::<T>() { self.room.get().cast() } else { self.large.get().cast() };
        // SAFETY: the caller's promise. The words of a `T` may be uninitialized, and are moved, not looked at.
        unsafe {
            if !Self::fits::<T>() || !size_of::<T>().is_multiple_of(WORD) || align_of::<T>() < WORD
            {
                return place.read();
            }
            // Word by word: a value of two words was put in by two stores a moment ago, and one wide load would wait until
            // both have reached the cache (6 ns on Zen 4).
            let mut value = MaybeUninit::<T>::uninit();
            let from = place.cast::<MaybeUninit<usize>>();
            let to = value.as_mut_ptr().cast::<MaybeUninit<usize>>();
            for at in 0..size_of::<T>() / WORD {
                to.add(at).write(from.add(at).read_volatile());
            }
            value.assume_init()
        }
    }

    #[cold]
    fn grow(&self, layout: Layout) -> Result<(), OutOfMemory> {
        // Never smaller and never less aligned than before. A type that came here for its alignment alone may have no size.
        let before = self.layout.get();
        let size = layout.size().max(before.size()).max(1);
        let align = layout.align().max(before.align());
        let layout = Layout::from_size_align(size, align).map_err(|_| OutOfMemory)?;
        // SAFETY: the size is not 0.
        let block = unsafe { alloc(layout) };
        if block.is_null() {
            return Err(OutOfMemory);
        }
        self.free();
        self.large.set(block);
        self.layout.set(layout);
        Ok(())
    }

    fn free(&self) {
        let block = self.large.replace(ptr::null_mut());
        if !block.is_null() {
            // SAFETY: it was allocated with this layout.
            unsafe { dealloc(block, self.layout.replace(Layout::new::<()>())) };
        }
    }
}

impl Drop for Transit {
    fn drop(&mut self) {
        self.free();
    }
}
