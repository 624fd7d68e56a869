//! Why an operation on a tasklet or a channel did not take place, and who waits for what in a deadlock.

use crate::error::{Payload, Refused, payload_text};
use crate::unwind;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::panic::Location;
use core::{error, fmt};

/// What a blocked tasklet wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Send over a channel.
    Send,
    /// Receive from a channel.
    Receive,
    /// See the end of a tasklet.
    Join,
}

/// One thing that a blocked tasklet waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitsFor {
    /// What it wants to do.
    pub operation: Operation,
    /// With which channel or tasklet: its name, if it has one, and what it is.
    pub with: String,
    /// Where that channel was made, or that tasklet spawned.
    pub made: &'static Location<'static>,
}

/// A blocked tasklet, and what it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// `main`, or the tasklet's number and name.
    pub tasklet: String,
    /// Where it called the operation that blocks.
    pub at: &'static Location<'static>,
    /// It does not wait for anybody, but to be inserted.
    pub paused: bool,
    /// What it waits for: several things in a select, and nothing in an empty one.
    pub waits: Vec<WaitsFor>,
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} waits at {}", self.tasklet, self.at)?;
        if self.paused || self.waits.is_empty() {
            return f.write_str(if self.paused { " until it is inserted" } else { " for nothing" });
        }
        for (number, wait) in self.waits.iter().enumerate() {
            f.write_str(if number == 0 { " " } else { ", or " })?;
            f.write_str(match wait.operation {
                Operation::Send => "to send over ",
                Operation::Receive => "to receive from ",
                Operation::Join => "for the end of ",
            })?;
            write!(f, "{} ({})", wait.with, wait.made)?;
        }
        Ok(())
    }
}

/// Everybody waits, main included: who for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlock(Box<Report>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Report {
    blocked: Vec<Blocked>,
    total: usize,
}

impl Deadlock {
    pub(super) fn new(blocked: Vec<Blocked>, total: usize) -> Deadlock {
        Deadlock(Box::new(Report { blocked, total }))
    }

    /// How many are reported one by one.
    pub(super) const MOST: usize = 100;

    /// Who waits for what: main first, then the others in the order in which they began to wait, a hundred at most.
    pub fn blocked(&self) -> &[Blocked] {
        &self.0.blocked
    }

    /// How many wait, main among them.
    pub fn total(&self) -> usize {
        self.0.total
    }
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "deadlock: nobody can run")?;
        for blocked in self.blocked() {
            write!(f, "\n  {blocked}")?;
        }
        match self.total() - self.blocked().len() {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl error::Error for Deadlock {}

/// Why a tasklet did not wait to the end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitError {
    /// Everybody waits. Main gets this, the others go on waiting.
    Deadlock(Deadlock),
    /// The current tasklet cannot be suspended now ([`Refused::Unwinding`], [`Refused::Tracing`]), or there is no memory.
    Refused(Refused),
}

impl WaitError {
    /// Unwinds with a message that says why.
    ///
    /// # Panics
    ///
    /// Always.
    #[cold]
    #[track_caller]
    pub fn raise(self) -> ! {
        match self {
            WaitError::Deadlock(deadlock) => panic!("{deadlock}"),
            WaitError::Refused(why) => panic!("switch refused: {why}"),
        }
    }
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitError::Deadlock(deadlock) => deadlock.fmt(f),
            WaitError::Refused(why) => why.fmt(f),
        }
    }
}

impl error::Error for WaitError {}

/// Why a tasklet was joined without a result.
#[non_exhaustive]
pub enum JoinError {
    /// It panicked, was thrown something, or was killed ([`Killed`](crate::Killed)): this is the payload.
    Panicked(Payload),
    /// Everybody waits. Main gets this, the others go on waiting.
    Deadlock(Deadlock),
    /// As [`WaitError::Refused`].
    Refused(Refused),
}

impl JoinError {
    /// Goes on with the tasklet's panic, or unwinds with a message that says why.
    ///
    /// # Panics
    ///
    /// Always.
    #[cold]
    #[track_caller]
    pub fn raise(self) -> ! {
        match self {
            JoinError::Panicked(payload) => unwind::resume(payload),
            JoinError::Deadlock(deadlock) => WaitError::Deadlock(deadlock).raise(),
            JoinError::Refused(why) => WaitError::Refused(why).raise(),
        }
    }
}

