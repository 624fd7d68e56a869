//! Where a thread's objects and slices come from: the host's function, or the C library's.

use core::ffi::c_void;
use core::ptr;
use greenlet::raw::Memory;

/// `greenlet_memory` of the header.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CMemory {
    /// As `realloc`; see the header.
    pub resize: Option<unsafe extern "C" fn(*mut c_void, *mut u8, usize, usize) -> *mut u8>,
    /// Passed to `resize` as it is.
    pub ctx: *mut c_void,
}

unsafe extern "C" {
    fn realloc(block: *mut u8, size: usize) -> *mut u8;
    fn free(block: *mut u8);
}

/// The C library's. Its blocks are aligned to two words at least, and the engine asks for no more.
pub(crate) const C_LIBRARY: Memory = Memory { resize: resize_c, ctx: ptr::null_mut() };

unsafe extern "C" fn resize_c(_: *mut c_void, block: *mut u8, _: usize, size: usize) -> *mut u8 {
    // SAFETY: `block` came from here, or is null, by the contract of `Memory`. A size of 0 does not reach `realloc`.
    unsafe {
        if size != 0 {
            return realloc(block, size);
        }
        free(block);
        ptr::null_mut()
    }
}

/// Room for a `T`, not initialized; null if there is none.
pub(crate) fn allocate<T>(memory: &Memory) -> *mut T {
    const { assert!(align_of::<T>() <= 2 * align_of::<usize>()) };
    // SAFETY: a first request, as `Memory` describes it.
    unsafe { (memory.resize)(memory.ctx, ptr::null_mut(), 0, size_of::<T>()).cast() }
}

/// Frees what `allocate` gave.
///
/// # Safety
///
/// `object` came from `allocate` with the same memory, and nobody uses it any more.
pub(crate) unsafe fn release<T>(memory: &Memory, object: *mut T) {
    // SAFETY: the caller's promise.
    unsafe { (memory.resize)(memory.ctx, object.cast(), size_of::<T>(), 0) };
}
