//! Sockets whose operations wait as those of `std::net` do, except that only the tasklet waits.
//!
//! Each first tries, and waits when the kernel says that it would have to. So a buffer is lent to the kernel for one call only, never while the tasklet
//! is suspended. It must never know what is sent.

use crate::reactor::{Direction, Reactor};
use greenlet::tasklet;
use mio::Token;
use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixStream};
use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How many operations in a row may succeed at once before the others have their turn.
const IN_A_ROW: u32 = 32;

/// A socket that the reactor knows, and for how long each direction may wait.
struct Socket<S: Source> {
    source: S,
    token: Token,
    reactor: Rc<Reactor>,
    read_timeout: Cell<Option<Duration>>,
    write_timeout: Cell<Option<Duration>>,
    in_a_row: Cell<u32>,
}

impl<S: Source> Socket<S> {
    fn new(reactor: &Rc<Reactor>, mut source: S) -> io::Result<Socket<S>> {
        Ok(Socket {
            token: reactor.add(&mut source)?,
            source,
            reactor: reactor.clone(),
            read_timeout: Cell::new(None),
            write_timeout: Cell::new(None),
            in_a_row: Cell::new(0),
        })
    }

    fn wait(&self, direction: Direction) -> io::Result<()> {
        let timeout = match direction {
            Direction::Read => self.read_timeout.get(),
            Direction::Write => self.write_timeout.get(),
        };
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        self.reactor.wait(self.token, direction, deadline)
    }

    /// Tries until the answer is another than "not now".
    fn try_until_ready<T>(
        &self,
        direction: Direction,
        mut attempt: impl FnMut(&S) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            match attempt(&self.source) {
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => {
                    self.in_a_row.set(0);
                    self.wait(direction)?;
                }
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                other => {
                    self.in_a_row.set(self.in_a_row.get() + 1);
                    if self.in_a_row.get() == IN_A_ROW {
                        self.in_a_row.set(0);
                        let _ = tasklet::try_schedule(); // it need not
                    }
                    return other;
                }
            }
        }
    }
}

impl<S: Source> Drop for Socket<S> {
    fn drop(&mut self) {
        self.reactor.remove(&mut self.source, self.token);
    }
}

/// Accepts connections.
pub struct Listener(Socket<TcpListener>);

impl Listener {
    /// # Errors
    ///
    /// Those of the kernel.
    pub fn new(reactor: &Rc<Reactor>, listener: std::net::TcpListener) -> io::Result<Listener> {
        listener.set_nonblocking(true)?;
        Ok(Listener(Socket::new(reactor, TcpListener::from_std(listener))?))
    }

    /// Waits for the next one.
    ///
    /// # Errors
    ///
    /// Those of the kernel; among them, that there is no descriptor left.
    pub fn accept(&self) -> io::Result<Stream> {
        let (stream, _) = self.0.try_until_ready(Direction::Read, TcpListener::accept)?;
        Stream::new(&self.0.reactor, stream)
    }
}

/// A connection. Its clones are the same one: one tasklet may read while another one writes.
#[derive(Clone)]
pub struct Stream(Rc<Socket<TcpStream>>);

impl Stream {
    fn new(reactor: &Rc<Reactor>, stream: TcpStream) -> io::Result<Stream> {
        let _ = stream.set_nodelay(true);
        Ok(Stream(Rc::new(Socket::new(reactor, stream)?)))
    }

    /// Connects, and waits until the other side has answered.
    ///
    /// # Errors
    ///
    /// Those of the kernel; [`TimedOut`](io::ErrorKind::TimedOut).
    pub fn connect(
        reactor: &Rc<Reactor>,
        address: SocketAddr,
        timeout: Duration,
    ) -> io::Result<Stream> {
        let stream = Stream::new(reactor, TcpStream::connect(address)?)?;
        let deadline = Instant::now() + timeout;
        loop {
            stream.0.reactor.wait(stream.0.token, Direction::Write, Some(deadline))?;
            if let Some(why) = stream.0.source.take_error()? {
                return Err(why);
            }
            match stream.0.source.peer_addr() {
                Ok(_) => return Ok(stream),
                Err(why) if why.kind() == io::ErrorKind::NotConnected => {} // woken for nothing
                Err(why) => return Err(why),
            }
        }
    }

    /// How long one read may wait.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) {
        self.0.read_timeout.set(timeout);
    }

    /// How long one write may wait.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) {
        self.0.write_timeout.set(timeout);
    }

    /// Ends one direction or both: who waits for it goes on.
    ///
    /// # Errors
    ///
    /// Those of the kernel.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.source.shutdown(how)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_until_ready(Direction::Read, |mut source| source.read(buffer))
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_until_ready(Direction::Write, |mut source| source.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One end of a pair of sockets, the other end of which somebody else has: another thread, or a signal.
pub struct Signal(Socket<UnixStream>);

impl Signal {
    /// # Errors
    ///
    /// Those of the kernel.
    pub fn new(
        reactor: &Rc<Reactor>,
        stream: std::os::unix::net::UnixStream,
    ) -> io::Result<Signal> {
        stream.set_nonblocking(true)?;
        Ok(Signal(Socket::new(reactor, UnixStream::from_std(stream))?))
    }

    /// Waits until the other end has written something, or is closed.
    ///
    /// # Errors
    ///
    /// Those of the kernel.
    pub fn wait(&self) -> io::Result<()> {
        self.0.try_until_ready(Direction::Read, |mut source| source.read(&mut [0])).map(drop)
    }
}
