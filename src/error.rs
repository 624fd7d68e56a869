//! Why a switch, a throw or a change of parent was refused, and what was thrown.

use alloc::boxed::Box;
use core::any::Any;
use core::{error, fmt};

/// What a panic carries, and what [`throw`](crate::Greenlet::throw) throws.
pub type Payload = Box<dyn Any + Send + 'static>;

/// The reason for which an operation was refused. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// The greenlet has finished.
    Finished,
    /// The greenlet is its thread's main one, which cannot be thrown into, killed, or given a parent.
    Main,
    /// The greenlet is the one that runs, which cannot be killed by itself.
    Current,
    /// A panic is unwinding. Only the kill that a drop makes may switch then.
    Unwinding,
    /// The trace hook is running.
    Tracing,
    /// The greenlet waits for a value of another type than was sent.
    WrongType {
        /// What it waits for.
        expected: &'static str,
        /// What was sent.
        sent: &'static str,
    },
    /// The new parent is the greenlet itself or one of its descendants.
    Cycle,
    /// There was no memory for the stack, for the bytes that had to be saved, or for the value.
    OutOfMemory,
    /// The greenlet is a tasklet's ([`tasklet`](crate::tasklet)): only the scheduler continues it, and only by its
    /// [`AnyTasklet`](crate::tasklet::AnyTasklet) it can be killed or thrown into.
    Scheduled,
    /// The tasklet waits for a channel or for the end of another.
    Blocked,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Finished => f.write_str("the greenlet has finished"),
            Refused::Main => f.write_str("the greenlet is its thread's main one"),
            Refused::Current => f.write_str("the greenlet is the one that runs"),
            Refused::Unwinding => f.write_str("cannot switch while a panic is unwinding"),
            Refused::Tracing => f.write_str("cannot switch inside the trace hook"),
            Refused::WrongType { expected, sent } => {
                write!(f, "the greenlet waits for a value of type {expected}, not {sent}")
            }
            Refused::Cycle => f.write_str("a greenlet cannot be its own ancestor"),
            Refused::OutOfMemory => f.write_str("out of memory"),
            Refused::Scheduled => f.write_str("the greenlet belongs to the tasklets' scheduler"),
            Refused::Blocked => f.write_str("the tasklet is blocked"),
        }
    }
}

impl error::Error for Refused {}

/// There was no memory. Also the payload that a greenlet's parent gets in place of its result when there was none for its
/// last switch: that one was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("out of memory")
    }
}

impl error::Error for OutOfMemory {}

/// The payload that unwinds a greenlet that is being killed. Code that catches it should let it go on
/// ([`std::panic::resume_unwind`]); a greenlet that does not is not killed.
#[derive(Debug)]
pub struct Killed(pub(crate) ());

impl fmt::Display for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the greenlet was killed")
    }
}

impl error::Error for Killed {}

/// The payload that a parent gets in place of a result of a type that it does not wait for. The result was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongResult {
    /// What the parent waits for.
    pub expected: &'static str,
    /// What its child returned.
    pub returned: &'static str,
}

impl fmt::Display for WrongResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WrongResult { expected, returned } = self;
        write!(f, "a greenlet returned {returned}, but its parent waits for {expected}")
    }
}

impl error::Error for WrongResult {}

/// Why [`try_switch`](crate::Greenlet::try_switch) did not return a value.
pub enum SwitchError<In> {
    /// The switch was refused: nothing has changed, and this is the value that was to be sent.
    Refused(Refused, In),
    /// The switch took place, and then this was thrown into the greenlet that had switched, by a child that panicked
    /// or by [`throw`](crate::Greenlet::throw).
    Thrown(Payload),
}

impl<In> SwitchError<In> {
    /// Goes on as [`switch`](crate::Greenlet::switch) does: unwinds with what was thrown.
    ///
    /// # Panics
    ///
    /// Always: with what was thrown, or with a message that says why the switch was refused.
    #[cold]
    #[track_caller]
    pub fn raise(self) -> ! {
        match self {
            SwitchError::Thrown(payload) => crate::unwind::resume(payload),
            SwitchError::Refused(why, value) => {
                drop(value);
                panic!("switch refused: {why}")
            }
        }
    }
}

impl<In> fmt::Debug for SwitchError<In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SwitchError::Refused(why, _) => f.debug_tuple("Refused").field(why).finish(),
            SwitchError::Thrown(payload) => {
                f.debug_tuple("Thrown").field(&payload_text(payload)).finish()
            }
        }
    }
}

impl<In> fmt::Display for SwitchError<In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SwitchError::Refused(why, _) => write!(f, "switch refused: {why}"),
            SwitchError::Thrown(payload) => write!(f, "thrown: {}", payload_text(payload)),
        }
    }
}

impl<In> error::Error for SwitchError<In> {}

/// The text of a payload, where it is one that has a text: a panic message or one of this crate's.
pub fn payload_text(payload: &Payload) -> &str {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<alloc::string::String>() {
        text
    } else if payload.is::<Killed>() {
        "the greenlet was killed"
    } else if payload.is::<OutOfMemory>() {
        "out of memory"
    } else if payload.is::<WrongResult>() {
        "a greenlet returned a value of another type than its parent waits for"
    } else {
        "a payload that is not a string"
    }
}
