//! The client: thousands of connections on one thread, in rooms, which check every line that they get.
//!
//! All are connected before the first one says something. It must never know how the server works, only what it promises: who is in a
//! room gets what is said there, complete, unchanged, and in the same order as all others.

use crate::net::Stream;
use crate::reactor::Reactor;
use crate::spawn;
use greenlet::tasklet::{Channel, Tasklet};
use std::cell::RefCell;
use std::collections::hash_map::{Entry, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// What is asked of a server.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub connections: usize,
    /// How many share a room. (The last room may have fewer.)
    pub room: usize,
    /// What each says.
    pub messages: usize,
    /// How long one operation may wait.
    pub timeout: Duration,
}

impl Default for Load {
    fn default() -> Load {
        Load { connections: 2000, room: 20, messages: 5, timeout: Duration::from_secs(3600) }
    }
}

/// What was seen, by all connections together.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Tally {
    pub connections: usize,
    pub sent: u64,
    /// Messages of the room, each compared with what was sent.
    pub checked: u64,
}

/// The order of a room's messages, as the first who got that far has seen it: who said it, and which of his it was.
type Order = RefCell<Vec<(usize, usize)>>;

/// Connects, talks, checks, and leaves.
///
/// # Errors
///
/// The first thing that went wrong: of the kernel, or [`InvalidData`](io::ErrorKind::InvalidData) for what was not as it has to be.
pub fn load(address: SocketAddr, load: Load) -> io::Result<Tally> {
    assert!(load.room > 0, "a room has somebody in it");
    let reactor = Reactor::new()?;
    let this = reactor.clone();
    let all = spawn(move || {
        let mut clients = Vec::new();
        let talked = everybody(&this, address, load, &mut clients);
        // If one has failed, the others need not wait for it.
        for client in &clients {
            let _ = client.kill();
        }
        talked
    });
    reactor.run()?;
    all.join().map_err(|why| io::Error::other(why.to_string()))?
}

/// A connection, and how many it has sent and checked at its end.
type Talk = Tasklet<io::Result<(u64, u64)>>;

fn everybody(
    reactor: &Rc<Reactor>,
    address: SocketAddr,
    load: Load,
    clients: &mut Vec<Talk>,
) -> io::Result<Tally> {
    let gate = Channel::<()>::new();
    let mut order = Rc::<Order>::default();
    for number in 0..load.connections {
        if number % load.room == 0 {
            order = Rc::default();
        }
        let stream = Stream::connect(reactor, address, load.timeout)?;
        stream.set_read_timeout(Some(load.timeout));
        stream.set_write_timeout(Some(load.timeout));
        let (gate, order) = (gate.clone(), order.clone());
        clients.push(spawn(move || {
            let mut client = Client::new(number, load, stream, order);
            let why =
                |why: io::Error| io::Error::new(why.kind(), format!("client {number}: {why}"));
            client.talk(&gate).map_err(why)
        }));
    }
    gate.close();
    let mut tally = Tally { connections: clients.len(), ..Tally::default() };
    clients.reverse();
    while let Some(client) = clients.pop() {
        let (sent, checked) = client.join().map_err(|why| io::Error::other(why.to_string()))??;
        tally.sent += sent;
        tally.checked += checked;
    }
    Ok(tally)
}

/// What `who` says as its message number `which`: any reader can tell what it has to be.
fn message(who: usize, which: usize) -> String {
    let mut hasher = DefaultHasher::new();
    (who, which).hash(&mut hasher);
    let mut bits = hasher.finish();
    // Now and then one that does not fit into a packet.
    let length = if bits.is_multiple_of(16) { 3000 } else { bits % 150 };
    let mut text = format!("{which} ");
    for _ in 0..length {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push(char::from(b'a' + (bits >> 33) as u8 % 26));
    }
    text
}

struct Client {
    number: usize,
    load: Load,
    reader: BufReader<Stream>,
    line: String,
    order: Rc<Order>,
    /// How many messages of the room it has got, and of whom how many.
    got: usize,
    of: HashMap<usize, usize>,
}

