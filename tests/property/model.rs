//! What a program does, in plain data: no greenlet, no stack, no panic.
//!
//! The model carries out a program of [`Op`]s and answers the same program as [`Step`]s, with every choice made, and the log
//! that carrying out the steps must produce.

use std::fmt;

/// The types that travel. `Large` does not fit into the room that every thread has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ty {
    Small,
    Large,
}
use Ty::*;

/// How a switch or a throw takes what comes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// `switch`, `throw`: what is thrown unwinds.
    Raise,
    /// `try_switch`, `try_throw`: it is a value.
    Try,
}

/// One operation of a random program. The numbers choose among what there is; `odd` allows a choice that must be refused.
#[derive(Clone, Debug)]
pub enum Op {
    Create {
        parent: Option<u8>,
        takes: Ty,
        gives: Ty,
        captures: Option<u8>,
    },
    Switch {
        to: u8,
        want: Ty,
        style: Style,
        odd: bool,
    },
    Throw {
        to: u8,
        want: Ty,
        style: Style,
        odd: bool,
    },
    Kill {
        whom: u8,
        odd: bool,
    },
    CloneHandle(u8),
    DropHandle(u8),
    KeepHandle(u8),
    KeepGuard,
    SetParent {
        of: u8,
        to: u8,
    },
    Return,
    Panic,
    Deeper {
        size: u8,
        catches: bool,
    },
    Shallower,
    NewGenerator {
        values: u8,
        depth: u8,
    },
    Next(u8),
    DropGenerator(u8),
    KeepGenerator(u8),
    NewBridge {
        waits: Vec<u8>,
        panics: bool,
    },
    Poll(u8),
    DropBridge(u8),
    KeepBridge(u8),
    /// Sets the trace hook, or removes it.
    Trace(bool),
    /// Of the requests for memory in the next operation, `after` get some and the next one gets none; `for_ever`: nor do those after it.
    Starve {
        after: u8,
        for_ever: bool,
    },
    Look,
}

/// One operation with every choice made. Greenlets are numbered as they are created, main is 0; generators, guards, values
/// and payloads have numbers of their own.
#[derive(Clone, PartialEq, Eq)]
pub enum Step {
    Create {
        id: usize,
        parent: Option<usize>,
        takes: Ty,
        gives: Ty,
        guard: usize,
        captures: Option<usize>,
    },
    Switch {
        to: usize,
        value: usize,
        send: Ty,
        want: Ty,
        style: Style,
    },
    Throw {
        to: usize,
        payload: usize,
        want: Ty,
        style: Style,
    },
    Kill(usize),
    CloneHandle(usize),
    DropHandle(usize),
    KeepHandle(usize),
    KeepGuard(usize),
    SetParent(usize, usize),
    Return(usize),
    Panic(usize),
    Deeper {
        size: u8,
        catches: bool,
        guard: usize,
    },
    Shallower,
    NewGenerator {
        id: usize,
        first: usize,
        values: usize,
        guards: Vec<usize>,
    },
    Next(usize),
    DropGenerator(usize),
    KeepGenerator(usize),
    /// What it awaits is pending so many times each; the last of it then panics with the payload, if there is one. Guards: the
    /// closure's, its level's, and one for each of what it awaits.
    NewBridge {
        id: usize,
        waits: Vec<usize>,
        panics: Option<usize>,
        guards: Vec<usize>,
    },
    Poll(usize),
    DropBridge(usize),
    KeepBridge(usize),
    Trace(bool),
    Starve {
        after: usize,
        for_ever: bool,
    },
    Look,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Create { id, parent, takes, gives, guard, captures } => {
                write!(f, "create greenlet {id}: {takes:?} -> {gives:?}, guard {guard}")?;
                if let Some(parent) = parent {
                    write!(f, ", parent {parent}")?;
                }
                if let Some(captures) = captures {
                    write!(f, ", captures a handle to {captures}")?;
                }
                Ok(())
            }
            Step::Switch { to, value, send, want, style } => {
                let name = if *style == Style::Try { "try_switch" } else { "switch" };
                write!(f, "{name} to {to} with value {value} ({send:?}), wants {want:?}")
            }
            Step::Throw { to, payload, want, style } => {
                let name = if *style == Style::Try { "try_throw" } else { "throw" };
                write!(f, "{name} payload {payload} into {to}, wants {want:?}")
            }
            Step::Kill(whom) => write!(f, "kill {whom}"),
            Step::CloneHandle(of) => write!(f, "clone a handle to {of}"),
            Step::DropHandle(of) => write!(f, "drop a handle to {of}"),
            Step::KeepHandle(of) => write!(f, "keep a handle to {of} in this frame"),
            Step::KeepGuard(guard) => write!(f, "keep guard {guard} in this frame"),
            Step::SetParent(of, to) => write!(f, "set the parent of {of} to {to}"),
            Step::Return(value) => write!(f, "return value {value} from this greenlet"),
            Step::Panic(payload) => write!(f, "panic with payload {payload}"),
            Step::Deeper { size, catches, guard } => {
                let how = if *catches { "deeper, catching" } else { "deeper" };
                write!(f, "{how}, size {size}, guard {guard}")
            }
            Step::Shallower => f.write_str("shallower"),
            Step::NewGenerator { id, first, values, guards } => {
                write!(f, "new generator {id} of {values} values from {first}, guards {guards:?}")
            }
            Step::Next(id) => write!(f, "next of generator {id}"),
            Step::DropGenerator(id) => write!(f, "drop generator {id}"),
            Step::KeepGenerator(id) => write!(f, "keep generator {id} in this frame"),
            Step::NewBridge { id, waits, panics, guards } => {
                write!(f, "new bridge {id} that waits {waits:?}, guards {guards:?}")?;
                if let Some(payload) = panics {
                    write!(f, ", and panics with payload {payload}")?;
                }
                Ok(())
            }
            Step::Poll(id) => write!(f, "poll bridge {id}"),
            Step::DropBridge(id) => write!(f, "drop bridge {id}"),
            Step::KeepBridge(id) => write!(f, "keep bridge {id} in this frame"),
            Step::Trace(on) => f.write_str(if *on { "trace" } else { "trace no more" }),
            Step::Starve { after, for_ever: false } => {
                write!(f, "after {after} requests for memory one fails, during:")
            }
            Step::Starve { after, for_ever: true } => {
                write!(f, "after {after} requests for memory all fail, during:")
            }
            Step::Look => f.write_str("look"),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    New,
    Active,
    Finished,
}

