//! Connections, from the first line to the last. Everything here is written as for a thread each.

use crate::net::{Listener, Signal, Stream};
use crate::reactor::Reactor;
use crate::room::{Hall, Member};
use crate::spawn;
use greenlet::tasklet::AnyTasklet;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

/// What a connection may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long it may say nothing, and how long it may take to accept what is sent to it.
    pub idle: Duration,
    /// The longest line, in bytes.
    pub line: usize,
    /// How much may wait to be sent to it, in bytes.
    pub outbox: usize,
    /// How long all may take to leave when the server stops.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        let (idle, grace) = (Duration::from_secs(60), Duration::from_secs(5));
        Limits { idle, line: 8 << 10, outbox: 1 << 20, grace }
    }
}

/// What a server has done.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Report {
    pub connections: u64,
    pub most_at_once: usize,
    /// Lines received.
    pub received: u64,
    /// Lines given to the outboxes of members.
    pub delivered: u64,
    /// Members who were sent away since they did not read.
    pub too_slow: u64,
    /// Connections that had to be cut when the server stopped.
    pub cut: usize,
}

struct Server {
    reactor: Rc<Reactor>,
    limits: Limits,
    hall: Hall,
    connections: RefCell<HashMap<u64, Stream>>,
    report: Cell<Report>,
    stopping: Cell<bool>,
    /// Cuts the connections that are still there when the time for leaving is over.
    cutter: RefCell<Option<AnyTasklet>>,
}

/// Serves until something is written to the other end of `stop`, or that is closed: no new connections then, a last line for all, and time to
/// send what is on its way.
///
/// # Errors
///
/// Those of the kernel. What goes wrong with one connection ends that one.
pub fn serve(listener: TcpListener, stop: UnixStream, limits: Limits) -> io::Result<Report> {
    let reactor = Reactor::new()?;
    let listener = Listener::new(&reactor, listener)?;
    let stop = Signal::new(&reactor, stop)?;
    let server = Rc::new(Server {
        reactor: reactor.clone(),
        limits,
        hall: Hall::default(),
        connections: RefCell::default(),
        report: Cell::default(),
        stopping: Cell::new(false),
        cutter: RefCell::default(),
    });

    let this = server.clone();
    let acceptor = spawn(move || this.accept(&listener));
    let this = server.clone();
    let stopper = spawn(move || {
        let stopped = stop.wait();
        let _ = acceptor.kill(); // the listener is closed with it
        this.stop();
        stopped
    });
    reactor.run()?;
    stopper.join().map_err(|why| io::Error::other(why.to_string()))??;
    let mut report = server.report.get();
    report.delivered = server.hall.delivered.get();
    report.too_slow = server.hall.too_slow.get();
    Ok(report)
}

impl Server {
    fn count(&self, change: impl FnOnce(&mut Report)) {
        let mut report = self.report.get();
        change(&mut report);
        self.report.set(report);
    }

    /// Accepts for ever.
    fn accept(self: &Rc<Self>, listener: &Listener) {
        let mut full = false;
        loop {
            match listener.accept() {
                Ok(stream) => {
                    full = false;
                    let this = self.clone();
                    spawn(move || this.attend(stream));
                }
                Err(why) if why.kind() == ErrorKind::ConnectionAborted => {}
                Err(why) => {
                    // No descriptor is left, most likely. Those that wait in the kernel are served when others have left.
                    if !std::mem::replace(&mut full, true) {
                        eprintln!("chat: cannot accept now: {why}");
                    }
                    let _ = self.reactor.sleep(Duration::from_millis(100));
                }
            }
        }
    }

    /// One connection.
    fn attend(self: &Rc<Self>, stream: Stream) {
        if self.stopping.get() {
            return;
        }
        let number = {
            let mut connections = self.connections.borrow_mut();
            self.count(|report| {
                report.connections += 1;
                report.most_at_once = report.most_at_once.max(connections.len() + 1);
            });
            let number = self.report.get().connections;
            connections.insert(number, stream.clone());
            number
        };
        stream.set_read_timeout(Some(self.limits.idle));
        stream.set_write_timeout(Some(self.limits.idle));
        // Whatever went wrong, went wrong with this one only, which is gone then.
        let _ = self.talk(&stream);
        let last = {
            let mut connections = self.connections.borrow_mut();
            connections.remove(&number);
            connections.is_empty()
        };
        if last && let Some(cutter) = self.cutter.take() {
            let _ = cutter.kill();
        }
    }

