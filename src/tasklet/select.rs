//! Select: wait for several channels, and do one thing with the first that is ready.
//!
//! It must never know who runs next, nor how a channel keeps its entries.

use super::channel::{Channel, Inner, Message, value_of};
use super::error::{Operation, ReceiveError, SendError, WaitError};
use super::record::{Queue, Record, Wait, wait_over};
use super::scheduler::{Me, Scheduler, scheduler};
use super::waiters::{Index, Mark};
use crate::error::Refused;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::fmt;
use core::panic::Location;

/// Several operations on channels, of which exactly one takes place.
///
/// The first one, in the order in which they were added, that would not wait; else whichever is met first. (So
/// the order is the priority. Who wants it fair changes the order from one select to the next.) Each has a closure for its outcome, and
/// the select returns what that returns. An operation on a channel that is closed would not wait.
///
/// ```
/// use greenlet::tasklet::{self, Channel, Select};
///
/// let (words, stop) = (Channel::<&str>::new(), Channel::<()>::new());
/// let (a, b) = (words.clone(), stop.clone());
/// // SAFETY: nothing outside points into the closure's frames.
/// unsafe {
///     tasklet::spawn(move || {
///         a.send("one").unwrap();
///         a.send("two").unwrap();
///         b.send(()).unwrap();
///     })
/// };
/// let mut heard = Vec::new();
/// loop {
///     let word = Select::new()
///         .receive(&words, |word| word.ok())
///         .receive(&stop, |_| None)
///         .wait()
///         .unwrap();
///     match word {
///         Some(word) => heard.push(word),
///         None => break,
///     }
/// }
/// assert_eq!(heard, ["one", "two"]);
/// ```
#[must_use = "nothing takes place before `wait` or `try_now`"]
pub struct Select<'a, R> {
    cases: Vec<Box<dyn Case<R> + 'a>>,
}

impl<'a, R: 'a> Select<'a, R> {
    /// No operation yet.
    pub fn new() -> Self {
        Select { cases: Vec::new() }
    }

    /// Adds: receive from `channel`.
    pub fn receive<T: 'static>(
        mut self,
        channel: &Channel<T>,
        then: impl FnOnce(Result<T, ReceiveError>) -> R + 'a,
    ) -> Self {
        self.cases.push(Box::new(Receive { entry: Entry::new(channel), outcome: None, then }));
        self
    }

    /// Adds: send `value` over `channel`. The value is dropped if another operation takes place.
    pub fn send<T: 'static>(
        mut self,
        channel: &Channel<T>,
        value: T,
        then: impl FnOnce(Result<(), SendError<T>>) -> R + 'a,
    ) -> Self {
        let (entry, message) = (Entry::new(channel), Some(Ok(value)));
        self.cases.push(Box::new(Send { entry, message, outcome: None, then }));
        self
    }

    /// Waits until one of the operations can take place.
    ///
    /// # Errors
    ///
    /// [`WaitError`]; none of them has taken place, and no closure was called.
    ///
    /// # Panics
    ///
    /// Goes on with what is thrown into the current tasklet meanwhile, and with a panic of the closure.
    #[track_caller]
    pub fn wait(mut self) -> Result<R, WaitError> {
        let at = Location::caller();
        if let Some(done) = self.at_once() {
            return Ok(done);
        }
        // SAFETY: the state of this thread.
        let scheduler = unsafe { &*scheduler() };
        if let Some(why) = scheduler.stuck() {
            return Err(WaitError::Refused(why));
        }
        // Whatever way this is left, the entries are given back before that: by the drop of their cases.
        let waiting = Waiting { me: Me::of(scheduler), cases: &mut self.cases };
        let record = waiting.me.record;
        let mut all = Vec::new();
        let no_memory = || WaitError::Refused(Refused::OutOfMemory);
        all.try_reserve_exact(waiting.cases.len()).map_err(|_| no_memory())?;
        for case in waiting.cases.iter_mut() {
            all.push(case.register(record).ok_or_else(no_memory)?);
        }
        // SAFETY: the record is the current one's; the entries are in their lines.
        let waited = unsafe {
            *(*record).wait.get() = Wait::Many(all.into_boxed_slice());
            scheduler.block(at)
        };
        drop(waiting);
        // One that was met has taken place, also if something went wrong after that.
        match (self.cases.iter().position(|case| case.is_met()), waited) {
            (Some(met), _) => Ok(self.conclude(met)),
            (None, waited) => Err(waited.expect_err("woken, so met")),
        }
    }

    /// Does the first of the operations that would not wait.
    ///
    /// # Errors
    ///
    /// All of them, if there is none.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn try_now(mut self) -> Result<R, Self> {
        self.at_once().ok_or(self)
    }

    fn at_once(&mut self) -> Option<R> {
        // SAFETY: the state of this thread.
        let scheduler = unsafe { &*scheduler() };
        let done = self.cases.iter_mut().position(|case| case.attempt(scheduler))?;
        Some(self.conclude(done))
    }

    /// Calls the closure of the operation that took place. What the others have is dropped before.
    fn conclude(&mut self, done: usize) -> R {
        let done = self.cases.swap_remove(done);
        self.cases.clear();
        done.conclude()
    }
}

