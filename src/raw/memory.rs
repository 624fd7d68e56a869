//! Where slice buffers come from: one function that the host supplies.

use core::ffi::c_void;

/// The source of slice buffers: one function, in the manner of `realloc`.
///
/// `resize(ctx, block, old, new)` returns a block of `new` bytes, aligned to [`BUFFER_ALIGN`](super::BUFFER_ALIGN),
/// that begins with the first `min(old, new)` bytes of `block`, or null if there is none (then `block` is as it was).
/// `block` is null exactly when `old` is 0. A `new` of 0 frees the block, and the result is ignored.
/// It may not unwind and may not switch.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Allocates, grows, shrinks or frees one block.
    pub resize: unsafe extern "C" fn(*mut c_void, *mut u8, usize, usize) -> *mut u8,
    /// Passed to `resize` as it is.
    pub ctx: *mut c_void,
}

impl Memory {
    /// No memory at all: each greenlet gets its buffer from
    /// [`Greenlet::lend_buffer`](super::Greenlet::lend_buffer), or its first save fails.
    pub const NONE: Memory = Memory { resize: resize_none, ctx: core::ptr::null_mut() };

    /// The program's global allocator.
    #[cfg(feature = "alloc")]
    pub const GLOBAL: Memory = Memory { resize: resize_global, ctx: core::ptr::null_mut() };
}

unsafe extern "C" fn resize_none(_: *mut c_void, _: *mut u8, _: usize, _: usize) -> *mut u8 {
    core::ptr::null_mut()
}

#[cfg(feature = "alloc")]
unsafe extern "C" fn resize_global(
    _: *mut c_void,
    block: *mut u8,
    old: usize,
    new: usize,
) -> *mut u8 {
    use alloc::alloc::{Layout, alloc, dealloc, realloc};
    let layout = |size| Layout::from_size_align(size, super::BUFFER_ALIGN).ok();
    let (Some(before), Some(after)) = (layout(old), layout(new)) else {
        return core::ptr::null_mut();
    };
    // SAFETY: `block` came from here with the layout `before` (the contract of `Memory`), and no
    // layout of size 0 reaches the allocator.
    unsafe {
        match (old, new) {
            (0, 0) => core::ptr::null_mut(),
            (0, _) => alloc(after),
            (_, 0) => {
                dealloc(block, before);
                core::ptr::null_mut()
            }
            _ => realloc(block, before, new),
        }
    }
}