    /// A name, then lines until the end.
    fn talk(self: &Rc<Self>, stream: &Stream) -> io::Result<()> {
        let mut reader = BufReader::with_capacity(512, stream.clone());
        let mut line = String::new();
        let member = loop {
            if !self.read_line(&mut reader, &mut line)? {
                return Ok(());
            }
            let name = line.trim();
            let valid =
                !name.is_empty() && name.len() <= 32 && !name.contains([' ', ':', '/', '*']);
            match valid.then(|| self.hall.enter(name, stream, self.limits.outbox)) {
                Some(Some(member)) => break member,
                Some(None) => stream.clone().write_all(b"* that name is taken\n")?,
                None => stream.clone().write_all(b"* a name is a word\n")?,
            }
        };
        let writer = {
            let (member, stream) = (member.clone(), stream.clone());
            spawn(move || write(stream, &member))
        };
        let tell = |line: &str| self.hall.tell(&member, &line.into());
        tell(&format!("* welcome, {}\n", member.name));

        let ended = loop {
            match self.read_line(&mut reader, &mut line) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(why) => {
                    match why.kind() {
                        ErrorKind::TimedOut => tell("* you have said nothing for too long\n"),
                        ErrorKind::InvalidData => tell(&format!("* {why}\n")),
                        _ => {}
                    }
                    break Err(why);
                }
            }
            let text = line.trim_end_matches(['\r', '\n']);
            match text.trim_end().split_once(' ').unwrap_or((text.trim_end(), "")) {
                ("/join", room) if !room.is_empty() => self.hall.join(&member, room),
                ("/who", _) => tell(&format!("* here: {}\n", self.hall.names(&member))),
                ("/quit", _) => {
                    tell("* bye\n");
                    break Ok(());
                }
                (command, _) if command.starts_with('/') => tell("* /join ROOM, /who or /quit\n"),
                _ if self.hall.say(&member, text) => {}
                _ => tell("* /join a room first\n"),
            }
        };
        self.hall.leave(&member);
        let _ = writer.join();
        // The other side reads what was sent last only if nothing that it has sent is thrown away unread.
        stream.set_read_timeout(Some(Duration::from_secs(1)));
        let mut rest = 1 << 20;
        while rest > 0 {
            match reader.read(&mut [0; 512]) {
                Ok(count) if count > 0 => rest = usize::saturating_sub(rest, count),
                _ => break,
            }
        }
        ended
    }

    /// The next line. False at the end.
    fn read_line(&self, reader: &mut BufReader<Stream>, line: &mut String) -> io::Result<bool> {
        line.clear();
        let most = self.limits.line;
        reader.take(most as u64).read_line(line)?;
        if line.ends_with('\n') {
            self.count(|report| report.received += 1);
            Ok(true)
        } else if line.len() < most {
            Ok(false) // a line that is not complete was not said
        } else {
            let why = format!("a line has at most {most} bytes");
            Err(io::Error::new(ErrorKind::InvalidData, why))
        }
    }

    /// Everybody has to leave.
    fn stop(self: &Rc<Self>) {
        self.stopping.set(true);
        self.hall.farewell("* the server stops\n");
        let connections: Vec<_> = self.connections.borrow().values().cloned().collect();
        if connections.is_empty() {
            return;
        }
        let this = self.clone();
        let cutter = spawn(move || {
            let _ = this.reactor.sleep(this.limits.grace);
            let connections: Vec<_> = this.connections.borrow().values().cloned().collect();
            this.count(|report| report.cut = connections.len());
            for connection in connections {
                let _ = connection.shutdown(Shutdown::Both);
            }
        });
        *self.cutter.borrow_mut() = Some(cutter.into());
        // Who reads finds the end now, and leaves as if the other side had left.
        for connection in connections {
            let _ = connection.shutdown(Shutdown::Read);
        }
    }
}

/// Sends what is in the outbox, until that is closed.
fn write(mut stream: Stream, member: &Member) {
    let mut batch = Vec::new();
    while member.outbox.take(&mut batch) {
        if stream.write_all(&batch).is_err() {
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
}
