//! Tasklets: micro-threads that a scheduler runs in turn, and channels between them.
//!
//! Greenlets have no scheduler: the program says who runs next. This module is one, for programs that do not want to say it.
//! It is what Stackless Python had: [`spawn`] makes a *tasklet* out of a closure and puts it at the end of the *run queue*; each
//! runs until it gives its turn away ([`schedule`]), waits for a [`Channel`] or for the end of another, or is over. Nobody is
//! ever interrupted in between.
//!
//! ```
//! use greenlet::tasklet::{self, Channel};
//!
//! let questions = Channel::<u32>::new();
//! let answers = Channel::<String>::new();
//! let (inbox, outbox) = (questions.clone(), answers.clone());
//! // SAFETY: nothing outside points into the closure's frames.
//! let clerk = unsafe {
//!     tasklet::spawn(move || {
//!         let mut answered = 0;
//!         for n in &inbox {
//!             outbox.send(format!("{n} squared is {}", n * n)).unwrap();
//!             answered += 1;
//!         }
//!         answered
//!     })
//! };
//! questions.send(12).unwrap();
//! assert_eq!(answers.receive().unwrap(), "12 squared is 144");
//! questions.close();
//! assert_eq!(clerk.join().unwrap(), 1);
//! ```
//!
//! # Without memory
//!
//! What sends, receives, selects or lets others run says by an error that there was no memory for it, and nothing has changed. The
//! process ends, as in [`Box::new`](std::boxed::Box::new), if there is none for the thread's first use of this module, for a new tasklet,
//! channel or select, for a name or a report, for noting the first who waits for a tasklet's end, or for what is thrown
//! into a tasklet.
//!
//! # Who runs next
//!
//! It depends on nothing but the calls that the program makes, so a run can be repeated:
//!
//! - The code that was there before, in the thread's main greenlet, is the *main* tasklet, and takes its turn like any other. In [`run`] it waits
//!   until nobody else is ready.
//! - [`schedule`] puts the current tasklet at the end of the run queue; the first in the queue runs.
//! - One that has to wait is in no queue. When it has been met by another, or what it waits for has ended, it is put at the end.
//! - Where a sender and a receiver meet, the channel's [`Preference`] says who of them runs on: the receiver, unless it is
//!   told otherwise. If that is the one that has waited, it runs at once, without having been in the queue, and the other goes
//!   to the end.
//! - A new tasklet is at the end. One that finishes lets the first in the queue run.
//! - One that is killed or thrown into runs at once, and then the one that did that.
//!
//! # Deadlocks
//!
//! If nobody is ready and main waits as well, nobody can ever run. Main's operation has an error then, a [`Deadlock`] that says
//! who waits for what, and where. (If main is in [`run`], that returns: it may have something to send.)
//!
//! # Ends
//!
//! What a tasklet's closure returns, or the payload of the panic that ends it, is kept for [`Tasklet::join`], and dropped if there is no
//! handle any more. Tasklets that have not finished when their thread ends are killed, first those in the run queue, then those that
//! wait.
//!
//! # Greenlets of a tasklet
//!
//! A tasklet may call [generators](crate::Generator) and greenlets of its own, and those may wait: it is the tasklet that waits, and
//! it goes on where it was. A greenlet in which a tasklet is suspended, or has begun, is the scheduler's: to kill it
//! or to throw into it by another handle than the [`AnyTasklet`] is refused ([`Refused::Scheduled`]), and so is a switch to
//! it, as it waits for a value that nobody else can make.
//!
//! # Safety
//!
//! To make a tasklet from a closure is `unsafe`, with the one contract of [`Greenlet::new`](crate::Greenlet::new): **nothing outside reaches into its
//! frames while it is suspended.** Everything else is safe. What is sent lies in the channel until it is received, and what a
//! select or a join waits for lies in the heap; nothing of it is in a frame that may be away.

mod channel;
mod error;
mod handle;
mod join;
mod list;
mod record;
mod scheduler;
mod select;
mod waiters;

pub use self::channel::{Channel, Preference, Received};
pub use self::error::{
    Blocked, Deadlock, JoinError, Operation, ReceiveError, SendError, WaitError, WaitsFor,
};
pub use self::handle::{AnyTasklet, Tasklet};
pub(crate) use self::scheduler::Scheduler;
pub use self::select::Select;

use self::scheduler::{Me, scheduler};
use crate::error::Refused;
use alloc::vec::Vec;
use core::panic::Location;

/// What a suspended tasklet waits for. Nobody else can make one.
pub(crate) struct Wake;

