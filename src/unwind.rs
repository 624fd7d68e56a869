//! The few things that differ between `panic = "unwind"` and `panic = "abort"`.

use crate::error::Payload;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Whether a greenlet can be unwound.
pub(crate) const POSSIBLE: bool = cfg!(panic = "unwind");

/// Whether a panic is unwinding on this thread.
#[inline(always)]
pub(crate) fn panicking() -> bool {
    std::thread::panicking()
}

/// Runs `f`, and stops a panic that leaves it.
#[inline(always)]
pub(crate) fn catch<T>(f: impl FnOnce() -> T) -> Result<T, Payload> {
    // What `f` has left half done is not seen again: the greenlet is over, and its frames are gone.
    catch_unwind(AssertUnwindSafe(f))
}

/// Goes on with a panic, without calling the panic hook again.
#[cold]
pub(crate) fn resume(payload: Payload) -> ! {
    resume_unwind(payload)
}

/// Runs `f` where a panic must not get out, nor one of the destructor of what that carries.
pub(crate) fn quietly(f: impl FnOnce()) {
    if let Err(payload) = catch(f) {
        discard(payload);
    }
}

/// Drops something of the user's where a panic must not get out.
pub(crate) fn discard<T>(value: T) {
    if let Err(payload) = catch(|| drop(value)) {
        core::mem::forget(payload); // its destructor may panic as well
    }
}
