//! Memory for greenlets and their slices, from the interpreter: so running out of it is an error that can be raised,
//! `tracemalloc` sees it, and the interpreter's debug allocator looks after it. Nothing here may know what is in a block.

use crate::ffi::*;
use core::ffi::c_void;
use core::ptr;
use greenlet::raw;

/// Where the engine has its slice buffers from.
pub const SLICES: raw::Memory = raw::Memory { resize, ctx: ptr::null_mut() };

unsafe extern "C" fn resize(_: *mut c_void, block: *mut u8, _: usize, new: usize) -> *mut u8 {
    // SAFETY: the block came from here, or is null; the interpreter's blocks are aligned to 16 bytes (8 on 32 bits). Greenlets
    // are switched with the GIL held, so there is a thread state.
    unsafe {
        if new == 0 {
            PyMem_RawFree(block.cast());
            return ptr::null_mut();
        }
        // In the middle of a switch the thread state's frames are the target's, whose stretch of the stack may hold others'
        // bytes: `tracemalloc` must not walk them.
        let ts = gr_thread();
        let hidden = gr_thread_hide(ts);
        let block = PyMem_RawRealloc(block.cast(), new).cast();
        gr_thread_show(ts, hidden);
        block
    }
}

/// A block with `value` in it, or null.
pub fn place<T>(value: T) -> *mut T {
    // SAFETY: a new block of that size; the alignment is as above.
    unsafe {
        let block: *mut T = PyMem_RawMalloc(size_of::<T>()).cast();
        if !block.is_null() {
            block.write(value);
        }
        block
    }
}

/// Gives a block of [`place`] back.
///
/// # Safety
///
/// It came from there, nobody uses it, and what it holds needs no drop or has been dropped.
pub unsafe fn free<T>(block: *mut T) {
    // SAFETY: the caller's promise.
    unsafe { PyMem_RawFree(block.cast()) };
}
