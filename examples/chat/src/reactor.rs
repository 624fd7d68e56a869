//! The loop around epoll (kqueue on a Mac): which tasklet waits for which socket, and until when.
//!
//! A tasklet that has to wait leaves its handle here and is paused. The thread's main tasklet runs the loop: it takes its turn
//! as all others do, asks the kernel who is ready, and inserts those into the run queue. It must never know what is read or written.

use greenlet::tasklet::{self, AnyTasklet};
use mio::event::Source;
use mio::{Events, Interest, Poll, Token};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::mem;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What one waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    Read,
    Write,
}

/// When a wait is over, and a number to tell those apart that are over at the same time.
type Timer = (Instant, u64);

/// Who waits for one direction of a socket.
#[derive(Default)]
enum Side {
    #[default]
    Nobody,
    Waits(AnyTasklet, Option<Timer>),
    /// Its time was over before it was ready. It has not looked yet.
    Expired,
}

/// The two sides of a socket. A sleeper has a token without a socket.
#[derive(Default)]
struct Sides {
    read: Side,
    write: Side,
}

impl Sides {
    fn of(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }
}

/// The loop of one thread.
pub struct Reactor {
    poll: RefCell<Poll>,
    sockets: RefCell<HashMap<Token, Sides>>,
    timers: RefCell<BTreeMap<Timer, (Token, Direction)>>,
    /// How many are in `sockets` as waiting.
    waiting: Cell<usize>,
    /// Tokens and timers are numbered, and no number is used twice: an event of a socket that is gone finds nobody.
    numbers: Cell<usize>,
}

impl Reactor {
    /// # Errors
    ///
    /// Those of the kernel.
    pub fn new() -> io::Result<Rc<Reactor>> {
        Ok(Rc::new(Reactor {
            poll: RefCell::new(Poll::new()?),
            sockets: RefCell::default(),
            timers: RefCell::default(),
            waiting: Cell::new(0),
            numbers: Cell::new(0),
        }))
    }

    fn number(&self) -> usize {
        self.numbers.set(self.numbers.get() + 1);
        self.numbers.get()
    }

    /// From now on the kernel tells when there is something new for this socket, in either direction.
    pub(crate) fn add(&self, source: &mut impl Source) -> io::Result<Token> {
        let token = Token(self.number());
        let interests = Interest::READABLE | Interest::WRITABLE;
        self.poll.borrow().registry().register(source, token, interests)?;
        self.sockets.borrow_mut().insert(token, Sides::default());
        Ok(token)
    }

    pub(crate) fn remove(&self, source: &mut impl Source, token: Token) {
        let _ = self.poll.borrow().registry().deregister(source);
        let sides = self.sockets.borrow_mut().remove(&token);
        drop(sides); // after the borrow has ended
    }

