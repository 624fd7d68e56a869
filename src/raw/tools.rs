//! Tools that watch every byte of a program, and so the stack: what they have to be told, and of which of them this build is.
//!
//! | in builds with | | by |
//! | --- | --- | --- |
//! | the feature `asan`, or `-Zsanitizer=address` | AddressSanitizer | `asan.rs` |
//! | the feature `valgrind` | valgrind's memcheck | `valgrind.rs` |
//! | none of that | nothing | here: no field has a size, and each function is empty |
//!
//! What there is to do is the same for both: what a tool knows of a greenlet's bytes has to go with them. The engine calls this
//! at each step of a switch, and knows nothing of any tool.

/// Is there one? Then no copy is in line, and no switch goes past [`leave`] and [`arrived`].
pub(super) const ON: bool = cfg!(any(greenlet_asan, greenlet_valgrind));

#[cfg(greenlet_asan)]
pub(super) use super::asan::*;
#[cfg(greenlet_valgrind)]
pub(super) use super::valgrind::*;
#[cfg(not(any(greenlet_asan, greenlet_valgrind)))]
pub(super) use off::*;

#[cfg(not(any(greenlet_asan, greenlet_valgrind)))]
#[allow(clippy::missing_safety_doc, reason = "they do nothing")]
mod off {
    use super::super::{Greenlet, Stack};
    use core::ptr;

    #[derive(Debug)]
    pub struct Kept;

    #[derive(Debug)]
    pub struct Fiber;

    impl Kept {
        pub const NEW: Kept = Kept;
        #[inline(always)]
        pub unsafe fn take(&mut self, _offset: usize, _from: usize, _end: usize) {}
        #[inline(always)]
        pub unsafe fn put(&self, _start: usize, _bytes: usize) {}
        #[inline(always)]
        pub fn free(&mut self) {}
    }

    impl Fiber {
        pub const NEW: Fiber = Fiber;
        #[inline(always)]
        pub fn learn(&mut self) {}
        #[inline(always)]
        pub fn attached(&mut self, _bottom: usize, _top: usize) {}
        #[cfg(feature = "std")]
        #[inline(always)]
        pub fn forget(&mut self) {}
    }

    #[inline(always)]
    pub unsafe fn clear(_from: usize, _end: usize) {}
    #[inline(always)]
    pub unsafe fn leave(_left: *mut Greenlet, _to: *mut Stack, _at: usize, _ends: bool) {}
    #[inline(always)]
    pub unsafe fn arrived(_current: *mut Greenlet) {}

    #[inline(always)]
    pub unsafe fn copy(from: *const u8, to: *mut u8, bytes: usize) {
        // SAFETY: the caller's areas are that long and do not overlap.
        unsafe { ptr::copy_nonoverlapping(from, to, bytes) }
    }
}