/// Something that a frame or a closure owns.
#[derive(Clone, Copy)]
enum Kept {
    Guard(usize),
    Handle(usize),
    Bridge(usize),
}

/// A level of recursion.
struct Frame {
    catches: bool,
    /// What is dropped when it is left, in this order.
    kept: Vec<Kept>,
    /// Dropped after `kept`.
    last: Vec<Kept>,
}

/// What a suspended one waits for.
#[derive(Clone, Copy)]
struct Wait {
    want: Ty,
    style: Style,
    /// The handle that it switched through.
    through: usize,
}

struct G {
    stage: Stage,
    parent: usize,
    children: usize,
    /// Handles, wherever they are, and kills in which it waits.
    count: usize,
    takes: Ty,
    gives: Ty,
    closure: Vec<Kept>,
    frames: Vec<Frame>,
    wait: Option<Wait>,
    /// A generator: the next value, how many are left, and the guards of its levels.
    generator: Option<(usize, usize, Vec<usize>)>,
    bridge: Option<Bridge>,
}

/// A closure that awaits.
#[derive(Clone)]
struct Bridge {
    /// What it awaits, and will await then: how often it will be pending, and its guard.
    waits: Vec<(usize, usize)>,
    /// What the last of them panics with.
    panics: Option<usize>,
    /// Its level's.
    guard: usize,
}

/// What is thrown.
#[derive(Clone)]
enum Thrown {
    Payload(usize),
    WrongResult {
        expected: Ty,
        returned: Ty,
    },
    /// `switch` was refused.
    Refused(&'static str),
}

impl fmt::Display for Thrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Thrown::Payload(id) => write!(f, "payload {id}"),
            Thrown::WrongResult { expected, returned } => {
                write!(f, "a result of type {returned:?} for {expected:?}")
            }
            Thrown::Refused(why) => write!(f, "switch refused: {why}"),
        }
    }
}

enum Incoming {
    Value(usize),
    Thrown(Thrown),
}

/// At most so many greenlets have a handle in the table.
const MOST: usize = 12;
const DEEPEST: usize = 6;

pub struct Model {
    all: Vec<G>,
    current: usize,
    unwinding: bool,
    /// The latest first.
    active: Vec<usize>,
    /// How many handles to each greenlet are in the table.
    table: Vec<usize>,
    /// The generators in the table: their numbers as greenlets.
    generators: Vec<usize>,
    /// The same of the bridges.
    bridges: Vec<usize>,
    traced: bool,
    /// Requests for memory fail in the next operation.
    starving: bool,
    numbers: usize,
    /// What was carried out.
    pub steps: Vec<Step>,
    /// How many of the steps are the program's; the rest brings it to its end.
    pub chosen: usize,
    pub log: Vec<String>,
}

