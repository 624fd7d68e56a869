//! What a program of tasklets does, in plain data: lists of numbers, no greenlet, no stack, no panic.
//!
//! A program is a list of operations; whoever runs takes the next one. The model carries it out and answers with the log
//! that carrying it out with tasklets must produce.

use std::collections::VecDeque;

/// What one case of a select, or an operation on a channel, wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Send,
    Receive,
}
use Side::{Receive, Send};

/// The numbers choose among what there is.
#[derive(Clone, Debug)]
pub enum Op {
    Spawn { stubborn: bool },
    Schedule,
    RunAll,
    Run(u8),
    Pause,
    Insert(u8),
    Remove(u8),
    Channel { channel: u8, side: Side, waits: bool },
    ThrowThrough { channel: u8 },
    Close(u8),
    Open(u8),
    Prefer(u8, u8),
    Select { cases: Vec<(u8, Side)>, waits: bool },
    Wait(u8),
    Kill(u8),
    ThrowInto(u8),
    ThrowLater(u8),
    DropHandle(u8),
    Return,
    Panic,
    Look,
}

/// One operation with every choice made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Spawn {
        id: usize,
        stubborn: bool,
    },
    Schedule,
    RunAll,
    Run(usize),
    Pause,
    Insert(usize),
    Remove(usize),
    /// The value is only used by who sends.
    Channel {
        channel: usize,
        side: Side,
        value: u64,
        waits: bool,
    },
    ThrowThrough {
        channel: usize,
        value: u64,
    },
    Close(usize),
    Open(usize),
    Prefer(usize, usize),
    Select {
        cases: Vec<(usize, Side, u64)>,
        waits: bool,
    },
    Wait(usize),
    Kill(usize),
    ThrowInto(usize, u64),
    ThrowLater(usize, u64),
    DropHandle(usize),
    Return(u64),
    Panic(u64),
    Look,
    /// Nothing is possible.
    Nothing,
}

pub const CHANNELS: usize = 3;
const MOST: usize = 10;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    Running,
    Ready,
    Blocked,
    Paused,
    InRun,
    Finished,
}

/// What travels: a value, or a payload.
type Message = Result<u64, u64>;

#[derive(Clone, PartialEq)]
enum Pending {
    /// `None` is the end of a killed one.
    Thrown(Option<u64>),
    Deadlock(usize),
}

/// What an operation says when it goes on.
#[derive(Clone)]
enum Outcome {
    None,
    Done,
    Got(Message),
    Closed,
    Case(usize, Box<Outcome>),
}

/// What a suspended one is inside of.
#[derive(Clone, Copy, PartialEq)]
enum Inside {
    Nothing,
    /// Waiting to be inserted.
    Pause,
    /// Holds a handle to this one.
    With(usize),
}

struct T {
    state: State,
    begun: bool,
    stubborn: bool,
    handle: bool,
    pending: Option<Pending>,
    outcome: Outcome,
    inside: Inside,
    result: Option<Result<u64, Option<u64>>>,
}

struct Entry {
    who: usize,
    case: Option<usize>,
    message: Option<Message>,
}

#[derive(Default)]
struct Channel {
    senders: VecDeque<Entry>,
    receivers: VecDeque<Entry>,
    closed: bool,
    /// 0 the receiver, 1 the sender, 2 neither.
    preference: usize,
}

pub struct Model {
    all: Vec<T>,
    channels: Vec<Channel>,
    ready: VecDeque<usize>,
    /// In the order in which they began to wait.
    blocked: Vec<usize>,
    /// Who waits for whose end, in order.
    joins: Vec<(usize, usize)>,
    current: usize,
    values: u64,
    pub steps: Vec<Step>,
    pub log: Vec<String>,
}

/// Carries out a program.
pub fn run(ops: &[Op]) -> Model {
    let mut model = Model {
        all: Vec::new(),
        channels: (0..CHANNELS).map(|_| Channel::default()).collect(),
        ready: VecDeque::new(),
        blocked: Vec::new(),
        joins: Vec::new(),
        current: 0,
        values: 0,
        steps: Vec::new(),
        log: Vec::new(),
    };
    model.add(State::Running, true);
    model.all[0].begun = true;
    for op in ops {
        let step = model.choose(op);
        model.steps.push(step.clone());
        model.step(&step);
    }
    model.end();
    model
}

