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
