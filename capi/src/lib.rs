//! libgreenlet: the engine of the greenlet crate with a C ABI. `include/libgreenlet.h` is its documentation: ownership, errors, threads,
//! and which calls may switch are said there, and only there.
//!
//! Each exported function checks what the header says that it checks, and then is a line or two of [`greenlet::raw`]. A panic in
//! one of them ends the process, since they are all `extern "C"`; none is expected. What a value is, who is whose parent and
//! what an interpreter keeps per flow of control is the host's business, and never known here.
//!
//! Nothing here is for Rust programs: they use the crate.

mod memory;
mod object;
mod places;
mod status;
mod switch;
mod thread;

pub use memory::CMemory;
pub use object::{Body, Greenlet};
pub use status::Status;
pub use thread::{Hook, Stack, Thread};