impl Model {
    fn add(&mut self, state: State, stubborn: bool) {
        self.all.push(T {
            state,
            begun: false,
            stubborn,
            handle: true,
            pending: None,
            outcome: Outcome::None,
            inside: Inside::Nothing,
            result: None,
        });
    }

    fn say(&mut self, what: impl std::fmt::Display) {
        self.log.push(format!("{}: {what}", self.current));
    }

    fn value(&mut self) -> u64 {
        self.values += 1;
        self.values
    }

    /// One of those to which there is a handle.
    fn one(&self, number: u8) -> usize {
        let known: Vec<_> = (0..self.all.len()).filter(|&id| self.all[id].handle).collect();
        known[number as usize % known.len()]
    }

    fn choose(&mut self, op: &Op) -> Step {
        let channel = |number: &u8| *number as usize % CHANNELS;
        match op {
            Op::Spawn { stubborn } => {
                let alive = self.all.iter().filter(|t| t.state != State::Finished).count();
                if alive < MOST {
                    Step::Spawn { id: self.all.len(), stubborn: *stubborn }
                } else {
                    Step::Nothing
                }
            }
            Op::Schedule => Step::Schedule,
            Op::RunAll if self.current == 0 => Step::RunAll,
            Op::RunAll => Step::Nothing,
            Op::Run(n) => Step::Run(self.one(*n)),
            Op::Pause => Step::Pause,
            Op::Insert(n) => Step::Insert(self.one(*n)),
            Op::Remove(n) => Step::Remove(self.one(*n)),
            Op::Channel { channel: n, side, waits } => Step::Channel {
                channel: channel(n),
                side: *side,
                value: self.value(),
                waits: *waits,
            },
            Op::ThrowThrough { channel: n } => {
                Step::ThrowThrough { channel: channel(n), value: self.value() }
            }
            Op::Close(n) => Step::Close(channel(n)),
            Op::Open(n) => Step::Open(channel(n)),
            Op::Prefer(n, preference) => Step::Prefer(channel(n), *preference as usize % 3),
            Op::Select { cases, waits } => {
                let cases =
                    cases.iter().map(|(n, side)| (channel(n), *side, self.value())).collect();
                Step::Select { cases, waits: *waits }
            }
            Op::Wait(n) => Step::Wait(self.one(*n)),
            Op::Kill(n) => Step::Kill(self.one(*n)),
            Op::ThrowInto(n) => Step::ThrowInto(self.one(*n), self.value()),
            Op::ThrowLater(n) => Step::ThrowLater(self.one(*n), self.value()),
            Op::DropHandle(n) => {
                let id = self.one(*n);
                let t = &self.all[id];
                let used = self.all.iter().any(|other| other.inside == Inside::With(id));
                // A stubborn one would go on inside the drop of its handle.
                let goes_on = t.state == State::Paused && t.begun && t.stubborn;
                if id == 0 || used || goes_on { Step::Nothing } else { Step::DropHandle(id) }
            }
            Op::Return if self.current != 0 => Step::Return(self.value()),
            Op::Panic => Step::Panic(self.value()),
            Op::Return | Op::Look => Step::Look,
        }
    }