/// While the current tasklet waits. Its entries are in the lines of the channels.
struct Waiting<'a, 'b, R> {
    me: Me,
    cases: &'a mut Vec<Box<dyn Case<R> + 'b>>,
}

impl<R> Drop for Waiting<'_, '_, R> {
    /// None of them is to be met any more.
    fn drop(&mut self) {
        self.cases.iter().for_each(|case| case.withdraw());
        // SAFETY: nobody looks at what the tasklet waited for.
        unsafe { wait_over(self.me.record) };
    }
}

/// One operation.
trait Case<R> {
    /// Does it, if it would not wait, and keeps the outcome. Whether it was done.
    fn attempt(&mut self, scheduler: &Scheduler) -> bool;
    /// Makes an entry; `None` if there is no memory.
    fn register(&mut self, record: *const Record) -> Option<(Rc<dyn Queue>, Index)>;
    /// Takes the entry out of its line.
    fn withdraw(&self);
    /// Whether the entry was met.
    fn is_met(&self) -> bool;
    /// It took place: calls the closure.
    fn conclude(self: Box<Self>) -> R;
}

/// An entry in a channel, which is given back when this is dropped.
struct Entry<T: 'static> {
    inner: Rc<Inner<T>>,
    index: Option<Index>,
}

impl<T: 'static> Entry<T> {
    fn new(channel: &Channel<T>) -> Entry<T> {
        Entry { inner: channel.inner().clone(), index: None }
    }

    fn queue(&mut self, index: Index) -> (Rc<dyn Queue>, Index) {
        self.index = Some(index);
        (self.inner.clone(), index)
    }

    fn withdraw(&self) {
        if let Some(index) = self.index {
            self.inner.withdraw(index);
        }
    }

    fn is_met(&self) -> bool {
        self.index.is_some_and(|index| matches!(self.inner.mark(index), Mark::Met | Mark::Closed))
    }

    fn over(&mut self) -> Option<Message<T>> {
        self.index.take().and_then(|index| self.inner.release(index).1)
    }
}

impl<T: 'static> Drop for Entry<T> {
    fn drop(&mut self) {
        drop(self.over());
    }
}

struct Receive<T: 'static, F> {
    entry: Entry<T>,
    outcome: Option<Result<T, ReceiveError>>,
    then: F,
}

impl<T: 'static, R, F: FnOnce(Result<T, ReceiveError>) -> R> Case<R> for Receive<T, F> {
    fn attempt(&mut self, scheduler: &Scheduler) -> bool {
        self.outcome = self.entry.inner.receive_now(scheduler);
        self.outcome.is_some()
    }

    fn register(&mut self, record: *const Record) -> Option<(Rc<dyn Queue>, Index)> {
        let index = self.entry.inner.register(record, Operation::Receive, None).ok()?;
        Some(self.entry.queue(index))
    }

    fn withdraw(&self) {
        self.entry.withdraw();
    }

    fn is_met(&self) -> bool {
        self.entry.is_met()
    }

    fn conclude(self: Box<Self>) -> R {
        let Receive { mut entry, outcome, then } = *self;
        let outcome = outcome.unwrap_or_else(|| match entry.over() {
            Some(message) => message.map_err(ReceiveError::Thrown),
            None => Err(ReceiveError::Closed),
        });
        drop(entry);
        then(outcome)
    }
}

struct Send<T: 'static, F> {
    entry: Entry<T>,
    /// What is to be sent, until it lies in the channel.
    message: Option<Message<T>>,
    outcome: Option<Result<(), SendError<T>>>,
    then: F,
}

impl<T: 'static, R, F: FnOnce(Result<(), SendError<T>>) -> R> Case<R> for Send<T, F> {
    fn attempt(&mut self, scheduler: &Scheduler) -> bool {
        let sent = self.entry.inner.send_now(scheduler, &mut self.message);
        self.outcome = sent.map(|sent| sent.map_err(|error| error.map(value_of)));
        self.outcome.is_some()
    }

    fn register(&mut self, record: *const Record) -> Option<(Rc<dyn Queue>, Index)> {
        match self.entry.inner.register(record, Operation::Send, self.message.take()) {
            Ok(index) => Some(self.entry.queue(index)),
            Err(message) => {
                self.message = message;
                None
            }
        }
    }

    fn withdraw(&self) {
        self.entry.withdraw();
    }

    fn is_met(&self) -> bool {
        self.entry.is_met()
    }

    fn conclude(self: Box<Self>) -> R {
        let Send { entry, outcome, then, .. } = *self;
        drop(entry);
        then(outcome.unwrap_or(Ok(())))
    }
}

impl<'a, R: 'a> Default for Select<'a, R> {
    fn default() -> Self {
        Select::new()
    }
}

impl<R> fmt::Debug for Select<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select").field("operations", &self.cases.len()).finish_non_exhaustive()
    }
}
