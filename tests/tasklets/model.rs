//! What a program of tasklets does, in plain data: lists of numbers, no greenlet, no stack, no panic.
//!
//! A program is a list of operations; whoever runs takes the next one. The model carries it out and answers with the log
//! that carrying it out with tasklets must produce.
//!
//! Destructors run on *errands*: a guard that is dropped takes the next operation as well, and so does the trace hook, if it was told
//! to. So any operation happens there, too: while a tasklet returns or unwinds, while one that has not begun is finished, inside
//! a kill, and before a tasklet that was woken goes on. What is thrown into an errand ends the errand alone. What is still to be done
//! after one is in the tasklet's list ([`Todo`]).

use std::collections::VecDeque;

/// What one case of a select, or an operation on a channel, wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Send,
    Receive,
}
use Side::{Receive, Send};

/// What the trace hook does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    None,
    Looks,
    /// It looks, and then it takes the next operation.
    Acts,
}

/// The numbers choose among what there is.
#[derive(Clone, Debug)]
pub enum Op {
    Spawn {
        stubborn: bool,
    },
    /// A guard in the frame of the current one.
    Keep,
    /// Sets the trace hook, or removes it.
    Trace(Hook),
    /// Of the requests for memory in the next operation, `after` get some and the next one gets none; `for_ever`: nor do those after it.
    Starve {
        after: u8,
        for_ever: bool,
    },
    Schedule,
    RunAll,
    Run(u8),
    Pause,
    Insert(u8),
    Remove(u8),
    Channel {
        channel: u8,
        side: Side,
        waits: bool,
    },
    ThrowThrough {
        channel: u8,
    },
    Close(u8),
    Open(u8),
    Prefer(u8, u8),
    Select {
        cases: Vec<(u8, Side)>,
        waits: bool,
    },
    Wait(u8),
    Kill(u8),
    ThrowInto(u8),
    ThrowLater(u8),
    /// Throws past a greenlet that has not begun, whose parent this one's greenlet is: the scheduler knows nothing of it.
    ThrowPast(u8),
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
        guard: usize,
    },
    Keep(usize),
    Trace(Hook),
    /// No operation of its own: it belongs to the next one.
    Starve {
        after: usize,
        for_ever: bool,
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
    ThrowPast(usize, u64),
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
enum Outcome {
    None,
    Done,
    Got(Message),
    Closed,
    Case(usize, Box<Outcome>),
}

impl Outcome {
    /// As an outcome of this case of a select.
    fn of(self, case: Option<usize>) -> Outcome {
        match case {
            None => self,
            Some(case) => Outcome::Case(case, Box::new(self)),
        }
    }

    fn text(&self) -> String {
        match self {
            Outcome::None => unreachable!("somebody goes on who was in no operation"),
            Outcome::Done => "done".into(),
            Outcome::Got(Ok(value)) => format!("got {value}"),
            Outcome::Got(Err(value)) => format!("got payload {value}"),
            Outcome::Closed => "closed".into(),
            Outcome::Case(case, outcome) => format!("case {case}, {}", outcome.text()),
        }
    }
}

/// The guard that a result or a payload has with it, if it has one.
pub fn guard_with(value: u64) -> Option<usize> {
    (value != 0 && value.is_multiple_of(2)).then(|| 1000 + value as usize)
}

fn guard_of(result: Result<u64, Option<u64>>) -> Option<usize> {
    result.map_or_else(|payload| payload, Some).and_then(guard_with)
}

/// What is to be done when an errand is over.
enum Todo {
    /// The tasklet goes on: the hook has seen it arrive.
    GoOn,
    /// The hook has seen one arrive whose kill is under way.
    Unwatched,
    /// Drops these guards.
    Drop(VecDeque<usize>),
    /// A panic has unwound all that it will.
    Unwound,
    /// The operation returns.
    Says(&'static str),
    /// The tasklet is over. Its result is dropped first if nobody can ask for it.
    Over(Result<u64, Option<u64>>),
    End(Result<u64, Option<u64>>),
    /// The scheduler hears that this was thrown into this one, which runs from now on.
    Came(usize, u64),
    /// It unwinds, after what it was to find has been dropped.
    Unwinds(u64),
    /// Inside a kill: this one unwinds.
    Thrown(usize),
    /// Inside a kill: this one is over, and the greenlet with the second number goes on.
    Killed(usize, usize),
}

struct T {
    state: State,
    begun: bool,
    stubborn: bool,
    handle: bool,
    pending: Option<Pending>,
    outcome: Outcome,
    /// It has asked to be paused, and was not inserted since.
    pauses: bool,
    /// The operations that it is in, one inside the other's errands: the handles that they hold.
    inside: Vec<Option<usize>>,
    /// The next is the last. Nothing, unless it is in an errand.
    todo: Vec<Todo>,
    /// Guards in its frame, and in its closure.
    kept: VecDeque<usize>,
    captured: usize,
    /// Whose greenlet it is suspended in.
    at: usize,
    /// It throws into another: what that one would have found before, to be dropped when this is back.
    before: Option<usize>,
    /// A greenlet below its own has not been thrown past yet.
    has_below: bool,
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
    /// Whose greenlet runs: another one's inside a kill.
    here: usize,
    hook: Hook,
    /// The hook is running.
    tracing: bool,
    /// How many panics are unwinding, one inside the other.
    unwinding: usize,
    starve: Option<(usize, bool)>,
    /// An errand has begun: it takes the next operation.
    takes_one: bool,
    /// No operation is left.
    exhausted: bool,
    values: u64,
    guards: usize,
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
        here: 0,
        hook: Hook::None,
        tracing: false,
        unwinding: 0,
        starve: None,
        takes_one: false,
        exhausted: false,
        values: 0,
        guards: 0,
        steps: Vec::new(),
        log: Vec::new(),
    };
    model.add(State::Running, true, 0);
    model.all[0].begun = true;
    for op in ops {
        if let Op::Starve { after, for_ever } = *op {
            model.starve = Some((after as usize, for_ever));
            continue;
        }
        let step = model.choose(op);
        if let Some((after, for_ever)) = model.starve.take()
            && model.may_starve(&step)
        {
            model.steps.push(Step::Starve { after, for_ever });
        }
        model.steps.push(step.clone());
        model.step(&step);
        model.go_on_with_errands();
    }
    model.end();
    model
}

impl Model {
    fn add(&mut self, state: State, stubborn: bool, captured: usize) {
        let at = self.all.len();
        self.all.push(T {
            state,
            begun: false,
            stubborn,
            handle: true,
            pending: None,
            outcome: Outcome::None,
            pauses: false,
            inside: Vec::new(),
            todo: Vec::new(),
            kept: VecDeque::new(),
            captured,
            at,
            before: None,
            has_below: true,
            result: None,
        });
    }

    fn say(&mut self, what: impl std::fmt::Display) {
        self.log.push(format!("{}: {what}", self.current));
    }

    /// The operation of the current one returns.
    fn returns(&mut self, what: impl std::fmt::Display) {
        self.all[self.current].inside.pop();
        self.say(what);
    }

    fn value(&mut self) -> u64 {
        self.values += 1;
        self.values
    }

    fn guard(&mut self) -> usize {
        self.guards += 1;
        self.guards
    }

    /// Why nobody can be switched to now.
    fn stuck(&self) -> Option<&'static str> {
        if self.tracing {
            Some("cannot switch inside the trace hook")
        } else {
            (self.unwinding > 0).then_some("cannot switch while a panic is unwinding")
        }
    }

    /// The current one is in a destructor, or in the hook.
    fn is_on_an_errand(&self) -> bool {
        !self.all[self.current].todo.is_empty()
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
                    Step::Spawn { id: self.all.len(), stubborn: *stubborn, guard: self.guard() }
                } else {
                    Step::Nothing
                }
            }
            Op::Keep if !self.is_on_an_errand() => Step::Keep(self.guard()),
            Op::Trace(hook) => Step::Trace(*hook),
            Op::Starve { .. } => unreachable!("it is no operation"),
            Op::Schedule => Step::Schedule,
            // It panics where it is refused.
            Op::RunAll if self.current == 0 && self.stuck().is_none() => Step::RunAll,
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
            // What it would have found before is dropped when the operation has come back. If that is thrown out, the model knows no more.
            Op::Kill(n) | Op::ThrowInto(n) if self.pending_guard(self.one(*n)).is_some() => {
                Step::Nothing
            }
            Op::Kill(n) => Step::Kill(self.one(*n)),
            Op::ThrowInto(n) => Step::ThrowInto(self.one(*n), self.value()),
            Op::ThrowLater(n) => Step::ThrowLater(self.one(*n), self.value()),
            Op::ThrowPast(n) => {
                // Who does that has given its turn away for good. So main does not, and nobody in the midst of something else.
                let (id, errand) = (self.one(*n), self.is_on_an_errand());
                let t = &self.all[id];
                let waits = t.begun && !matches!(t.state, State::Running | State::Finished);
                if waits && t.has_below && t.at == id && self.current != 0 && !errand {
                    Step::ThrowPast(id, self.value())
                } else {
                    Step::Nothing
                }
            }
            Op::DropHandle(n) => {
                let id = self.one(*n);
                let t = &self.all[id];
                let used = self.all.iter().any(|other| other.inside.contains(&Some(id)));
                // One that catches its end would go on inside the drop of its handle.
                let catches = t.stubborn || !t.todo.is_empty();
                let goes_on = t.state == State::Paused && t.begun && catches;
                if id == 0 || used || goes_on { Step::Nothing } else { Step::DropHandle(id) }
            }
            Op::Return if self.current != 0 && !self.is_on_an_errand() => {
                Step::Return(self.value())
            }
            Op::Panic => Step::Panic(self.value()),
            Op::Return | Op::Keep | Op::Look => Step::Look,
        }
    }

    /// Whether the model knows what comes of it when requests for memory fail in this step: it is refused, has changed nothing, and is
    /// done again. (Two who have met have met; only who runs next is another one then. And a report of a deadlock needs memory.)
    fn may_starve(&self, step: &Step) -> bool {
        let me = self.current;
        let meets = |channel: usize, side: Side| {
            let of = &self.channels[channel];
            of.closed || !if side == Send { &of.receivers } else { &of.senders }.is_empty()
        };
        self.stuck().is_none()
            && !self.ready.is_empty()
            && match *step {
                Step::Schedule => true,
                Step::Run(id) => {
                    id != me && matches!(self.all[id].state, State::Ready | State::Paused)
                }
                Step::Pause => me == 0 || self.all[me].handle,
                Step::Channel { channel, side, waits, .. } => waits && !meets(channel, side),
                Step::ThrowThrough { channel, .. } => !meets(channel, Send),
                Step::Select { ref cases, waits } => {
                    waits && !cases.iter().any(|&(channel, side, _)| meets(channel, side))
                }
                _ => false,
            }
    }

    fn step(&mut self, step: &Step) {
        let me = self.current;
        self.all[me].inside.push(match *step {
            Step::Run(id) | Step::Insert(id) | Step::Wait(id) | Step::Kill(id) => Some(id),
            Step::ThrowInto(id, _) | Step::ThrowLater(id, _) => Some(id),
            _ => None,
        });
        match *step {
            Step::Starve { .. } => unreachable!("it is no operation"),
            Step::Nothing => drop(self.all[me].inside.pop()),
            Step::Spawn { id, stubborn, guard } => {
                self.add(State::Ready, stubborn, guard);
                self.ready.push_back(id);
                self.returns("done");
            }
            Step::Keep(guard) => {
                self.all[me].kept.push_back(guard);
                self.returns("done");
            }
            Step::Trace(hook) => {
                self.hook = hook;
                self.returns("done");
            }
            Step::Schedule => match (self.ready.front().copied(), self.stuck()) {
                (None, _) => self.returns("done"),
                (Some(_), Some(why)) => self.returns(why),
                (Some(next), None) => {
                    self.ready.pop_front();
                    self.enqueue(me);
                    self.all[me].outcome = Outcome::Done;
                    self.go_on(next);
                }
            },
            Step::RunAll => match self.ready.pop_front() {
                None => self.returns("done"),
                Some(next) => {
                    self.all[me].outcome = Outcome::Done;
                    self.all[me].state = State::InRun;
                    self.go_on(next);
                }
            },
            Step::Run(id) => {
                if id == me {
                    return self.returns("done");
                }
                if let Some(why) = self.stuck() {
                    return self.returns(why);
                }
                match self.insert(id) {
                    Err(why) => self.returns(why),
                    Ok(()) => {
                        self.ready.retain(|&other| other != id);
                        self.enqueue(me);
                        self.all[me].outcome = Outcome::Done;
                        self.go_on(id);
                    }
                }
            }
            Step::Pause => self.pause(),
            Step::Insert(id) => match self.insert(id) {
                Ok(()) => self.returns("done"),
                Err(why) => self.returns(why),
            },
            Step::Remove(id) => match self.all[id].state {
                State::Paused => self.returns("done"),
                State::Blocked => self.returns("the tasklet is blocked"),
                State::Finished => self.returns("the greenlet has finished"),
                State::Running if id == me => self.pause(),
                State::Running => self.returns("the greenlet is the one that runs"),
                State::InRun => self.returns("the greenlet is the one that runs"),
                State::Ready => {
                    self.ready.retain(|&other| other != id);
                    self.all[id].state = State::Paused;
                    self.all[id].pauses = false;
                    self.returns("done");
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
                self.returns("done");
            }
            Step::Open(channel) => {
                self.channels[channel].closed = false;
                self.returns("done");
            }
            Step::Prefer(channel, preference) => {
                self.channels[channel].preference = preference;
                self.returns("done");
            }
            Step::Wait(id) => {
                if self.all[id].state == State::Finished {
                    self.returns("done");
                } else if let Some(why) = self.stuck() {
                    self.returns(why);
                } else {
                    self.all[me].outcome = Outcome::Done;
                    self.joins.push((me, id));
                    self.block();
                }
            }
            Step::Kill(id) => {
                if id == 0 {
                    self.returns("the greenlet is its thread's main one");
                } else if let Some(why) = self.stuck() {
                    self.returns(why);
                } else if self.all[id].state == State::Finished {
                    self.returns("done");
                } else {
                    self.throw(id, None);
                }
            }
            Step::ThrowInto(id, value) => {
                if let Some(why) = self.stuck() {
                    self.returns_when_dropped(guard_with(value), why);
                } else if self.all[id].state == State::Finished {
                    self.returns_when_dropped(guard_with(value), "the greenlet has finished");
                } else {
                    self.throw(id, Some(value));
                }
            }
            Step::ThrowLater(id, value) => {
                if self.all[id].state == State::Running {
                    let why = "the greenlet is the one that runs";
                    self.returns_when_dropped(guard_with(value), why);
                } else if self.all[id].state == State::Finished {
                    self.returns_when_dropped(guard_with(value), "the greenlet has finished");
                } else if !self.all[id].begun {
                    self.finish_new(id, Err(Some(value)));
                } else {
                    self.withdraw(id);
                    let before = self.pending_guard(id);
                    self.all[id].pending = Some(Pending::Thrown(Some(value)));
                    self.enqueue(id);
                    self.returns_when_dropped(before, "done");
                }
            }
            Step::ThrowPast(id, value) => {
                self.all[id].has_below = false;
                let origin = std::mem::replace(&mut self.here, id);
                self.all[me].todo.push(Todo::Came(id, value));
                self.seen("Throw", origin, Todo::Unwatched);
            }
            Step::DropHandle(id) => {
                self.all[id].handle = false;
                if self.all[id].state != State::Paused {
                    let finished = self.all[id].state == State::Finished;
                    let result = self.all[id].result.filter(|_| finished);
                    self.returns_when_dropped(result.and_then(guard_of), "done");
                } else if !self.all[id].begun {
                    self.finish_new(id, Err(None));
                } else if self.here == id {
                    // Something has been thrown into it, and the hook runs in its place: it will go on.
                    self.all[id].state = State::Running;
                    self.returns("done");
                } else {
                    // Its end, here and now.
                    let killer = std::mem::replace(&mut self.here, id);
                    self.all[id].state = State::Running;
                    // What it was to find goes first, and while that is dropped nothing is unwinding: who kills may even wait there.
                    let pending = self.pending_guard(id).into_iter().collect();
                    let guards = self.guards_of(id);
                    self.all[me].todo.extend([
                        Todo::Says("done"),
                        Todo::Killed(id, killer),
                        Todo::Unwound,
                        Todo::Drop(guards),
                        Todo::Thrown(id),
                        Todo::Drop(pending),
                    ]);
                    self.seen("Throw", killer, Todo::Unwatched);
                }
            }
            Step::Return(value) => self.leave(value),
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
        self.returns(text);
    }

    /// A greenlet has been left for the one that runs. `then` is to be done after the hook's errand, if it is on one.
    fn seen(&mut self, how: &str, origin: usize, then: Todo) {
        if self.hook != Hook::None && !self.tracing {
            self.say(format!("seen: {how}, from {origin} to {}", self.here));
            if self.hook == Hook::Acts {
                self.tracing = true;
                self.takes_one = true;
                self.all[self.current].todo.push(then);
                return;
            }
        }
        if let Todo::GoOn = then {
            self.goes_on();
        }
    }

    /// Does what is to be done, until the next operation is to be taken.
    fn go_on_with_errands(&mut self) {
        loop {
            // An errand that finds no operation left is over.
            if std::mem::take(&mut self.takes_one) && !self.exhausted {
                return;
            }
            let Some(todo) = self.all[self.current].todo.pop() else { return };
            self.carry_out(todo);
        }
    }

    fn carry_out(&mut self, todo: Todo) {
        match todo {
            Todo::GoOn => {
                self.tracing = false;
                self.goes_on();
            }
            Todo::Unwatched => self.tracing = false,
            Todo::Drop(mut guards) => {
                if let Some(guard) = guards.pop_front() {
                    let how = if self.unwinding > 0 { ", unwinding" } else { "" };
                    self.say(format!("guard {guard} dropped{how}"));
                    self.all[self.current].todo.push(Todo::Drop(guards));
                    self.takes_one = true;
                }
            }
            Todo::Unwound => self.unwinding -= 1,
            Todo::Says(what) => self.returns(what),
            Todo::Over(result) => {
                let dropped = guard_of(result).filter(|_| !self.all[self.current].handle);
                let guards = dropped.into_iter().collect();
                self.all[self.current].todo.extend([Todo::End(result), Todo::Drop(guards)]);
            }
            Todo::End(result) => {
                self.finished(self.current, result);
                self.next();
            }
            Todo::Came(id, value) => {
                self.withdraw(id);
                self.current = id;
                self.all[id].state = State::Running;
                let pending = self.pending_guard(id).into_iter().collect();
                self.all[id].pending = None;
                self.all[id].todo.extend([Todo::Unwinds(value), Todo::Drop(pending)]);
            }
            Todo::Unwinds(value) => self.thrown(Some(value)),
            Todo::Thrown(id) => {
                self.say(format!("{id} is thrown the end"));
                self.unwinding += 1;
            }
            Todo::Killed(id, killer) => {
                self.finished(id, Err(None));
                self.here = killer;
                self.seen("Switch", id, Todo::Unwatched);
            }
        }
    }

    /// What is dropped when its frame is left.
    fn guards_of(&mut self, id: usize) -> VecDeque<usize> {
        let t = &mut self.all[id];
        let mut guards = std::mem::take(&mut t.kept);
        guards.push_back(t.captured);
        guards
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
                self.enqueue(id);
                Ok(())
            }
        }
    }

    fn pause(&mut self) {
        let me = self.current;
        if let Some(why) = self.stuck() {
            return self.returns(why);
        }
        if me != 0 && !self.all[me].handle {
            return self.thrown(None);
        }
        self.all[me].state = State::Paused;
        self.all[me].pauses = true;
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
                let mine = mine.of(number(case));
                if !preferred {
                    self.enqueue(entry.who);
                    self.returns(mine.text());
                } else if self.stuck().is_some() {
                    // It is the next.
                    self.all[entry.who].state = State::Ready;
                    self.ready.push_front(entry.who);
                    self.returns(mine.text());
                } else {
                    self.all[me].outcome = mine;
                    self.enqueue(me);
                    self.go_on(entry.who);
                }
                return;
            }
            if of.closed {
                return self.returns(Outcome::Closed.of(number(case)).text());
            }
        }
        if !waits {
            return self.returns("would wait");
        }
        if let Some(why) = self.stuck() {
            return self.returns(why);
        }
        for (case, &(channel, side, message)) in cases.iter().enumerate() {
            let message = (side == Send).then_some(message);
            let entry = Entry { who: me, case: number(case), message };
            let of = &mut self.channels[channel];
            if side == Send { of.senders.push_back(entry) } else { of.receivers.push_back(entry) }
        }
        self.block();
    }

    /// A blocked one has been met.
    fn wake(&mut self, id: usize, case: Option<usize>, outcome: Outcome) {
        self.withdraw(id);
        self.all[id].outcome = outcome.of(case);
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
            return self.finish_new(id, Err(payload));
        }
        if self.all[id].state == State::Running {
            // Control was taken away from it.
            let guard = payload.and_then(guard_with);
            return self.returns_when_dropped(guard, "the greenlet is the one that runs");
        }
        self.withdraw(id);
        self.all[me].before = self.pending_guard(id);
        self.all[id].pending = Some(Pending::Thrown(payload));
        self.all[me].state = State::Ready;
        self.all[me].outcome = Outcome::Done;
        self.ready.push_front(me);
        self.go_on(id);
    }

    /// One that has not begun never will: its closure is dropped by the current one.
    fn finish_new(&mut self, id: usize, result: Result<u64, Option<u64>>) {
        self.finished(id, result);
        let guards = self.guards_of(id);
        self.all[self.current].todo.extend([Todo::Says("done"), Todo::Drop(guards)]);
    }

    /// The operation of the current one drops this first.
    fn returns_when_dropped(&mut self, guard: Option<usize>, what: &'static str) {
        let guards = guard.into_iter().collect();
        self.all[self.current].todo.extend([Todo::Says(what), Todo::Drop(guards)]);
    }

    /// What the payload has with it that one is to find when it goes on.
    fn pending_guard(&self, id: usize) -> Option<usize> {
        match self.all[id].pending {
            Some(Pending::Thrown(Some(value))) => guard_with(value),
            _ => None,
        }
    }

    /// The current one has left; who is next?
    fn next(&mut self) {
        if let Some(next) = self.ready.pop_front() {
            return self.go_on(next);
        }
        if matches!(self.all[0].state, State::Blocked | State::Paused) {
            let total = self.blocked.len() + usize::from(self.all[0].state == State::Paused);
            // One that was removed from the queue has waited for nothing but its turn.
            let removed = self.all[0].state == State::Paused && !self.all[0].pauses;
            self.withdraw(0);
            if !removed {
                self.all[0].pending = Some(Pending::Deadlock(total));
            }
        }
        self.go_on(0);
    }

    fn go_on(&mut self, id: usize) {
        self.all[self.current].at = self.here;
        self.current = id;
        self.all[id].state = State::Running;
        let origin = std::mem::replace(&mut self.here, self.all[id].at);
        if origin == self.here { self.goes_on() } else { self.seen("Switch", origin, Todo::GoOn) }
    }

    /// The current one has arrived.
    fn goes_on(&mut self) {
        let t = &mut self.all[self.current];
        if !t.begun {
            t.begun = true;
            return self.say("begins");
        }
        match t.pending.take() {
            None => {
                let outcome = std::mem::replace(&mut t.outcome, Outcome::None);
                match t.before.take() {
                    None => self.returns(outcome.text()),
                    before => self.returns_when_dropped(before, "done"),
                }
            }
            Some(Pending::Deadlock(total)) => self.returns(format!("a deadlock of {total}")),
            Some(Pending::Thrown(payload)) => self.thrown(payload),
        }
    }

    /// The operation of the current one unwinds, and then the tasklet, unless it catches that. An errand does.
    fn thrown(&mut self, payload: Option<u64>) {
        let errand = self.is_on_an_errand();
        let me = self.current;
        self.all[me].inside.pop();
        let who = if errand { "an errand".into() } else { me.to_string() };
        match payload {
            None => self.say(format!("{who} is thrown the end")),
            Some(value) => self.say(format!("{who} is thrown {value}")),
        }
        if !errand && !self.all[me].stubborn {
            self.unwinding += 1;
            let guards = self.guards_of(me);
            let last = [Todo::Over(Err(payload)), Todo::Unwound, Todo::Drop(guards)];
            self.all[me].todo.extend(last);
        } else if let Some(guard) = payload.and_then(guard_with) {
            self.all[me].todo.push(Todo::Drop([guard].into()));
        }
    }

    /// The current one returns.
    fn leave(&mut self, result: u64) {
        let guards = self.guards_of(self.current);
        self.all[self.current].todo.extend([Todo::Over(Ok(result)), Todo::Drop(guards)]);
    }

    fn finished(&mut self, id: usize, result: Result<u64, Option<u64>>) {
        self.withdraw(id);
        self.all[id].state = State::Finished;
        self.all[id].pending = None;
        self.all[id].inside.clear();
        self.all[id].result = Some(result);
        let woken: Vec<_> =
            self.joins.iter().filter(|&&(_, of)| of == id).map(|&(who, _)| who).collect();
        for who in woken {
            self.withdraw(who);
            self.enqueue(who);
        }
    }

    /// No operation is left: each returns in its turn, until main runs.
    fn all_return(&mut self) {
        loop {
            self.go_on_with_errands();
            if self.current == 0 {
                return;
            }
            self.leave(0);
        }
    }

    /// No operation is left: whoever runs ends, and main cleans up.
    fn end(&mut self) {
        self.exhausted = true;
        self.all_return();
        let guards = std::mem::take(&mut self.all[0].kept);
        self.all[0].todo.push(Todo::Drop(guards));
        self.go_on_with_errands();
        // Main runs the others; each ends in its turn.
        if let Some(next) = self.ready.pop_front() {
            self.all[0].state = State::InRun;
            self.all[0].outcome = Outcome::Done;
            self.go_on(next);
            self.all_return();
        } else {
            self.say("done");
        }
        self.look();
        for id in 1..self.all.len() {
            if self.all[id].handle && self.all[id].state != State::Finished {
                self.throw(id, None);
                self.all_return();
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
            let guards = self.all[id].result.and_then(guard_of).into_iter().collect();
            self.all[0].todo.push(Todo::Drop(guards));
            self.go_on_with_errands();
        }
    }
}
