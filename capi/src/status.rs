//! The status codes of the header, and what they mean in English.

use core::ffi::{CStr, c_char, c_int};
use greenlet::raw::Error;

/// `enum greenlet_status` of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// No memory for the bytes that had to be saved, or for an object.
    NoMemory = 1,
    /// The greenlet has finished.
    NotActive = 2,
    /// Called from another thread, or about what is another thread's.
    WrongThread = 3,
    /// The running greenlet, which the call does not take.
    Running = 4,
    /// What was to be freed is still needed.
    InUse = 5,
    /// A null pointer, or no usable memory.
    Invalid = 6,
    /// A switch that was meant for another greenlet.
    Stray = 7,
}

const MESSAGES: [&CStr; 8] = [
    c"done",
    c"out of memory",
    c"the greenlet has finished, or has not begun",
    c"the greenlet, stack or thread object belongs to another thread",
    c"the greenlet is the one that runs",
    c"still in use",
    c"a null pointer, or no usable memory",
    c"a greenlet ended and could not go where it wanted to",
];

impl From<Error> for Status {
    fn from(error: Error) -> Status {
        match error {
            Error::OutOfMemory => Status::NoMemory,
            Error::WrongThread => Status::WrongThread,
            Error::Running => Status::Running,
            // Not active, or started already, of which the callers have checked the latter.
            _ => Status::NotActive,
        }
    }
}

/// What a function of the header answers.
pub(crate) fn answer(result: Result<(), Status>) -> c_int {
    result.err().unwrap_or(Status::Ok) as c_int
}

/// `greenlet_message` of the header.
#[unsafe(no_mangle)]
pub extern "C" fn greenlet_message(status: c_int) -> *const c_char {
    let message = usize::try_from(status).ok().and_then(|status| MESSAGES.get(status));
    message.map_or(c"no such status", |message| message).as_ptr()
}