/// Carries out a program.
pub fn run(ops: &[Op]) -> Model {
    let mut model = Model::new();
    for op in ops {
        if let Some(step) = model.choose(op) {
            model.step(&step);
        }
    }
    model.end_of_program();
    model
}

/// Carries out steps again, less those that are not possible.
pub fn run_steps(steps: &[Step]) -> Model {
    let mut model = Model::new();
    steps.iter().for_each(|step| model.step(step));
    model.end_of_program();
    model
}

impl Model {
    fn new() -> Model {
        let mut model = Model {
            all: Vec::new(),
            current: 0,
            unwinding: false,
            active: Vec::new(),
            table: vec![1],
            generators: Vec::new(),
            bridges: Vec::new(),
            traced: false,
            starving: false,
            numbers: 0,
            steps: Vec::new(),
            chosen: 0,
            log: Vec::new(),
        };
        model.add(Stage::Active, 0, Small, Small, Vec::new());
        model.all[0].count = 2; // the thread's and the table's
        model.all[0].children = 0;
        let last = vec![Kept::Guard(0)];
        model.all[0].frames.push(Frame { catches: true, kept: Vec::new(), last });
        model
    }

    fn number(&mut self) -> usize {
        self.numbers += 1;
        self.numbers
    }

    fn say(&mut self, what: String) {
        self.log.push(format!("{}: {what}", self.current));
    }

    fn add(&mut self, stage: Stage, parent: usize, takes: Ty, gives: Ty, closure: Vec<Kept>) {
        self.all.push(G {
            stage,
            parent,
            children: 0,
            count: 1,
            takes,
            gives,
            closure,
            frames: Vec::new(),
            wait: None,
            generator: None,
            bridge: None,
        });
        self.all[parent].children += 1;
    }

    fn awaits(&self, g: usize) -> Ty {
        match self.all[g].wait {
            Some(wait) => wait.want,
            None => self.all[g].takes,
        }
    }

    // What there is to choose from.

    /// A greenlet that has a handle in the table.
    fn pick(&self, n: u8) -> usize {
        let all: Vec<usize> = (0..self.table.len()).filter(|&g| self.table[g] > 0).collect();
        all[n as usize % all.len()]
    }

    /// The same, and unless `odd` another than the running one that has not finished, if there is one.
    fn pick_other(&self, n: u8, odd: bool) -> usize {
        let all: Vec<usize> = (0..self.table.len())
            .filter(|&g| self.table[g] > 0)
            .filter(|&g| odd || (g != self.current && self.all[g].stage != Stage::Finished))
            .collect();
        if all.is_empty() { self.pick(n) } else { all[n as usize % all.len()] }
    }

    fn pick_generator(&self, n: u8) -> Option<usize> {
        let len = self.generators.len();
        (len > 0).then(|| self.generators[n as usize % len])
    }

    fn pick_bridge(&self, n: u8) -> Option<usize> {
        let len = self.bridges.len();
        (len > 0).then(|| self.bridges[n as usize % len])
    }

    /// The running one has just been continued.
    fn seen(&mut self, how: &str, origin: usize) {
        if self.traced {
            self.say(format!("seen: {how}, from {origin}"));
        }
    }

    // Lives.

    /// Something is dropped.
    fn drop_kept(&mut self, kept: Kept) {
        match kept {
            Kept::Guard(id) => {
                let how = if self.unwinding { ", refused to throw: unwinding" } else { "" };
                self.say(format!("guard {id} dropped{how}"));
            }
            Kept::Handle(g) => self.release(g),
            Kept::Bridge(g) => {
                // What it awaits goes first: it is not the greenlet's, which may have been killed before.
                let waits = self.all[g].bridge.as_ref().and_then(|bridge| bridge.waits.first());
                if let Some(&(_, guard)) = waits.filter(|_| self.all[g].stage != Stage::New) {
                    self.drop_kept(Kept::Guard(guard));
                }
                self.release(g);
            }
        }
    }

    fn drop_all(&mut self, kept: Vec<Kept>) {
        kept.into_iter().for_each(|kept| self.drop_kept(kept));
    }

    fn leave_frame(&mut self, frame: Frame) {
        self.drop_all(frame.kept);
        self.drop_all(frame.last);
    }

    fn release(&mut self, g: usize) {
        self.all[g].count -= 1;
        if self.is_forgotten(g) {
            self.last(g);
        }
    }

    fn is_forgotten(&self, g: usize) -> bool {
        self.all[g].count == 0 && self.all[g].children == 0
    }