/// Makes a tasklet that will run `body`: the last in the run queue.
///
/// # Safety
///
/// As for [`Greenlet::new`](crate::Greenlet::new): **nothing outside the tasklet reaches into its stack frames while it is suspended.**
/// Its frames are not at their addresses then. Read there what breaks that.
///
/// # Panics
///
/// When the thread is ending. So for all functions here. Ends the process, as [`Box::new`](std::boxed::Box::new) does, if
/// there is no memory.
#[track_caller]
pub unsafe fn spawn<F, R>(body: F) -> Tasklet<R>
where
    F: FnOnce() -> R + 'static,
    R: 'static,
{
    // SAFETY: the caller's promise.
    unsafe { Tasklet::new(body, Location::caller()) }
}

/// The tasklet that runs.
pub fn current() -> AnyTasklet {
    // SAFETY: the state of this thread; the current one is valid.
    unsafe { AnyTasklet::of((*scheduler()).current()) }
}

/// The tasklet that this thread started with.
pub fn main() -> AnyTasklet {
    // SAFETY: the state of this thread; main is valid.
    unsafe { AnyTasklet::of((*scheduler()).main()) }
}

/// Gives the turn away: the current tasklet goes to the end of the run queue, and returns when its turn has come again. At
/// once, if nobody else is ready.
///
/// # Panics
///
/// While a panic unwinds, inside the trace hook, and if there is no memory. See [`try_schedule`]. Goes on with what is thrown into the current
/// tasklet meanwhile.
#[track_caller]
pub fn schedule() {
    if let Err(why) = try_schedule() {
        WaitError::Refused(why).raise();
    }
}

/// As [`schedule`], where that must not panic.
///
/// # Errors
///
/// [`Refused::Unwinding`], [`Refused::Tracing`], [`Refused::OutOfMemory`]: the current tasklet goes on.
pub fn try_schedule() -> Result<(), Refused> {
    // SAFETY: the state of this thread; who is ready is suspended.
    unsafe {
        let scheduler = &*scheduler();
        let next = scheduler.ready.pop_front();
        if next.is_null() {
            return Ok(());
        }
        let _me = Me::of(scheduler);
        scheduler.yield_to(next)
    }
}

/// The current tasklet leaves the run queue, and returns when somebody has [inserted](AnyTasklet::insert) it and its turn has come.
///
/// One to which there is no handle but its own could never run again, and unwinds, killed.
///
/// # Errors
///
/// [`WaitError`]. Main is told of a deadlock if it waits to be inserted, and nobody is left who could do it.
///
/// # Panics
///
/// Goes on with what is thrown into the current tasklet meanwhile.
#[track_caller]
pub fn pause() -> Result<(), WaitError> {
    let at = Location::caller();
    // SAFETY: the state of this thread.
    unsafe {
        let scheduler = &*scheduler();
        let me = Me::of(scheduler);
        scheduler.pause(me.record, at)
    }
}

/// Main lets the others run until nobody is ready any more: all have finished, wait for something, or are paused. Returns how many
/// wait ([`blocked`] has them).
///
/// It also returns when main is [inserted](AnyTasklet::insert) and its turn has come.
///
/// # Panics
///
/// In any other tasklet than main. While a panic unwinds, inside the trace hook, and if there is no memory. Goes on with what is
/// thrown into main meanwhile.
#[track_caller]
pub fn run() -> usize {
    // SAFETY: the state of this thread; who is ready is suspended.
    unsafe {
        let scheduler = &*scheduler();
        let me = scheduler.current();
        assert!(me == scheduler.main(), "only main can run the others");
        if let Err(why) = scheduler.idle() {
            WaitError::Refused(why).raise();
        }
        scheduler.blocked.len()
    }
}

/// Who waits for what: the blocked tasklets of this thread, in the order in which they began to wait.
pub fn blocked() -> Vec<Blocked> {
    // SAFETY: the state of this thread; what is in the list is valid.
    unsafe {
        let scheduler = &*scheduler();
        let mut all = Vec::with_capacity(scheduler.blocked.len());
        let mut record = scheduler.blocked.first();
        while !record.is_null() {
            all.push(scheduler.describe(record));
            record = (*record).next.get();
        }
        all
    }
}

/// How many are ready: the length of the run queue. The current one is not in it.
pub fn ready_count() -> usize {
    // SAFETY: the state of this thread.
    unsafe { (*scheduler()).ready.len() }
}

/// How many wait for a channel or an end.
pub fn blocked_count() -> usize {
    // SAFETY: the state of this thread.
    unsafe { (*scheduler()).blocked.len() }
}
