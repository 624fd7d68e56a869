//! Channels: a sender and a receiver meet, and a value goes from one to the other. Nothing is buffered.
//!
//! A value that waits lies in the channel, in the heap, never in the frames of the one that sends it. It must never
//! know who runs next: it asks the scheduler for that. No code of the user's runs while the channel's state is borrowed.

use super::error::{Operation, ReceiveError, SendError, WaitError};
use super::record::{Queue, Record, Wait};
use super::scheduler::{Me, Scheduler, scheduler};
use super::waiters::{Index, Line, Mark, Waiters};
use crate::error::{OutOfMemory, Payload, Refused};
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::panic::Location;

/// Who runs on when a sender and a receiver have met: the one that came last, which runs, or the one that has waited.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Preference {
    /// The receiver, at once: a sender that meets a waiting receiver goes to the end of the run queue.
    #[default]
    Receiver,
    /// The sender, at once: a receiver that meets a waiting sender goes to the end of the run queue.
    Sender,
    /// The one that runs goes on, and the one that has waited goes to the end of the run queue.
    Neither,
}

/// What is sent: a value, or something to be thrown.
pub(super) type Message<T> = Result<T, Payload>;

/// The two lines of a channel. Where both have somebody, it is one and the same select.
pub(super) struct Lines<T> {
    waiters: Waiters<Message<T>>,
    senders: Line,
    receivers: Line,
}

/// A channel's state.
pub(super) struct Inner<T> {
    lines: RefCell<Lines<T>>,
    preference: Cell<Preference>,
    closed: Cell<bool>,
    name: RefCell<Option<Box<str>>>,
    made: &'static Location<'static>,
}

/// Sends values of type `T` from one tasklet to another.
///
/// A handle; its clones are the same channel. [`send`](Self::send) waits until somebody receives, and
/// [`receive`](Self::receive) until somebody sends; meanwhile other tasklets run. Who comes first is served first.
///
/// ```
/// use greenlet::tasklet::{self, Channel};
///
/// let numbers = Channel::new();
/// let sender = numbers.clone();
/// // SAFETY: nothing outside points into the closure's frames.
/// unsafe {
///     tasklet::spawn(move || {
///         for n in 1..=3 {
///             sender.send(n).unwrap();
///         }
///         sender.close();
///     })
/// };
/// assert_eq!(numbers.iter().sum::<u32>(), 6);
/// ```
pub struct Channel<T: 'static>(Rc<Inner<T>>);