    /// Nobody can reach `g` any more.
    fn last(&mut self, mut g: usize) {
        loop {
            if g == 0 || g == self.current {
                return;
            }
            self.all[g].count += 1;
            match self.all[g].stage {
                Stage::New => self.finish_new(g),
                Stage::Active => self.kill_active(g),
                Stage::Finished => {}
            }
            self.all[g].count -= 1;
            if !self.is_forgotten(g) {
                return;
            }
            let parent = self.all[g].parent;
            self.all[parent].children -= 1;
            if !self.is_forgotten(parent) {
                return;
            }
            g = parent;
        }
    }

    /// One that has not begun never will.
    fn finish_new(&mut self, g: usize) {
        self.all[g].stage = Stage::Finished;
        let closure = std::mem::take(&mut self.all[g].closure);
        self.drop_all(closure);
    }

    /// Unwinds a suspended one, here and now.
    fn kill_active(&mut self, g: usize) {
        let killer = std::mem::replace(&mut self.current, g);
        self.all[killer].count += 1;
        self.seen("Throw", killer);
        let outer = std::mem::replace(&mut self.unwinding, true);
        if let Some(wait) = self.all[g].wait.take() {
            self.release(wait.through);
        }
        while let Some(frame) = self.all[g].frames.pop() {
            self.leave_frame(frame);
        }
        self.unwinding = outer;
        self.all[g].stage = Stage::Finished;
        self.active.retain(|&other| other != g);
        self.current = killer;
        self.seen("Switch", g);
        self.all[killer].count -= 1;
        if self.all[g].children == 0 {
            self.set_parent(g, 0);
        }
    }

    fn set_parent(&mut self, g: usize, parent: usize) {
        self.all[parent].children += 1;
        let before = std::mem::replace(&mut self.all[g].parent, parent);
        self.all[before].children -= 1;
        if self.is_forgotten(before) {
            self.last(before);
        }
    }

    /// The nearest of `g` and its ancestors that has not finished.
    fn living(&self, mut g: usize) -> usize {
        while self.all[g].stage == Stage::Finished {
            g = self.all[g].parent;
        }
        g
    }

    /// The nearest living ancestor that has begun; those on the way that have not are finished.
    fn first_that_can_take(&mut self, g: usize) -> usize {
        let mut g = self.living(g);
        while self.all[g].stage == Stage::New {
            self.finish_new(g);
            g = self.living(g);
        }
        g
    }

    /// The running one leaves: whether nobody can reach it then.
    fn leaves(&self) -> bool {
        self.is_forgotten(self.current)
    }

    /// The running one has come to its end. Answers who goes on, and with what.
    fn end(&mut self, outcome: Result<usize, Thrown>) -> (usize, Incoming) {
        let me = self.current;
        let parent = self.living(self.all[me].parent);
        let (target, incoming) = match outcome {
            Ok(value) if self.awaits(parent) == self.all[me].gives => {
                (parent, Incoming::Value(value))
            }
            Ok(value) => {
                self.say(format!("value {value} dropped"));
                let (expected, returned) = (self.awaits(parent), self.all[me].gives);
                let thrown = Thrown::WrongResult { expected, returned };
                (self.first_that_can_take(parent), Incoming::Thrown(thrown))
            }
            Err(thrown) => (self.first_that_can_take(parent), Incoming::Thrown(thrown)),
        };
        self.all[me].stage = Stage::Finished;
        self.active.retain(|&other| other != me);
        if self.all[me].parent == target && self.all[me].children == 0 {
            // The target runs next: it is not forgotten now.
            self.all[0].children += 1;
            self.all[me].parent = 0;
            self.all[target].children -= 1;
        }
        (target, incoming)
    }

    /// The running one leaves for `target`, which takes what comes; and so on, until somebody carries out operations.
    fn go(&mut self, mut target: usize, mut incoming: Incoming) {
        loop {
            let (origin, orphan) = (self.current, self.leaves());
            self.current = target;
            let begins = self.all[target].stage == Stage::New;
            if begins {
                self.all[target].stage = Stage::Active;
                self.active.insert(0, target);
                let closure = std::mem::take(&mut self.all[target].closure);
                self.all[target].frames.push(Frame {
                    catches: false,
                    kept: Vec::new(),
                    last: closure,
                });
            }
            let how = if matches!(incoming, Incoming::Value(_)) { "Switch" } else { "Throw" };
            self.seen(how, origin);
            if orphan {
                self.all[origin].count += 1;
                self.release(origin);
            }
            let wait = self.all[target].wait.take();
            match (incoming, wait) {
                (Incoming::Value(value), None) => {
                    assert!(begins);
                    self.say(format!("begins with value {value}"));
                    return;
                }
                (Incoming::Value(value), Some(wait)) => {
                    self.say(format!("got value {value}"));
                    return self.release(wait.through);
                }
                (Incoming::Thrown(thrown), Some(wait)) if wait.style == Style::Try => {
                    self.say(format!("thrown: {thrown}"));
                    return self.release(wait.through);
                }
                (Incoming::Thrown(thrown), wait) => {
                    match self.unwind(thrown, wait.map(|wait| wait.through)) {
                        Ok(()) => return,
                        Err(thrown) => (target, incoming) = self.end(Err(thrown)),
                    }
                }
            }
        }
    }