    /// The current tasklet waits until there may be something new, which is why it has to try before it waits.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut) at `deadline`. Others if nobody else can run now.
    pub(crate) fn wait(
        &self,
        token: Token,
        direction: Direction,
        deadline: Option<Instant>,
    ) -> io::Result<()> {
        /// However the wait ends (the tasklet may be killed), nobody waits any more.
        struct Waits<'a>(&'a Reactor, Token, Direction);
        impl Drop for Waits<'_> {
            fn drop(&mut self) {
                drop(self.0.take(self.1, self.2));
            }
        }
        let timer = deadline.map(|deadline| (deadline, self.number() as u64));
        let side = Side::Waits(tasklet::current(), timer);
        let before = match self.sockets.borrow_mut().get_mut(&token) {
            Some(sides) => mem::replace(sides.of(direction), side),
            None => return Err(io::ErrorKind::NotConnected.into()),
        };
        assert!(matches!(before, Side::Nobody), "one at a time waits for one direction");
        if let Some(timer) = timer {
            self.timers.borrow_mut().insert(timer, (token, direction));
        }
        self.waiting.set(self.waiting.get() + 1);
        let waits = Waits(self, token, direction);
        let paused = tasklet::pause();
        let expired = matches!(self.take(token, direction), Side::Expired);
        mem::forget(waits);
        paused.map_err(|why| io::Error::other(why.to_string()))?;
        if expired { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }

    /// The current tasklet does nothing until then.
    ///
    /// # Errors
    ///
    /// If nobody else can run now.
    pub fn sleep(&self, time: Duration) -> io::Result<()> {
        struct Sleeper<'a>(&'a Reactor, Token);
        impl Drop for Sleeper<'_> {
            fn drop(&mut self) {
                let sides = self.0.sockets.borrow_mut().remove(&self.1);
                drop(sides);
            }
        }
        let token = Token(self.number());
        self.sockets.borrow_mut().insert(token, Sides::default());
        let sleeper = Sleeper(self, token);
        match self.wait(sleeper.1, Direction::Read, Some(Instant::now() + time)) {
            Err(why) if why.kind() == io::ErrorKind::TimedOut => Ok(()),
            other => other,
        }
    }

    /// Nobody waits for this side any more. What is returned is dropped by the caller: the drop of a tasklet's last handle
    /// runs that tasklet's destructors, and nothing may be borrowed then.
    fn take(&self, token: Token, direction: Direction) -> Side {
        let side = self
            .sockets
            .borrow_mut()
            .get_mut(&token)
            .map(|sides| mem::take(sides.of(direction)))
            .unwrap_or_default();
        if let Side::Waits(_, timer) = &side {
            self.waiting.set(self.waiting.get() - 1);
            if let Some(timer) = timer {
                self.timers.borrow_mut().remove(timer);
            }
        }
        side
    }

    /// Makes who waits for this side ready. Nothing happens if nobody does.
    fn wake(&self, token: Token, direction: Direction, expired: bool) {
        if let Side::Waits(tasklet, _) = self.take(token, direction) {
            if expired && let Some(sides) = self.sockets.borrow_mut().get_mut(&token) {
                *sides.of(direction) = Side::Expired;
            }
            // It was paused, so it can only be refused if somebody has inserted or finished it by hand.
            let _ = tasklet.insert();
        }
    }

    /// Lets the tasklets run, as long as one is ready or waits here. To be called in the main tasklet, which takes its turn
    /// like any other, so that nobody who is always ready keeps the others from hearing of their sockets.
    ///
    /// # Errors
    ///
    /// Those of the kernel. Others if a tasklet waits for something that nobody is left to do.
    pub fn run(&self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            tasklet::try_schedule().map_err(|why| io::Error::other(why.to_string()))?;
            let timeout = match (tasklet::ready_count(), self.waiting.get()) {
                (0, 0) => break,
                (0, _) => self.until_next_timer(),
                _ => Some(Duration::ZERO),
            };
            match self.poll.borrow_mut().poll(&mut events, timeout) {
                Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                let broken = event.is_error() || event.is_read_closed() && event.is_write_closed();
                if event.is_readable() || event.is_read_closed() || broken {
                    self.wake(event.token(), Direction::Read, false);
                }
                if event.is_writable() || event.is_write_closed() || broken {
                    self.wake(event.token(), Direction::Write, false);
                }
            }
            self.expire();
        }
        match &tasklet::blocked()[..] {
            [] => Ok(()),
            [first, ..] => Err(io::Error::other(format!("nobody is left to meet {first}"))),
        }
    }

    fn until_next_timer(&self) -> Option<Duration> {
        let timers = self.timers.borrow();
        timers.keys().next().map(|(at, _)| at.saturating_duration_since(Instant::now()))
    }

    fn expire(&self) {
        let now = Instant::now();
        loop {
            let next = self.timers.borrow().iter().next().map(|(timer, who)| (timer.0, *who));
            match next {
                Some((at, (token, direction))) if at <= now => self.wake(token, direction, true),
                _ => break,
            }
        }
    }
}