impl Client {
    fn new(number: usize, load: Load, stream: Stream, order: Rc<Order>) -> Client {
        Client {
            number,
            load,
            reader: BufReader::with_capacity(4096, stream),
            line: String::new(),
            order,
            got: 0,
            of: HashMap::new(),
        }
    }

    fn room(&self) -> usize {
        self.number / self.load.room
    }

    /// How many will be in its room.
    fn company(&self) -> usize {
        self.load.room.min(self.load.connections - self.room() * self.load.room)
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        self.reader.get_mut().write_all(format!("{text}\n").as_bytes())
    }

    /// The next line, without its end.
    fn hear(&mut self) -> io::Result<&str> {
        self.line.clear();
        self.reader.read_line(&mut self.line)?;
        match self.line.strip_suffix('\n') {
            Some(line) => Ok(line),
            None => Err(wrong(format!("the end, after `{}`", self.line))),
        }
    }

    fn hear_exactly(&mut self, expected: &str) -> io::Result<()> {
        match self.hear()? {
            line if line == expected => Ok(()),
            line => Err(wrong(format!("`{line}` where `{expected}` was expected"))),
        }
    }

    /// How many it has sent and checked.
    fn talk(&mut self, gate: &Channel<()>) -> io::Result<(u64, u64)> {
        let (room, company) = (self.room(), self.company());
        self.say(&format!("c{}", self.number))?;
        self.hear_exactly(&format!("* welcome, c{}", self.number))?;
        let _ = gate.receive(); // until it is closed
        self.say(&format!("/join r{room}"))?;
        let full = format!("joins r{room} ({company} here)");
        loop {
            match self.hear()? {
                line if line.starts_with("* c") && line.ends_with(&full) => break,
                line if line.starts_with("* c") && line.contains(" joins ") => {}
                line => return Err(wrong(format!("`{line}` while the room fills"))),
            }
        }

        let all = company * self.load.messages;
        for which in 0..self.load.messages {
            self.say(&message(self.number, which))?;
            while self.of.get(&self.number).is_none_or(|got| *got <= which) {
                self.check_next()?;
            }
        }
        while self.got < all {
            self.check_next()?;
        }

        self.say("/quit")?;
        loop {
            match self.hear()? {
                "* bye" => break,
                line if line.starts_with("* c") && line.contains(" leaves ") => {}
                line => return Err(wrong(format!("`{line}` after the last message"))),
            }
        }
        match self.reader.read(&mut [0])? {
            0 => Ok((self.load.messages as u64, self.got as u64)),
            _ => Err(wrong("something after `* bye`".into())),
        }
    }

    /// The next message of the room has to be the next one of whoever says it, as it was said, and where all others have seen it.
    fn check_next(&mut self) -> io::Result<()> {
        let (room, load) = (self.room(), self.load);
        let line = self.hear()?;
        let parsed = line
            .strip_prefix('c')
            .and_then(|line| line.split_once(": "))
            .and_then(|(who, text)| Some((who.parse::<usize>().ok()?, text)))
            .filter(|(who, _)| who / load.room == room && *who < load.connections);
        let Some((who, text)) = parsed else {
            return Err(wrong(format!("`{line}` where a message was expected")));
        };
        let text = text.to_owned();
        let which = match self.of.entry(who) {
            Entry::Occupied(mut seen) => {
                *seen.get_mut() += 1;
                *seen.get() - 1
            }
            Entry::Vacant(new) => {
                new.insert(1);
                0
            }
        };
        if text != message(who, which) {
            return Err(wrong(format!("`{text}` is not message {which} of c{who}")));
        }
        let mut order = self.order.borrow_mut();
        match order.get(self.got) {
            None => order.push((who, which)),
            Some(first) if *first == (who, which) => {}
            Some((first, _)) => {
                let number = self.got;
                return Err(wrong(format!("c{who} where others heard c{first}, message {number}")));
            }
        }
        self.got += 1;
        Ok(())
    }
}

fn wrong(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