    /// The running one unwinds up to the next level that is called by one that catches. `Err`: there is none.
    fn unwind(&mut self, thrown: Thrown, through: Option<usize>) -> Result<(), Thrown> {
        let me = self.current;
        self.unwinding = true;
        if let Some(through) = through {
            self.release(through);
        }
        while let Some(frame) = self.all[me].frames.pop() {
            let (catches, base) = (frame.catches, me == 0 && self.all[me].frames.is_empty());
            if base {
                // Main's lowest level catches around each of its operations.
                self.all[me].frames.push(frame);
            } else {
                self.leave_frame(frame);
            }
            if catches {
                self.unwinding = false;
                self.say(format!("caught: {thrown}"));
                return Ok(());
            }
        }
        self.unwinding = false;
        Err(thrown)
    }

    /// The running one panics at its own doing, holding a handle.
    fn raise(&mut self, thrown: Thrown, through: Option<usize>) {
        if let Err(thrown) = self.unwind(thrown, through) {
            let (target, incoming) = self.end(Err(thrown));
            self.go(target, incoming);
        }
    }

    // Operations.

    fn frame(&mut self) -> &mut Frame {
        self.all[self.current].frames.last_mut().expect("whoever runs has a frame")
    }

    fn depth(&self) -> usize {
        self.all[self.current].frames.len()
    }

    /// Makes the choices that an operation leaves open. `None`: there is nothing to choose from.
    fn choose(&mut self, op: &Op) -> Option<Step> {
        Some(match *op {
            Op::Create { parent, takes, gives, captures } => {
                if self.table.iter().filter(|n| **n > 0).count() >= MOST {
                    return None;
                }
                let (id, guard) = (self.all.len(), self.number());
                let parent = parent.map(|n| self.pick(n));
                let captures = captures.map(|n| self.pick(n));
                Step::Create { id, parent, takes, gives, guard, captures }
            }
            Op::Switch { to, want, style, odd } => {
                let (to, value) = (self.pick_other(to, odd), self.number());
                let send = match self.awaits(to) {
                    Small if odd => Large,
                    Large if odd => Small,
                    right => right,
                };
                Step::Switch { to, value, send, want, style }
            }
            Op::Throw { to, want, style, odd } => {
                let (to, payload) = (self.pick_other(to, odd), self.number());
                Step::Throw { to, payload, want, style }
            }
            Op::Kill { whom, odd } => Step::Kill(self.pick_other(whom, odd)),
            Op::CloneHandle(n) => Step::CloneHandle(self.pick(n)),
            Op::DropHandle(n) => {
                // Often its own: then it runs on borrowed time.
                let own = n % 3 == 0 && self.table[self.current] > 0;
                Step::DropHandle(if own { self.current } else { self.pick(n) })
            }
            Op::KeepHandle(n) => Step::KeepHandle(self.pick(n)),
            Op::KeepGuard => Step::KeepGuard(self.number()),
            Op::SetParent { of, to } => Step::SetParent(self.pick(of), self.pick(to)),
            Op::Return => Step::Return(self.number()),
            Op::Panic => Step::Panic(self.number()),
            Op::Deeper { size, catches } => Step::Deeper { size, catches, guard: self.number() },
            Op::Shallower => Step::Shallower,
            Op::NewGenerator { values, depth } => {
                if self.generators.len() >= 4 {
                    return None;
                }
                let (id, values, first) = (self.all.len(), values as usize % 5, self.numbers);
                self.numbers += values + 1;
                let guards = (0..depth as usize % 4 + 2).map(|_| self.number()).collect();
                Step::NewGenerator { id, first, values, guards }
            }
            Op::Next(n) => Step::Next(self.pick_generator(n)?),
            Op::DropGenerator(n) => Step::DropGenerator(self.pick_generator(n)?),
            Op::KeepGenerator(n) => Step::KeepGenerator(self.pick_generator(n)?),
            Op::NewBridge { ref waits, panics } => {
                if self.bridges.len() >= 3 {
                    return None;
                }
                let waits: Vec<_> = waits.iter().map(|&times| times as usize % 3).collect();
                let panics = (panics && !waits.is_empty()).then(|| self.number());
                let guards = (0..waits.len() + 2).map(|_| self.number()).collect();
                Step::NewBridge { id: self.all.len(), waits, panics, guards }
            }
            Op::Poll(n) => Step::Poll(self.pick_bridge(n)?),
            Op::DropBridge(n) => Step::DropBridge(self.pick_bridge(n)?),
            Op::KeepBridge(n) => Step::KeepBridge(self.pick_bridge(n)?),
            Op::Trace(on) => Step::Trace(on),
            Op::Starve { after, for_ever } => Step::Starve { after: after as usize, for_ever },
            Op::Look => Step::Look,
        })
    }