impl From<WaitError> for JoinError {
    fn from(error: WaitError) -> JoinError {
        match error {
            WaitError::Deadlock(deadlock) => JoinError::Deadlock(deadlock),
            WaitError::Refused(why) => JoinError::Refused(why),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Panicked(payload) => write!(f, "panicked: {}", payload_text(payload)),
            JoinError::Deadlock(deadlock) => deadlock.fmt(f),
            JoinError::Refused(why) => why.fmt(f),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Panicked(payload) => {
                f.debug_tuple("Panicked").field(&payload_text(payload)).finish()
            }
            JoinError::Deadlock(deadlock) => f.debug_tuple("Deadlock").field(deadlock).finish(),
            JoinError::Refused(why) => f.debug_tuple("Refused").field(why).finish(),
        }
    }
}

impl error::Error for JoinError {}

/// Why nothing was sent. It has what was to be sent.
#[non_exhaustive]
pub enum SendError<T> {
    /// The channel is closed.
    Closed(T),
    /// Nobody waits to receive ([`Channel::try_send`](super::Channel::try_send)).
    WouldBlock(T),
    /// Everybody waits. Main gets this, the others go on waiting.
    Deadlock(T, Deadlock),
    /// As [`WaitError::Refused`].
    Refused(T, Refused),
}

impl<T> SendError<T> {
    /// What was to be sent.
    pub fn into_inner(self) -> T {
        match self {
            SendError::Closed(value)
            | SendError::WouldBlock(value)
            | SendError::Deadlock(value, _)
            | SendError::Refused(value, _) => value,
        }
    }

    pub(super) fn map<U>(self, f: impl FnOnce(T) -> U) -> SendError<U> {
        match self {
            SendError::Closed(value) => SendError::Closed(f(value)),
            SendError::WouldBlock(value) => SendError::WouldBlock(f(value)),
            SendError::Deadlock(value, deadlock) => SendError::Deadlock(f(value), deadlock),
            SendError::Refused(value, why) => SendError::Refused(f(value), why),
        }
    }

    pub(super) fn stopped(value: T, error: WaitError) -> SendError<T> {
        match error {
            WaitError::Deadlock(deadlock) => SendError::Deadlock(value, deadlock),
            WaitError::Refused(why) => SendError::Refused(value, why),
        }
    }

    fn text(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Closed(_) => f.write_str("the channel is closed"),
            SendError::WouldBlock(_) => f.write_str("nobody waits to receive"),
            SendError::Deadlock(_, deadlock) => write!(f, "{deadlock}"),
            SendError::Refused(_, why) => write!(f, "{why}"),
        }
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text(f)
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError(")?;
        self.text(f)?;
        f.write_str(")")
    }
}

impl<T> error::Error for SendError<T> {}

/// Why nothing was received.
#[non_exhaustive]
pub enum ReceiveError {
    /// The channel is closed, and nobody waits who sent before that.
    Closed,
    /// Nobody waits to send ([`Channel::try_receive`](super::Channel::try_receive)).
    WouldBlock,
    /// This was thrown through the channel ([`Channel::throw`](super::Channel::throw)).
    Thrown(Payload),
    /// Everybody waits. Main gets this, the others go on waiting.
    Deadlock(Deadlock),
    /// As [`WaitError::Refused`].
    Refused(Refused),
}

impl ReceiveError {
    /// Goes on with what was thrown, or unwinds with a message that says why.
    ///
    /// # Panics
    ///
    /// Always.
    #[cold]
    #[track_caller]
    pub fn raise(self) -> ! {
        match self {
            ReceiveError::Thrown(payload) => unwind::resume(payload),
            other => panic!("{other}"),
        }
    }
}

impl From<WaitError> for ReceiveError {
    fn from(error: WaitError) -> ReceiveError {
        match error {
            WaitError::Deadlock(deadlock) => ReceiveError::Deadlock(deadlock),
            WaitError::Refused(why) => ReceiveError::Refused(why),
        }
    }
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReceiveError::Closed => f.write_str("the channel is closed"),
            ReceiveError::WouldBlock => f.write_str("nobody waits to send"),
            ReceiveError::Thrown(payload) => write!(f, "thrown: {}", payload_text(payload)),
            ReceiveError::Deadlock(deadlock) => deadlock.fmt(f),
            ReceiveError::Refused(why) => why.fmt(f),
        }
    }
}

impl fmt::Debug for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceiveError({self})")
    }
}

impl error::Error for ReceiveError {}
