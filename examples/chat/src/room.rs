//! Who is where, and what each has still to be sent. It must never know how a connection begins and ends.

use crate::net::Stream;
use greenlet::tasklet::{Channel, Preference};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::Shutdown;
use std::rc::Rc;

/// Lines on their way to one connection. Who puts one in never waits; the tasklet that writes them waits for the next.
pub struct Outbox {
    lines: RefCell<VecDeque<Rc<str>>>,
    bytes: Cell<usize>,
    most: usize,
    /// Rung when there is something new. Nobody has to hear it: who is busy writing will look.
    bell: Channel<()>,
}

impl Outbox {
    pub fn new(most: usize) -> Outbox {
        let bell = Channel::with_preference(Preference::Neither);
        Outbox { lines: RefCell::default(), bytes: Cell::new(0), most, bell }
    }

    /// False if so much is waiting already that the other side does not seem to read.
    pub fn push(&self, line: &Rc<str>) -> bool {
        if self.bell.is_closed() {
            return true; // it is leaving
        }
        if self.bytes.get() + line.len() > self.most {
            return false;
        }
        self.bytes.set(self.bytes.get() + line.len());
        self.lines.borrow_mut().push_back(line.clone());
        let _ = self.bell.try_send(());
        true
    }

    /// What is in it is still to be sent, but nothing else.
    pub fn close(&self) {
        self.bell.close();
    }

    /// Waits for something, and puts it into `batch`. False if that was all.
    pub fn take(&self, batch: &mut Vec<u8>) -> bool {
        const BATCH: usize = 16 << 10;
        batch.clear();
        loop {
            let mut lines = self.lines.borrow_mut();
            while batch.len() < BATCH
                && let Some(line) = lines.pop_front()
            {
                batch.extend_from_slice(line.as_bytes());
            }
            drop(lines);
            self.bytes.set(self.bytes.get() - batch.len());
            if !batch.is_empty() {
                return true;
            }
            if self.bell.is_closed() || self.bell.receive().is_err() && !self.bell.is_closed() {
                return false;
            }
        }
    }
}

/// Somebody who has said a name.
pub struct Member {
    pub name: String,
    pub outbox: Outbox,
    stream: Stream,
    room: RefCell<Option<String>>,
}

/// All members and rooms.
#[derive(Default)]
pub struct Hall {
    members: RefCell<HashMap<String, Rc<Member>>>,
    rooms: RefCell<BTreeMap<String, Vec<Rc<Member>>>>,
    /// Nobody is told who comes and goes any more.
    quiet: Cell<bool>,
    /// Lines given to outboxes.
    pub delivered: Cell<u64>,
    /// Members who were sent away since they did not read.
    pub too_slow: Cell<u64>,
}

impl Hall {
    /// `None` if somebody has that name.
    pub fn enter(&self, name: &str, stream: &Stream, most: usize) -> Option<Rc<Member>> {
        let mut members = self.members.borrow_mut();
        if members.contains_key(name) {
            return None;
        }
        let member = Rc::new(Member {
            name: name.into(),
            outbox: Outbox::new(most),
            stream: stream.clone(),
            room: RefCell::new(None),
        });
        members.insert(name.into(), member.clone());
        Some(member)
    }

    /// A line for one member.
    pub fn tell(&self, member: &Member, line: &Rc<str>) {
        self.delivered.set(self.delivered.get() + 1);
        if !member.outbox.push(line) {
            // Its tasklets find that the connection is over. Memory for one that does not read has an end.
            self.too_slow.set(self.too_slow.get() + 1);
            member.outbox.close();
            let _ = member.stream.shutdown(Shutdown::Both);
        }
    }

    /// A line for all in a room. Nobody waits here, so nobody comes or goes meanwhile.
    fn tell_room(&self, room: &str, line: String) {
        let line: Rc<str> = line.into();
        if let Some(members) = self.rooms.borrow().get(room) {
            members.iter().for_each(|member| self.tell(member, &line));
        }
    }

    /// What a member says to its room. False if it is in none.
    pub fn say(&self, member: &Member, text: &str) -> bool {
        let room = member.room.borrow();
        if let Some(room) = &*room {
            self.tell_room(room, format!("{}: {text}\n", member.name));
        }
        room.is_some()
    }

    pub fn join(&self, member: &Rc<Member>, room: &str) {
        self.leave_room(member);
        *member.room.borrow_mut() = Some(room.into());
        let mut rooms = self.rooms.borrow_mut();
        let members = rooms.entry(room.into()).or_default();
        members.push(member.clone());
        let here = members.len();
        drop(rooms);
        self.tell_room(room, format!("* {} joins {room} ({here} here)\n", member.name));
    }

    fn leave_room(&self, member: &Rc<Member>) {
        let Some(room) = member.room.take() else { return };
        let mut rooms = self.rooms.borrow_mut();
        let Some(members) = rooms.get_mut(&room) else { return };
        members.retain(|other| !Rc::ptr_eq(other, member));
        let here = members.len();
        if here == 0 {
            rooms.remove(&room);
        }
        drop(rooms);
        if !self.quiet.get() {
            self.tell_room(&room, format!("* {} leaves {room} ({here} here)\n", member.name));
        }
    }

    /// The member is gone.
    pub fn leave(&self, member: &Rc<Member>) {
        self.leave_room(member);
        self.members.borrow_mut().remove(&member.name);
        member.outbox.close();
    }

    /// The names in a member's room.
    pub fn names(&self, member: &Member) -> String {
        let (room, rooms) = (member.room.borrow(), self.rooms.borrow());
        let members = room.as_ref().and_then(|room| rooms.get(room));
        let names =
            members.map(|all| all.iter().map(|member| &member.name[..]).collect::<Vec<_>>());
        names.unwrap_or_default().join(", ")
    }

    /// A last line for everybody; then nobody is told who leaves.
    pub fn farewell(&self, line: &str) {
        self.quiet.set(true);
        let line = line.into();
        let members: Vec<_> = self.members.borrow().values().cloned().collect();
        members.iter().for_each(|member| self.tell(member, &line));
    }
}