impl<T: 'static> Channel<T> {
    /// A channel, open, that prefers receivers.
    #[track_caller]
    pub fn new() -> Channel<T> {
        Channel::with_preference(Preference::default())
    }

    /// A channel with this preference.
    #[track_caller]
    pub fn with_preference(preference: Preference) -> Channel<T> {
        let lines = Lines { waiters: Waiters::new(), senders: Line::new(), receivers: Line::new() };
        Channel(Rc::new(Inner {
            lines: RefCell::new(lines),
            preference: Cell::new(preference),
            closed: Cell::new(false),
            name: RefCell::new(None),
            made: Location::caller(),
        }))
    }

    /// Sends `value`, and waits until somebody receives it.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the value: nothing was sent.
    ///
    /// # Panics
    ///
    /// Goes on with what is thrown into the current tasklet meanwhile. So for all operations that may let another one run.
    #[track_caller]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        let at = Location::caller();
        self.send_message(Ok(value), Some(at)).map_err(|error| error.map(value_of))
    }

    /// Sends `value` if somebody waits to receive it.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); [`SendError::WouldBlock`] if nobody waits.
    pub fn try_send(&self, value: T) -> Result<(), SendError<T>> {
        self.send_message(Ok(value), None).map_err(|error| error.map(value_of))
    }

    /// Throws `payload` through the channel: who receives it gets [`ReceiveError::Thrown`]. Waits as [`send`](Self::send)
    /// does.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), with the payload.
    ///
    /// # Panics
    ///
    /// As [`send`](Self::send).
    #[track_caller]
    pub fn throw(&self, payload: Payload) -> Result<(), SendError<Payload>> {
        let at = Location::caller();
        self.send_message(Err(payload), Some(at)).map_err(|error| {
            error.map(|message| match message {
                Err(payload) => payload,
                Ok(_) => unreachable!("a payload was sent"),
            })
        })
    }

    /// Receives a value, and waits until somebody sends one.
    ///
    /// # Errors
    ///
    /// [`ReceiveError`].
    ///
    /// # Panics
    ///
    /// As [`send`](Self::send).
    #[track_caller]
    pub fn receive(&self) -> Result<T, ReceiveError> {
        self.receive_message(Some(Location::caller()))
    }

    /// Receives a value if somebody waits to send one.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive); [`ReceiveError::WouldBlock`] if nobody waits.
    pub fn try_receive(&self) -> Result<T, ReceiveError> {
        self.receive_message(None)
    }

    /// How many wait: positive if they want to send, negative if they want to receive. A select that waits to do either with
    /// this channel counts for nothing.
    pub fn balance(&self) -> isize {
        let lines = self.0.lines.borrow();
        lines.senders.len() as isize - lines.receivers.len() as isize
    }

    /// Who runs on when two have met.
    pub fn preference(&self) -> Preference {
        self.0.preference.get()
    }

    /// Changes that, from the next meeting on.
    pub fn set_preference(&self, preference: Preference) {
        self.0.preference.set(preference);
    }

    /// Closes the channel: nobody can send any more. Who waits to receive is ready, and gets [`ReceiveError::Closed`]. Who waits to send came
    /// before that, and goes on waiting for somebody to receive.
    pub fn close(&self) {
        // SAFETY: the state of this thread; whoever is in line is blocked.
        unsafe {
            let scheduler = &*scheduler();
            self.0.closed.set(true);
            while let Some(receiver) = self.0.meet_receiver(|_| Mark::Closed) {
                scheduler.unblock(receiver);
                scheduler.enqueue(receiver);
            }
        }
    }

    /// Opens it again.
    pub fn open(&self) {
        self.0.closed.set(false);
    }

    /// Whether it has been closed.
    pub fn is_closed(&self) -> bool {
        self.0.closed.get()
    }

    /// What is received until the channel is closed, and what was sent before has been received.
    pub fn iter(&self) -> Received<'_, T> {
        Received(self)
    }

    /// Gives it a name, for reports.
    pub fn set_name(&self, name: impl Into<String>) {
        let name = name.into().into_boxed_str();
        *self.0.name.borrow_mut() = Some(name);
    }

    /// The name that it was given.
    pub fn name(&self) -> Option<String> {
        self.0.name.borrow().as_deref().map(String::from)
    }

    pub(super) fn inner(&self) -> &Rc<Inner<T>> {
        &self.0
    }

    /// `at` is `None` if the caller does not want to wait.
    #[inline]
    fn send_message(
        &self,
        message: Message<T>,
        at: Option<&'static Location<'static>>,
    ) -> Result<(), SendError<Message<T>>> {
        // SAFETY: the state of this thread.
        let scheduler = unsafe { &*scheduler() };
        let mut message = Some(message);
        if let Some(sent) = self.0.send_now(scheduler, &mut message) {
            return sent;
        }
        let message = message.unwrap();
        let Some(at) = at else { return Err(SendError::WouldBlock(message)) };
        if let Some(why) = scheduler.stuck() {
            return Err(SendError::Refused(message, why));
        }
        let registered = match Registered::new(scheduler, &self.0, Operation::Send, Some(message)) {
            Ok(registered) => registered,
            Err(message) => {
                return Err(SendError::Refused(message.unwrap(), Refused::OutOfMemory));
            }
        };
        let waited = registered.wait(scheduler, at);
        match (waited, registered.over()) {
            (Err(error), (_, Some(message))) => Err(SendError::stopped(message, error)),
            // It was taken.
            _ => Ok(()),
        }
    }

    #[inline]
    fn receive_message(&self, at: Option<&'static Location<'static>>) -> Result<T, ReceiveError> {
        // SAFETY: the state of this thread.
        let scheduler = unsafe { &*scheduler() };
        if let Some(received) = self.0.receive_now(scheduler) {
            return received;
        }
        let Some(at) = at else { return Err(ReceiveError::WouldBlock) };
        if let Some(why) = scheduler.stuck() {
            return Err(ReceiveError::Refused(why));
        }
        let Ok(registered) = Registered::new(scheduler, &self.0, Operation::Receive, None) else {
            return Err(ReceiveError::Refused(Refused::OutOfMemory));
        };
        let waited = registered.wait(scheduler, at);
        let (_, message) = registered.over();
        match (message, waited) {
            (Some(message), _) => message.map_err(ReceiveError::Thrown),
            (None, Ok(())) => Err(ReceiveError::Closed),
            (None, Err(error)) => Err(error.into()),
        }
    }
}