    fn step(&mut self, step: &Step) {
        let me = self.current;
        match *step {
            Step::Nothing => {}
            Step::Spawn { id, stubborn } => {
                self.add(State::Ready, stubborn);
                self.ready.push_back(id);
            }
            Step::Schedule => {
                if let Some(next) = self.ready.pop_front() {
                    self.enqueue(me);
                    self.all[me].outcome = Outcome::Done;
                    self.go_on(next);
                } else {
                    self.say("done");
                }
            }
            Step::RunAll => {
                self.all[me].outcome = Outcome::Done;
                match self.ready.pop_front() {
                    None => self.say("done"),
                    Some(next) => {
                        self.all[me].state = State::InRun;
                        self.go_on(next);
                    }
                }
            }
            Step::Run(id) => match self.insert(id) {
                _ if id == me => self.say("done"),
                Err(why) => self.say(why),
                Ok(()) => {
                    self.ready.retain(|&other| other != id);
                    self.enqueue(me);
                    self.all[me].outcome = Outcome::Done;
                    self.all[me].inside = Inside::With(id);
                    self.go_on(id);
                }
            },
            Step::Pause => self.pause(),
            Step::Insert(id) => match self.insert(id) {
                Ok(()) => self.say("done"),
                Err(why) => self.say(why),
            },
            Step::Remove(id) => match self.all[id].state {
                State::Paused => self.say("done"),
                State::Blocked => self.say("the tasklet is blocked"),
                State::Finished => self.say("the greenlet has finished"),
                State::Running => self.pause(),
                State::InRun => self.say("the greenlet is the one that runs"),
                State::Ready => {
                    self.ready.retain(|&other| other != id);
                    self.all[id].state = State::Paused;
                    self.say("done");
                }
            },
            Step::Channel { channel, side, value, waits } => {
                self.operate(&[(channel, side, Ok(value))], waits, false);
            }
            Step::ThrowThrough { channel, value } => {
                self.operate(&[(channel, Send, Err(value))], true, false);
            }
            Step::Select { ref cases, waits } => {
                let cases: Vec<_> = cases
                    .iter()
                    .map(|&(channel, side, value)| (channel, side, Ok(value)))
                    .collect();
                self.operate(&cases, waits, true);
            }
            Step::Close(channel) => {
                self.channels[channel].closed = true;
                while let Some(entry) = self.channels[channel].receivers.pop_front() {
                    self.wake(entry.who, entry.case, Outcome::Closed);
                    self.enqueue(entry.who);
                }
                self.say("done");
            }
            Step::Open(channel) => {
                self.channels[channel].closed = false;
                self.say("done");
            }
            Step::Prefer(channel, preference) => {
                self.channels[channel].preference = preference;
                self.say("done");
            }
            Step::Wait(id) => {
                self.all[me].outcome = Outcome::Done;
                if self.all[id].state == State::Finished {
                    self.say("done");
                } else {
                    self.joins.push((me, id));
                    self.all[me].inside = Inside::With(id);
                    self.block();
                }
            }
            Step::Kill(id) => {
                if id == 0 {
                    self.say("the greenlet is its thread's main one");
                } else if self.all[id].state == State::Finished {
                    self.say("done");
                } else {
                    self.throw(id, None);
                }
            }
            Step::ThrowInto(id, value) => {
                if self.all[id].state == State::Finished {
                    self.say("the greenlet has finished");
                } else {
                    self.throw(id, Some(value));
                }
            }
            Step::ThrowLater(id, value) => {
                if id == me {
                    self.say("the greenlet is the one that runs");
                } else if self.all[id].state == State::Finished {
                    self.say("the greenlet has finished");
                } else if !self.all[id].begun {
                    self.withdraw(id);
                    self.finished(id, Err(Some(value)));
                    self.say("done");
                } else {
                    self.withdraw(id);
                    self.all[id].pending = Some(Pending::Thrown(Some(value)));
                    if self.all[id].inside == Inside::Pause {
                        self.all[id].inside = Inside::Nothing;
                    }
                    self.enqueue(id);
                    self.say("done");
                }
            }
            Step::DropHandle(id) => {
                self.all[id].handle = false;
                if self.all[id].state == State::Paused {
                    if self.all[id].begun {
                        self.log.push(format!("{id}: thrown the end"));
                    }
                    self.finished(id, Err(None));
                }
                self.say("done");
            }
            Step::Return(value) => self.finish(Ok(value)),
            Step::Panic(value) => self.thrown(Some(value)),
            Step::Look => self.look(),
        }
    }