    /// Whether a step can be carried out: what it names is there.
    fn is_possible(&self, step: &Step) -> bool {
        let has = |g: usize| self.table.get(g).is_some_and(|n| *n > 0);
        match *step {
            Step::Create { id, parent, captures, .. } => {
                id >= self.all.len() && parent.is_none_or(has) && captures.is_none_or(has)
            }
            Step::NewGenerator { id, .. } | Step::NewBridge { id, .. } => id >= self.all.len(),
            Step::Switch { to: g, .. } | Step::Throw { to: g, .. } => has(g),
            Step::Kill(g) | Step::CloneHandle(g) | Step::KeepHandle(g) => has(g),
            // One handle to main stays.
            Step::DropHandle(g) => has(g) && (g != 0 || self.table[0] > 1),
            Step::SetParent(of, to) => has(of) && has(to),
            Step::Return(_) => self.current != 0,
            Step::Deeper { .. } => self.depth() < DEEPEST,
            Step::Shallower => self.depth() > 1,
            Step::Next(id) | Step::DropGenerator(id) | Step::KeepGenerator(id) => {
                self.generators.contains(&id)
            }
            // Only main's frames may be pointed to meanwhile.
            Step::Poll(id) => self.current == 0 && self.bridges.contains(&id),
            Step::DropBridge(id) | Step::KeepBridge(id) => self.bridges.contains(&id),
            Step::Trace(_) | Step::Starve { .. } => true,
            Step::KeepGuard(_) | Step::Panic(_) | Step::Look => true,
        }
    }

    /// Whether the model knows what comes of it when requests for memory fail in this step: nothing, until it is tried again. Not
    /// so where one that nobody can reach is left, and so killed in the same breath: without memory its frames are given up.
    fn may_starve(&self, step: &Step) -> bool {
        match *step {
            Step::Create { .. } => true,
            Step::Return(_) => true, // see `real::Found`
            // What is thrown at one that has not begun finishes that one first.
            Step::Throw { to, .. } => self.all[to].stage == Stage::Active && !self.leaves(),
            Step::Switch { .. } | Step::Kill(_) | Step::Next(_) => !self.leaves(),
            _ => false,
        }
    }

    /// Carries a step out, if that is possible.
    fn step(&mut self, step: &Step) {
        if !self.is_possible(step) {
            return;
        }
        if std::mem::take(&mut self.starving) && !self.may_starve(step) {
            self.steps.pop();
        }
        self.steps.push(step.clone());
        let me = self.current;
        match *step {
            Step::Create { id, parent, takes, gives, guard, captures } => {
                let mut closure = vec![Kept::Guard(guard)];
                if let Some(of) = captures {
                    self.all[of].count += 1;
                    closure.push(Kept::Handle(of));
                }
                self.skip_to(id);
                self.add(Stage::New, parent.unwrap_or(me), takes, gives, closure);
                self.table.push(1);
            }
            Step::Switch { to, value, send, want, style } => {
                self.switch(to, value, send, want, style);
            }
            Step::Throw { to, payload, want, style } => self.throw(to, payload, want, style),
            Step::Kill(whom) => self.kill(whom),
            Step::CloneHandle(of) => {
                self.all[of].count += 1;
                self.table[of] += 1;
            }
            Step::DropHandle(of) => {
                self.table[of] -= 1;
                self.release(of);
            }
            Step::KeepHandle(of) => {
                self.all[of].count += 1;
                self.frame().kept.push(Kept::Handle(of));
            }
            Step::KeepGuard(guard) => self.frame().kept.push(Kept::Guard(guard)),
            Step::SetParent(of, to) => {
                let mut ancestor = to;
                while ancestor != of && ancestor != 0 {
                    ancestor = self.all[ancestor].parent;
                }
                if of == 0 {
                    self.say("refused: Main".into());
                } else if ancestor == of {
                    self.say("refused: Cycle".into());
                } else {
                    self.set_parent(of, to);
                    self.say(format!("{of} has the parent {to}"));
                }
            }
            Step::Return(value) => {
                while let Some(frame) = self.all[me].frames.pop() {
                    self.leave_frame(frame);
                }
                let (target, incoming) = self.end(Ok(value));
                self.go(target, incoming);
            }
            Step::Panic(payload) => self.raise(Thrown::Payload(payload), None),
            Step::Deeper { catches, guard, .. } => {
                let last = vec![Kept::Guard(guard)];
                self.all[me].frames.push(Frame { catches, kept: Vec::new(), last });
            }
            Step::Shallower => {
                let frame = self.all[me].frames.pop().unwrap();
                self.leave_frame(frame);
            }
            Step::NewGenerator { id, first, values, ref guards } => {
                self.skip_to(id);
                self.add(Stage::New, 0, Small, Small, vec![Kept::Guard(guards[0])]);
                self.table.push(0);
                self.all[id].generator = Some((first, values, guards[1..].to_vec()));
                self.generators.push(id);
            }
            Step::Next(id) => self.next(id),
            Step::DropGenerator(id) => {
                self.generators.retain(|&other| other != id);
                self.release(id);
            }
            Step::KeepGenerator(id) => {
                self.generators.retain(|&other| other != id);
                self.frame().kept.push(Kept::Handle(id));
            }
            Step::NewBridge { id, ref waits, panics, ref guards } => {
                self.skip_to(id);
                self.add(Stage::New, 0, Small, Small, vec![Kept::Guard(guards[0])]);
                self.table.push(0);
                let waits = waits.iter().copied().zip(guards[2..].iter().copied()).collect();
                self.all[id].bridge = Some(Bridge { waits, panics, guard: guards[1] });
                self.bridges.push(id);
            }
            Step::Poll(id) => self.poll(id),
            Step::DropBridge(id) => {
                self.bridges.retain(|&other| other != id);
                self.drop_kept(Kept::Bridge(id));
            }
            Step::KeepBridge(id) => {
                self.bridges.retain(|&other| other != id);
                self.frame().kept.push(Kept::Bridge(id));
            }
            Step::Trace(on) => self.traced = on,
            Step::Starve { .. } => self.starving = true,
            Step::Look => self.look(),
        }
    }