/// What was to be sent was a value.
pub(super) fn value_of<T>(message: Message<T>) -> T {
    match message {
        Ok(value) => value,
        Err(_) => unreachable!("a value was sent"),
    }
}

impl<T: 'static> Inner<T> {
    /// Takes the first receiver out of its line, after `meet` has left something in its entry.
    #[inline]
    fn meet_receiver(
        &self,
        meet: impl FnOnce(&mut Option<Message<T>>) -> Mark,
    ) -> Option<*const Record> {
        let Lines { waiters, receivers, .. } = &mut *self.lines.borrow_mut();
        let (index, receiver) = waiters.first(receivers)?;
        let mark = meet(waiters.message(index));
        waiters.unlink(receivers, index, mark);
        Some(receiver)
    }

    /// Sends what is in `message`, without waiting: gives it to the first receiver, or back if the channel is closed. `None`, and nothing
    /// done, if nobody waits.
    #[inline]
    pub(super) fn send_now(
        &self,
        scheduler: &Scheduler,
        message: &mut Option<Message<T>>,
    ) -> Option<Result<(), SendError<Message<T>>>> {
        let met = self.meet_receiver(|entry| {
            *entry = message.take();
            Mark::Met
        });
        match met {
            Some(receiver) => {
                self.met(scheduler, receiver, Preference::Receiver);
                Some(Ok(()))
            }
            None if self.closed.get() => message.take().map(|m| Err(SendError::Closed(m))),
            None => None,
        }
    }

    /// Receives without waiting: from the first sender, or nothing since the channel is closed. `None`, and nothing done, if nobody waits.
    #[inline]
    pub(super) fn receive_now(&self, scheduler: &Scheduler) -> Option<Result<T, ReceiveError>> {
        let met = {
            let Lines { waiters, senders, .. } = &mut *self.lines.borrow_mut();
            waiters.first(senders).map(|(index, sender)| {
                let message = waiters.message(index).take();
                waiters.unlink(senders, index, Mark::Met);
                (message, sender)
            })
        };
        match met {
            Some((message, sender)) => {
                self.met(scheduler, sender, Preference::Sender);
                message.map(|message| message.map_err(ReceiveError::Thrown))
            }
            // Not `then_some`: that makes the error, and drops it, each time.
            None if self.closed.get() => Some(Err(ReceiveError::Closed)),
            None => None,
        }
    }

    /// The current tasklet has met `other`, which has waited as a receiver or sender, as `side` says.
    #[inline]
    fn met(&self, scheduler: &Scheduler, other: *const Record, side: Preference) {
        // SAFETY: it was in line, so it is blocked.
        unsafe {
            scheduler.unblock(other);
            if self.preference.get() == side {
                let _me = Me::of(scheduler);
                // If nobody can be switched to now, it is the next.
                let _ = scheduler.yield_to(other);
            } else {
                scheduler.enqueue(other);
            }
        }
    }

    /// A new entry of the current tasklet's.
    #[inline]
    pub(super) fn register(
        &self,
        record: *const Record,
        operation: Operation,
        message: Option<Message<T>>,
    ) -> Result<Index, Option<Message<T>>> {
        let Lines { waiters, senders, receivers } = &mut *self.lines.borrow_mut();
        let line = if operation == Operation::Send { senders } else { receivers };
        waiters.push(line, record, message).map_err(|(OutOfMemory, message)| message)
    }

    /// How far an entry has come.
    pub(super) fn mark(&self, index: Index) -> Mark {
        self.lines.borrow().waiters.mark(index)
    }

    /// Gives an entry back, with what it still has.
    #[inline]
    pub(super) fn release(&self, index: Index) -> (Mark, Option<Message<T>>) {
        self.lines.borrow_mut().waiters.release(index)
    }
}