    /// What anybody can see.
    fn look(&mut self) {
        let states: Vec<_> = self.all.iter().map(|t| t.handle.then_some(t.state)).collect();
        let balances: Vec<_> = self
            .channels
            .iter()
            .map(|channel| channel.senders.len() as isize - channel.receivers.len() as isize)
            .collect();
        let text = format!(
            "sees {:?}, {balances:?}, {} ready, {:?} blocked",
            states,
            self.ready.len(),
            self.blocked
        );
        self.say(text);
    }

    fn enqueue(&mut self, id: usize) {
        self.all[id].state = State::Ready;
        self.ready.push_back(id);
    }

    fn insert(&mut self, id: usize) -> Result<(), &'static str> {
        match self.all[id].state {
            State::Ready => Ok(()),
            State::Running => Err("the greenlet is the one that runs"),
            State::Blocked => Err("the tasklet is blocked"),
            State::Finished => Err("the greenlet has finished"),
            State::Paused | State::InRun => {
                if self.all[id].inside == Inside::Pause {
                    self.all[id].inside = Inside::Nothing;
                }
                self.enqueue(id);
                Ok(())
            }
        }
    }

    fn pause(&mut self) {
        let me = self.current;
        if me != 0 && !self.all[me].handle {
            return self.thrown(None);
        }
        self.all[me].state = State::Paused;
        self.all[me].inside = Inside::Pause;
        self.all[me].outcome = Outcome::Done;
        self.next();
    }

    /// One or several operations on channels.
    fn operate(&mut self, cases: &[(usize, Side, Message)], waits: bool, select: bool) {
        let me = self.current;
        let number = |case: usize| select.then_some(case);
        for (case, &(channel, side, message)) in cases.iter().enumerate() {
            let of = &mut self.channels[channel];
            let met = if side == Send { of.receivers.pop_front() } else { of.senders.pop_front() };
            if let Some(entry) = met {
                let (mine, theirs) = match side {
                    Send => (Outcome::Done, Outcome::Got(message)),
                    Receive => (Outcome::Got(entry.message.unwrap()), Outcome::Done),
                };
                let preferred = of.preference == if side == Send { 0 } else { 1 };
                self.wake(entry.who, entry.case, theirs);
                self.outcome(me, number(case), mine);
                if preferred {
                    self.enqueue(me);
                    self.go_on(entry.who);
                } else {
                    self.enqueue(entry.who);
                    self.speak();
                }
                return;
            }
            if of.closed {
                self.outcome(me, number(case), Outcome::Closed);
                return self.speak();
            }
        }
        if !waits {
            return self.say("would wait");
        }
        for (case, &(channel, side, message)) in cases.iter().enumerate() {
            let message = (side == Send).then_some(message);
            let entry = Entry { who: me, case: number(case), message };
            let of = &mut self.channels[channel];
            if side == Send { of.senders.push_back(entry) } else { of.receivers.push_back(entry) }
        }
        self.block();
    }

    fn outcome(&mut self, id: usize, case: Option<usize>, outcome: Outcome) {
        self.all[id].outcome = match case {
            None => outcome,
            Some(case) => Outcome::Case(case, Box::new(outcome)),
        };
    }

    /// A blocked one has been met.
    fn wake(&mut self, id: usize, case: Option<usize>, outcome: Outcome) {
        self.withdraw(id);
        self.outcome(id, case, outcome);
    }

    /// Takes one out of wherever it is.
    fn withdraw(&mut self, id: usize) {
        self.ready.retain(|&other| other != id);
        self.blocked.retain(|&other| other != id);
        self.joins.retain(|&(who, _)| who != id);
        for channel in &mut self.channels {
            channel.senders.retain(|entry| entry.who != id);
            channel.receivers.retain(|entry| entry.who != id);
        }
    }

    fn block(&mut self) {
        let me = self.current;
        self.all[me].state = State::Blocked;
        self.blocked.push(me);
        self.next();
    }

    fn throw(&mut self, id: usize, payload: Option<u64>) {
        let me = self.current;
        if id == me {
            return self.thrown(payload);
        }
        if !self.all[id].begun {
            self.withdraw(id);
            self.finished(id, Err(payload));
            return self.say("done");
        }
        self.withdraw(id);
        self.all[id].pending = Some(Pending::Thrown(payload));
        self.all[me].state = State::Ready;
        self.all[me].outcome = Outcome::Done;
        self.all[me].inside = Inside::With(id);
        self.ready.push_front(me);
        self.go_on(id);
    }

    /// The current one has left; who is next?
    fn next(&mut self) {
        if let Some(next) = self.ready.pop_front() {
            return self.go_on(next);
        }
        if matches!(self.all[0].state, State::Blocked | State::Paused) {
            let total = self.blocked.len() + usize::from(self.all[0].state == State::Paused);
            // One that was removed from the queue has waited for nothing but its turn.
            let removed = self.all[0].state == State::Paused && self.all[0].inside != Inside::Pause;
            self.withdraw(0);
            if !removed {
                self.all[0].pending = Some(Pending::Deadlock(total));
            }
        }
        self.go_on(0);
    }

    fn go_on(&mut self, id: usize) {
        self.current = id;
        self.all[id].state = State::Running;
        self.all[id].inside = Inside::Nothing;
        if !self.all[id].begun {
            self.all[id].begun = true;
            return self.say("begins");
        }
        match self.all[id].pending.take() {
            None => self.speak(),
            Some(Pending::Deadlock(total)) => self.say(format!("a deadlock of {total}")),
            Some(Pending::Thrown(payload)) => self.thrown(payload),
        }
    }

    /// Its operation returns.
    fn speak(&mut self) {
        fn text(outcome: Outcome) -> String {
            match outcome {
                Outcome::None => unreachable!(),
                Outcome::Done => "done".into(),
                Outcome::Got(Ok(value)) => format!("got {value}"),
                Outcome::Got(Err(value)) => format!("got payload {value}"),
                Outcome::Closed => "closed".into(),
                Outcome::Case(case, outcome) => format!("case {case}, {}", text(*outcome)),
            }
        }
        let outcome = std::mem::replace(&mut self.all[self.current].outcome, Outcome::None);
        self.say(text(outcome));
    }

    /// The current one is unwound, unless it catches that.
    fn thrown(&mut self, payload: Option<u64>) {
        match payload {
            None => self.say("thrown the end"),
            Some(value) => self.say(format!("thrown {value}")),
        }
        if !self.all[self.current].stubborn {
            self.finish(Err(payload));
        }
    }

    /// The current one ends.
    fn finish(&mut self, result: Result<u64, Option<u64>>) {
        self.finished(self.current, result);
        self.next();
    }

    fn finished(&mut self, id: usize, result: Result<u64, Option<u64>>) {
        self.withdraw(id);
        self.all[id].state = State::Finished;
        self.all[id].pending = None;
        self.all[id].result = Some(result);
        let woken: Vec<_> =
            self.joins.iter().filter(|&&(_, of)| of == id).map(|&(who, _)| who).collect();
        for who in woken {
            self.withdraw(who);
            self.enqueue(who);
        }
    }

    /// No operation is left: whoever runs ends, and main cleans up.
    fn end(&mut self) {
        while self.current != 0 {
            self.finish(Ok(0));
        }
        // Main runs the others; each ends in its turn.
        if let Some(next) = self.ready.pop_front() {
            self.all[0].state = State::InRun;
            self.all[0].outcome = Outcome::Done;
            self.go_on(next);
            while self.current != 0 {
                self.finish(Ok(0));
            }
        } else {
            self.say("done");
        }
        self.look();
        for id in 1..self.all.len() {
            if self.all[id].handle && self.all[id].state != State::Finished {
                self.throw(id, None);
                while self.current != 0 {
                    self.finish(Ok(0));
                }
            }
        }
        for id in 1..self.all.len() {
            let text = match self.all[id].result {
                _ if !self.all[id].handle => continue,
                None => "none".into(),
                Some(Ok(value)) => format!("returned {value}"),
                Some(Err(None)) => "killed".into(),
                Some(Err(Some(value))) => format!("panicked {value}"),
            };
            self.say(format!("{id} {text}"));
        }
    }
}