    /// Numbers that no greenlet has, because the steps that made them were left out.
    fn skip_to(&mut self, id: usize) {
        while self.all.len() < id {
            self.add(Stage::Finished, 0, Small, Small, Vec::new());
            self.table.push(0);
        }
    }

    fn kill(&mut self, whom: usize) {
        self.all[whom].count += 1;
        let result = match self.all[whom].stage {
            _ if whom == 0 => "refused: Main",
            Stage::Active if whom == self.current => "refused: Current",
            Stage::Finished => "killed",
            Stage::New => {
                self.finish_new(whom);
                if self.all[whom].children == 0 {
                    self.set_parent(whom, 0);
                }
                "killed"
            }
            Stage::Active => {
                self.kill_active(whom);
                "killed"
            }
        };
        self.say(result.into());
        self.release(whom);
    }

    fn suspend(&mut self, want: Ty, style: Style, through: usize) {
        self.all[self.current].wait = Some(Wait { want, style, through });
    }

    fn switch(&mut self, to: usize, value: usize, send: Ty, want: Ty, style: Style) {
        self.all[to].count += 1;
        let refused = if self.all[to].stage == Stage::Finished {
            "Finished"
        } else if to == self.current && send == want {
            self.say(format!("got value {value}"));
            return self.release(to);
        } else if to == self.current || send != self.awaits(to) {
            "WrongType"
        } else {
            self.suspend(want, style, to);
            return self.go(to, Incoming::Value(value));
        };
        if style == Style::Try {
            self.say(format!("refused: {refused}, value {value} is back"));
            self.release(to);
        } else {
            self.say(format!("value {value} dropped"));
            self.raise(Thrown::Refused(refused), Some(to));
        }
    }

    fn throw(&mut self, to: usize, payload: usize, want: Ty, style: Style) {
        self.all[to].count += 1;
        let thrown = Thrown::Payload(payload);
        let refused = if self.all[to].stage == Stage::Finished {
            "Finished"
        } else if to == 0 {
            "Main"
        } else {
            let target = if to == self.current { to } else { self.first_that_can_take(to) };
            if target != self.current {
                self.suspend(want, style, to);
                return self.go(target, Incoming::Thrown(thrown));
            }
            if style == Style::Try {
                self.say(format!("thrown: {thrown}"));
                self.release(to);
            } else {
                self.raise(thrown, Some(to));
            }
            return;
        };
        if style == Style::Try {
            self.say(format!("refused: {refused}, payload {payload} is back"));
            self.release(to);
        } else {
            self.raise(Thrown::Refused(refused), Some(to));
        }
    }