impl<T: 'static> Queue for Inner<T> {
    fn withdraw(&self, index: Index) {
        let Lines { waiters, senders, receivers } = &mut *self.lines.borrow_mut();
        // A sender's message is there until it is taken, and a receiver's entry has none while it waits.
        let line = if waiters.message(index).is_some() { senders } else { receivers };
        waiters.unlink(line, index, Mark::Withdrawn);
    }

    fn describe(&self, index: Index) -> (Operation, String, &'static Location<'static>) {
        let sends = self.lines.borrow_mut().waiters.message(index).is_some();
        let operation = if sends { Operation::Send } else { Operation::Receive };
        let of = core::any::type_name::<T>();
        let with = match &*self.name.borrow() {
            Some(name) => format!("channel `{name}` of {of}"),
            None => format!("a channel of {of}"),
        };
        (operation, with, self.made)
    }
}

/// An entry of one that waits for nothing else. It is given back however the wait ends.
struct Registered<'a, T: 'static> {
    inner: &'a Inner<T>,
    index: Index,
    me: Me,
}

impl<'a, T: 'static> Registered<'a, T> {
    #[inline]
    fn new(
        scheduler: &Scheduler,
        inner: &'a Rc<Inner<T>>,
        operation: Operation,
        message: Option<Message<T>>,
    ) -> Result<Self, Option<Message<T>>> {
        let me = Me::of(scheduler);
        let index = inner.register(me.record, operation, message)?;
        // What the record waits for holds the channel, until the entry has been given back.
        // SAFETY: nobody looks at what the current one waits for. There is something if a destructor waits while an operation is being
        // left; its entry is withdrawn by then, and its frame holds the channel.
        unsafe {
            let wait = (*me.record).wait.get();
            if matches!(*wait, Wait::Nothing) {
                wait.write(Wait::One(inner.clone(), index)); // nothing to be dropped
            } else {
                *wait = Wait::One(inner.clone(), index);
            }
        }
        Ok(Registered { inner, index, me })
    }

    #[inline]
    fn wait(&self, scheduler: &Scheduler, at: &'static Location<'static>) -> Result<(), WaitError> {
        // SAFETY: the entry is in its line.
        unsafe { scheduler.block(at) }
    }

    #[inline]
    fn over(self) -> (Mark, Option<Message<T>>) {
        let this = core::mem::ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped, so this is the only copy.
        let _me = unsafe { core::ptr::read(&this.me) };
        let outcome = this.inner.release(this.index);
        // SAFETY: nobody looks at what the current one waits for.
        unsafe { super::record::wait_over(this.me.record) };
        outcome
    }
}

impl<T: 'static> Drop for Registered<'_, T> {
    fn drop(&mut self) {
        let outcome = self.inner.release(self.index);
        // SAFETY: nobody looks at what the tasklet waited for.
        unsafe { super::record::wait_over(self.me.record) };
        drop(outcome);
    }
}

impl<T: 'static> Default for Channel<T> {
    #[track_caller]
    fn default() -> Self {
        Channel::new()
    }
}

impl<T: 'static> Clone for Channel<T> {
    fn clone(&self) -> Self {
        Channel(self.0.clone())
    }
}

/// Whether they are the same channel.
impl<T: 'static> PartialEq for Channel<T> {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl<T: 'static> Eq for Channel<T> {}

impl<T: 'static> fmt::Debug for Channel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("name", &self.name())
            .field("balance", &self.balance())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// What is received from a channel, until it is closed.
///
/// # Panics
///
/// `next` goes on with what is thrown through the channel, and panics where [`Channel::receive`] has any other error than
/// [`ReceiveError::Closed`].
pub struct Received<'a, T: 'static>(&'a Channel<T>);

impl<T: 'static> Iterator for Received<'_, T> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        match self.0.receive() {
            Ok(value) => Some(value),
            Err(ReceiveError::Closed) => None,
            Err(error) => error.raise(),
        }
    }
}

impl<T: 'static> fmt::Debug for Received<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Received").field(self.0).finish()
    }
}

impl<'a, T: 'static> IntoIterator for &'a Channel<T> {
    type Item = T;
    type IntoIter = Received<'a, T>;
    fn into_iter(self) -> Received<'a, T> {
        self.iter()
    }
}
