//! Where a suspended greenlet's bytes are: `greenlet_saved`, `_stretch`, `_locate` and `_would_move` of the header.

use crate::object::{Greenlet, State, is_suspended};
use crate::status::{Status, answer};
use crate::thread::Thread;
use core::ffi::{c_int, c_void};
use core::ptr;
use greenlet::raw;

/// `greenlet_saved` of the header.
///
/// # Safety
///
/// `this` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greenlet_saved(this: *const Greenlet) -> usize {
    // SAFETY: valid if not null.
    unsafe { this.as_ref().map_or(0, |this| this.raw.saved()) }
}

/// `greenlet_stretch` of the header.
///
/// # Safety
///
/// The pointers are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greenlet_stretch(
    this: *const Greenlet,
    start: *mut usize,
    stop: *mut usize,
) -> c_int {
    // SAFETY: valid if not null.
    answer(unsafe {
        if this.is_null() || start.is_null() || stop.is_null() {
            Err(Status::Invalid)
        } else if (*this).state != State::Begun {
            Err(Status::NotActive)
        } else if !is_suspended(this) {
            Err(Status::Running)
        } else {
            (*start, *stop) = (*this).raw.stretch();
            Ok(())
        }
    })
}

/// `greenlet_locate` of the header.
///
/// # Safety
///
/// The pointers are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greenlet_locate(
    this: *const Greenlet,
    address: *const c_void,
    together: *mut usize,
) -> *mut c_void {
    // SAFETY: valid if not null.
    unsafe {
        let found = match is_suspended(this) {
            true => (*this).raw.locate(address.addr()),
            false => None,
        };
        let (place, bytes) = found.unwrap_or((ptr::null_mut(), 0));
        if !together.is_null() {
            *together = bytes;
        }
        place.cast()
    }
}

/// `greenlet_would_move` of the header.
///
/// # Safety
///
/// The pointers are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greenlet_would_move(
    thread: *const Thread,
    target: *const Greenlet,
    address: *const c_void,
) -> c_int {
    if thread.is_null() || target.is_null() {
        return 0;
    }
    // SAFETY: valid, and only read.
    unsafe {
        let engine = &raw const (*thread).raw as *mut raw::Thread;
        c_int::from(raw::Thread::would_move(engine, &raw const (*target).raw, address))
    }
}