    fn next(&mut self, id: usize) {
        let Some((value, left, guards)) = self.all[id].generator.clone() else { unreachable!() };
        let me = self.current;
        if self.all[id].stage != Stage::Finished {
            self.current = id;
            self.seen("Switch", me);
            self.current = me;
        }
        if self.all[id].stage == Stage::New {
            self.all[id].stage = Stage::Active;
            self.active.insert(0, id);
            let closure = std::mem::take(&mut self.all[id].closure);
            self.all[id].frames.push(Frame { catches: false, kept: Vec::new(), last: closure });
            for &guard in &guards {
                let last = vec![Kept::Guard(guard)];
                self.all[id].frames.push(Frame { catches: false, kept: Vec::new(), last });
            }
        }
        if self.all[id].stage == Stage::Active && left > 0 {
            self.all[id].generator = Some((value + 1, left - 1, guards));
            self.seen("Switch", id);
            return self.say(format!("generator {id} gave {value}"));
        }
        if self.all[id].stage == Stage::Active {
            self.current = id;
            while let Some(frame) = self.all[id].frames.pop() {
                self.leave_frame(frame);
            }
            self.current = me;
            self.all[id].stage = Stage::Finished;
            self.active.retain(|&other| other != id);
            self.seen("Switch", id);
        }
        self.say(format!("generator {id} has ended"));
    }

    /// Main polls a bridge: what it awaits, and the greenlet when that is ready.
    fn poll(&mut self, id: usize) {
        let Some(mut bridge) = self.all[id].bridge.clone() else { unreachable!() };
        let mut resume = None;
        if self.all[id].stage == Stage::New {
            self.all[id].stage = Stage::Active;
            self.active.insert(0, id);
            let mut last = std::mem::take(&mut self.all[id].closure);
            last.insert(0, Kept::Guard(bridge.guard));
            self.all[id].frames.push(Frame { catches: false, kept: Vec::new(), last });
            resume = Some("Switch");
        }
        let how = loop {
            if let Some(how) = resume {
                self.current = id;
                self.seen(how, 0);
                if how == "Throw" || bridge.waits.is_empty() {
                    break how;
                }
                self.current = 0;
                self.seen("Switch", id);
            }
            let (times, guard) = &mut bridge.waits[0];
            if *times > 0 {
                *times -= 1;
                self.all[id].bridge = Some(bridge);
                return self.say(format!("what bridge {id} awaits is pending"));
            }
            let guard = *guard;
            bridge.waits.remove(0);
            let panics = bridge.panics.is_some() && bridge.waits.is_empty();
            self.unwinding = panics;
            self.drop_kept(Kept::Guard(guard));
            self.unwinding = false;
            resume = Some(if panics { "Throw" } else { "Switch" });
        };
        // The closure returns or unwinds.
        self.unwinding = how == "Throw";
        while let Some(frame) = self.all[id].frames.pop() {
            self.leave_frame(frame);
        }
        self.unwinding = false;
        self.all[id].stage = Stage::Finished;
        self.active.retain(|&other| other != id);
        self.current = 0;
        self.seen(how, id);
        self.bridges.retain(|&other| other != id);
        match bridge.panics.filter(|_| how == "Throw") {
            None => {
                self.say(format!("bridge {id} is ready"));
                self.release(id);
            }
            Some(payload) => self.raise(Thrown::Payload(payload), Some(id)),
        }
    }

    /// What can be seen of the greenlets in the table.
    fn look(&mut self) {
        for g in 0..self.table.len() {
            if self.table[g] > 0 {
                let (stage, parent) = (self.all[g].stage, self.all[g].parent);
                let running = if g == self.current { ", running" } else { "" };
                let parent = if g == 0 { String::new() } else { format!(", parent {parent}") };
                self.say(format!("{g} is {stage:?}{running}{parent}"));
            }
        }
    }

    fn end_of_program(&mut self) {
        self.chosen = self.steps.len();
        if self.current != 0 {
            // Back to main.
            let (value, send) = (self.number(), self.awaits(0));
            self.step(&Step::Switch { to: 0, value, send, want: Small, style: Style::Try });
        }
        self.step(&Step::Look);
        while let Some(frame) = self.all[0].frames.pop() {
            self.leave_frame(frame);
        }
        // Main drops what is in the table.
        for id in std::mem::take(&mut self.generators) {
            self.release(id);
        }
        for id in std::mem::take(&mut self.bridges) {
            self.drop_kept(Kept::Bridge(id));
        }
        for g in 0..self.table.len() {
            while self.table[g] > 0 {
                self.table[g] -= 1;
                self.release(g);
            }
        }
        // The thread ends.
        self.log.push("end of the thread".into());
        let rest = self.active.clone();
        for &g in &rest {
            self.all[g].count += 1;
        }
        for &g in &rest {
            if self.all[g].stage == Stage::Active {
                self.kill_active(g);
            }
            self.release(g);
        }
    }
}
