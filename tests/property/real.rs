//! Carries out [`Step`]s with greenlets. Whoever runs takes the next one. What happens goes to a log.
//!
//! Where requests for memory are to fail, they do so from right before the operation until somebody else runs, or it has
//! returned. An operation that says that there was no memory is done again with it, and then all must be as the model has it.
//! The exception is the last switch of a greenlet, which cannot be refused: where its error goes depends on how
//! many bytes are in the way, of which the model knows nothing. From there on it is only looked at whether anything
//! is broken ([`Found`]).

use crate::allocator::{fail, failed, from_below, succeed};
use crate::model::{Step, Style, Ty};
use greenlet::bridge::{self, Enter};
use greenlet::*;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt::{Display, Write};
use std::future::Future;
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

type Log = Arc<Mutex<Found>>;

/// Carries out the steps, and says how the log differs from what is expected, if it does.
pub fn difference(steps: &[Step], expected: &[String]) -> Option<String> {
    let found = run(steps).difference(expected)?;
    let mut text = String::from("the logs differ.\nThe program:\n");
    for step in steps {
        writeln!(text, "    {step:?}").unwrap();
    }
    Some(text + &found)
}

/// What happened.
#[derive(Default)]
struct Found {
    log: Vec<String>,
    /// From here on something else than the model says may happen: there was no memory for the last switch of a greenlet.
    lost: Option<usize>,
}

impl Found {
    /// What differs from what is expected, or is broken in any case.
    fn difference(&self, expected: &[String]) -> Option<String> {
        let known = self.lost.unwrap_or(usize::MAX);
        let same = expected.iter().zip(&self.log).take_while(|(a, b)| a == b).count();
        let complete = self.log.len() == expected.len() && same == expected.len();
        let wrong = match same >= known {
            true => self.broken(known)?,
            false if complete => return None,
            false => format!("expected then: {:#?}", &expected[same..]),
        };
        let mut text = String::from("The log:\n");
        for line in &self.log[..same] {
            writeln!(text, "    {line}").unwrap();
        }
        writeln!(text, "  {wrong}\n  found: {:#?}", &self.log[same..]).unwrap();
        Some(text)
    }

    /// What must never happen, whatever became of a result: something is dropped or received twice, or is not what it was.
    fn broken(&self, known: usize) -> Option<String> {
        let mut gone = std::collections::HashSet::new();
        let line = self.log.iter().find(|line| {
            let what = line.split_once(": ").map_or("", |(_, what)| what);
            let words: Vec<&str> = what.split(' ').collect();
            match words[..] {
                ["guard", id, how, ..] if how.starts_with("dropped") => {
                    !gone.insert(("guard", id)) || what.ends_with(THREW)
                }
                [.., "value", id] | ["value", id, "dropped"] => {
                    id != "0" && !gone.insert(("value", id)) || id.parse() == Ok(usize::MAX)
                }
                _ => what == BROKEN,
            }
        })?;
        Some(format!("from line {known} on anything else may happen, but not: {line}"))
    }
}

/// What a thread's greenlets share.
struct Shared {
    steps: Vec<Step>,
    at: Cell<usize>,
    log: Log,
    /// Who runs, as far as they say themselves.
    table: RefCell<Vec<Vec<AnyGreenlet>>>,
    generators: RefCell<HashMap<usize, Generator<usize>>>,
    bridges: RefCell<HashMap<usize, Enter<()>>>,
    /// What is to be done to requests for memory in the next operation: how many get some, and whether all fail then.
    starve: Cell<Option<(usize, bool)>>,
    /// They may fail in the last switch of a greenlet: how long the log was before, and how many had failed.
    last_switch: Cell<Option<(usize, usize)>>,
    /// Numbers of greenlets by their identity. One that has been freed may have had the same.
    numbers: RefCell<HashMap<usize, usize>>,
}

impl Shared {
    fn say(&self, me: usize, what: impl Display) {
        self.fed();
        self.log.lock().unwrap().log.push(format!("{me}: {what}"));
    }

    /// The number of a greenlet.
    fn number(&self, greenlet: &AnyGreenlet) -> usize {
        self.numbers.borrow().get(&greenlet.id()).copied().unwrap_or(usize::MAX)
    }

    /// Carries out an operation in which requests for memory may fail. One that says `None` was refused for that reason, has
    /// changed nothing, and is done again.
    fn attempt<T>(&self, mut operation: impl FnMut() -> Option<T>) -> T {
        if let Some((after, for_ever)) = self.starve.take() {
            fail(after, for_ever);
            let outcome = operation();
            self.fed();
            if let Some(outcome) = outcome {
                return outcome;
            }
            let outcome = from_below(|| operation().expect("there is memory"));
            self.fed(); // who has come back to here may have been starving, too
            return outcome;
        }
        let outcome = operation();
        self.fed(); // who has come here may have been starving
        outcome.expect("there is memory")
    }

    /// The same for what sends something, and gives it back when it is refused.
    fn attempt_to_send<In, Out>(
        &self,
        sent: In,
        send: impl Fn(In) -> Result<Out, SwitchError<In>>,
    ) -> Result<Out, SwitchError<In>> {
        let mut sent = Some(sent);
        self.attempt(|| match send(sent.take()?) {
            Err(SwitchError::Refused(Refused::OutOfMemory, back)) => {
                sent = Some(back);
                None
            }
            answer => Some(answer),
        })
    }

    /// Somebody has arrived, or returned from an operation: requests for memory fail no more.
    fn fed(&self) {
        succeed();
        if let Some((at, before)) = self.last_switch.take()
            && failed() != before
        {
            self.log.lock().unwrap().lost.get_or_insert(at);
        }
    }

    fn handle(&self, g: usize) -> Option<AnyGreenlet> {
        self.table.borrow().get(g)?.last().cloned()
    }
}

const BROKEN: &str = "SOMETHING IN A FRAME IS NOT WHAT IT WAS";
const THREW: &str = "and threw while unwinding";

/// Carries out the steps on a thread of its own.
fn run(steps: &[Step]) -> Found {
    let log = Log::default();
    let (steps, of_thread) = (steps.to_vec(), log.clone());
    let thread = std::thread::Builder::new().name(QUIET.into());
    let joined = thread.spawn(move || main(steps, of_thread)).unwrap().join();
    if joined.is_err() {
        log.lock().unwrap().log.push("the thread panicked".into());
    }
    std::mem::take(&mut log.lock().unwrap())
}

/// The name of threads whose panics are not printed.
pub const QUIET: &str = "quiet";

fn main(steps: Vec<Step>, log: Log) {
    let shared = Rc::new(Shared {
        steps,
        at: Cell::new(0),
        log: log.clone(),
        table: RefCell::new(vec![vec![AnyGreenlet::main()]]),
        generators: RefCell::default(),
        bridges: RefCell::default(),
        starve: Cell::new(None),
        last_switch: Cell::new(None),
        numbers: RefCell::default(),
    });
    shared.numbers.borrow_mut().insert(AnyGreenlet::main().id(), 0);
    level::<5>(&shared, 0, 0, 0);

    let mut generators: Vec<_> = shared.generators.take().into_iter().collect();
    generators.sort_by_key(|(id, _)| *id);
    generators.into_iter().for_each(drop);
    let mut bridges: Vec<_> = shared.bridges.take().into_iter().collect();
    bridges.sort_by_key(|(id, _)| *id);
    bridges.into_iter().for_each(drop);
    let greenlets = shared.table.borrow().len();
    for g in 0..greenlets {
        loop {
            let handle = shared.table.borrow_mut()[g].pop();
            if handle.is_none() {
                break;
            }
        }
    }
    shared.fed();
    log.lock().unwrap().log.push("end of the thread".into());
}

/// Says when it is dropped. If that is because of a panic, it checks that nothing can be thrown then.
struct Guard {
    id: usize,
    shared: Rc<Shared>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut how = "";
        if std::thread::panicking() {
            let main = AnyGreenlet::main().typed::<Small, Small>();
            how = match main.try_throw(Box::new(())) {
                Err(SwitchError::Refused(Refused::Unwinding, _)) => ", refused to throw: unwinding",
                _ => THREW,
            };
        }
        let me = self.shared.number(&AnyGreenlet::current());
        self.shared.say(me, format_args!("guard {} dropped{how}", self.id));
    }
}

/// A value on its way. One that nobody receives says so.
struct Token {
    id: usize,
    shared: Option<Rc<Shared>>,
}

impl Drop for Token {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            let me = shared.number(&AnyGreenlet::current());
            shared.say(me, format_args!("value {} dropped", self.id));
        }
    }
}

trait Value: Sized + 'static {
    fn new(id: usize, shared: &Rc<Shared>) -> Self;
    /// Its number, if it is whole.
    fn open(self) -> usize;
}

struct Small(Token);

impl Value for Small {
    fn new(id: usize, shared: &Rc<Shared>) -> Self {
        Small(Token { id, shared: Some(shared.clone()) })
    }
    fn open(mut self) -> usize {
        self.0.shared = None;
        self.0.id
    }
}

/// Too large for the room in a thread's state, and with an alignment of its own.
#[repr(align(32))]
struct Large {
    before: [usize; 9],
    token: Token,
    after: [f64; 5],
}

impl Value for Large {
    fn new(id: usize, shared: &Rc<Shared>) -> Self {
        let token = Token { id, shared: Some(shared.clone()) };
        Large { before: [id; 9], token, after: [id as f64; 5] }
    }
    fn open(mut self) -> usize {
        self.token.shared = None;
        let id = self.token.id;
        let whole = self.before == [id; 9] && self.after == [id as f64; 5];
        let aligned = (&raw const self).addr().is_multiple_of(32);
        if whole && aligned { id } else { usize::MAX }
    }
}

struct Payload(usize);

/// The words of a payload, or the payload of a kill, which must go on.
fn words(payload: Box<dyn Any + Send>) -> Result<String, Box<dyn Any + Send>> {
    let ty = |name: &str| name.rsplit("::").next().unwrap_or(name).to_string();
    if payload.is::<Killed>() {
        Err(payload)
    } else if let Some(Payload(id)) = payload.downcast_ref() {
        Ok(format!("payload {id}"))
    } else if let Some(WrongResult { expected, returned }) = payload.downcast_ref() {
        Ok(format!("a result of type {} for {}", ty(returned), ty(expected)))
    } else if let Some(text) = payload.downcast_ref::<String>() {
        let why = match text.strip_prefix("switch refused: ") {
            Some("the greenlet has finished") => "Finished",
            Some("the greenlet is its thread's main one") => "Main",
            Some(text) if text.starts_with("the greenlet waits for a value of type") => "WrongType",
            _ => text,
        };
        Ok(format!("switch refused: {why}"))
    } else if payload.is::<OutOfMemory>() {
        Ok("there was no memory".into())
    } else {
        Ok("an unknown payload".into())
    }
}

fn why(refused: &Refused) -> String {
    match refused {
        Refused::WrongType { .. } => "WrongType".into(),
        refused => format!("{refused:?}"),
    }
}

/// Why a level is left.
enum Leave {
    Level,
    /// The greenlet, with this result.
    Greenlet(usize),
}

/// One level of recursion.
#[inline(never)]
fn level<const N: usize>(shared: &Rc<Shared>, me: usize, depth: usize, guard: usize) -> Leave {
    let _guard = Guard { id: guard, shared: shared.clone() };
    body_of_level::<N>(shared, me, depth, guard)
}

fn body_of_level<const N: usize>(
    shared: &Rc<Shared>,
    me: usize,
    depth: usize,
    seed: usize,
) -> Leave {
    let mut kept: Vec<Box<dyn Any>> = Vec::new();
    let number = |i: usize| (seed * 1000 + depth * 100 + i).wrapping_mul(0x9E37_79B1);
    let mut words = [0; N];
    for (i, word) in words.iter_mut().enumerate() {
        *word = number(i);
    }
    let (a, b, c) =
        (black_box(number(1) as f64), black_box(number(2) as f32), black_box(number(3)));
    loop {
        black_box(&words);
        let leave = if me == 0 && depth == 0 {
            // Main survives everything.
            let one = || one_step(shared, me, depth, &mut kept);
            catch_unwind(AssertUnwindSafe(one)).unwrap_or_else(|payload| {
                caught(shared, me, payload);
                None
            })
        } else {
            one_step(shared, me, depth, &mut kept)
        };
        let words_right = (0..N).all(|i| black_box(words[i]) == number(i));
        let right = a == number(1) as f64 && b == number(2) as f32 && c == number(3);
        if !words_right || !right {
            shared.say(me, BROKEN);
        }
        if let Some(leave) = leave {
            return leave;
        }
    }
}

fn caught(shared: &Rc<Shared>, me: usize, payload: Box<dyn Any + Send>) {
    shared.fed();
    match words(payload) {
        Ok(words) => shared.say(me, format_args!("caught: {words}")),
        Err(killed) => resume_unwind(killed),
    }
}

fn one_step(
    shared: &Rc<Shared>,
    me: usize,
    depth: usize,
    kept: &mut Vec<Box<dyn Any>>,
) -> Option<Leave> {
    let at = shared.at.get();
    shared.at.set(at + 1);
    let Some(step) = shared.steps.get(at) else {
        return Some(if me == 0 { Leave::Level } else { Leave::Greenlet(0) });
    };
    match *step {
        Step::Create { id, parent, takes, gives, guard, captures } => {
            create(shared, id, parent, (takes, gives), guard, captures);
        }
        Step::Switch { to, value, send, want, style } => {
            let Some(to) = shared.handle(to) else {
                shared.say(me, "no handle");
                return None;
            };
            match (send, want) {
                (Ty::Small, Ty::Small) => switch::<Small, Small>(shared, me, &to, value, style),
                (Ty::Small, Ty::Large) => switch::<Small, Large>(shared, me, &to, value, style),
                (Ty::Large, Ty::Small) => switch::<Large, Small>(shared, me, &to, value, style),
                (Ty::Large, Ty::Large) => switch::<Large, Large>(shared, me, &to, value, style),
            }
        }
        Step::Throw { to, payload, want, style } => {
            let Some(to) = shared.handle(to) else {
                shared.say(me, "no handle");
                return None;
            };
            match want {
                Ty::Small => throw::<Small>(shared, me, &to, payload, style),
                Ty::Large => throw::<Large>(shared, me, &to, payload, style),
            }
        }
        Step::Kill(whom) => {
            let Some(whom) = shared.handle(whom) else {
                shared.say(me, "no handle");
                return None;
            };
            let killed = || match whom.kill() {
                Err(Refused::OutOfMemory) => None,
                answer => Some(answer),
            };
            match shared.attempt(killed) {
                Ok(()) => shared.say(me, "killed"),
                Err(refused) => shared.say(me, format_args!("refused: {}", why(&refused))),
            }
        }
        Step::CloneHandle(of) => {
            if let Some(handle) = shared.handle(of) {
                shared.table.borrow_mut()[of].push(handle);
            }
        }
        Step::DropHandle(of) => {
            let handle = shared.table.borrow_mut()[of].pop();
            drop(handle);
        }
        Step::KeepHandle(of) => {
            if let Some(handle) = shared.handle(of) {
                kept.push(Box::new(handle));
            }
        }
        Step::KeepGuard(id) => kept.push(Box::new(Guard { id, shared: shared.clone() })),
        Step::SetParent(of, to) => {
            if let (Some(g), Some(parent)) = (shared.handle(of), shared.handle(to)) {
                // Its own temporary handles must not keep anybody when it says what happened.
                let result = g.set_parent(&parent);
                match result {
                    Ok(()) => shared.say(me, format_args!("{of} has the parent {to}")),
                    Err(refused) => shared.say(me, format_args!("refused: {}", why(&refused))),
                }
            }
        }
        Step::Return(value) => return Some(Leave::Greenlet(value)),
        Step::Panic(payload) => resume_unwind(Box::new(Payload(payload))),
        Step::Deeper { size, catches, guard } => {
            let deeper = || match size % 4 {
                0 => level::<1>(shared, me, depth + 1, guard),
                1 => level::<9>(shared, me, depth + 1, guard),
                2 => level::<60>(shared, me, depth + 1, guard),
                _ => level::<400>(shared, me, depth + 1, guard),
            };
            let leave = if catches {
                catch_unwind(AssertUnwindSafe(deeper)).unwrap_or_else(|payload| {
                    caught(shared, me, payload);
                    Leave::Level
                })
            } else {
                deeper()
            };
            if let Leave::Greenlet(value) = leave {
                return Some(Leave::Greenlet(value));
            }
        }
        Step::Shallower => return Some(Leave::Level),
        Step::NewGenerator { id, first, values, ref guards } => {
            let captured = Guard { id: guards[0], shared: shared.clone() };
            let guards = guards[1..].to_vec();
            let shared_too = shared.clone();
            // SAFETY: nothing points into the frames of `walk`.
            let generator = unsafe {
                Generator::new(move |out: &Yielder<usize>| {
                    let _captured = captured;
                    walk(&shared_too, out, first, values, &guards);
                })
            };
            let number = generator.greenlet().id();
            shared.numbers.borrow_mut().insert(number, id);
            shared.generators.borrow_mut().insert(id, generator);
        }
        Step::Next(id) => {
            let generator = shared.generators.borrow_mut().remove(&id);
            if let Some(mut generator) = generator {
                match shared.attempt(|| next(&mut generator)) {
                    Some(value) => shared.say(me, format_args!("generator {id} gave {value}")),
                    None => shared.say(me, format_args!("generator {id} has ended")),
                }
                shared.generators.borrow_mut().insert(id, generator);
            }
        }
        Step::DropGenerator(id) => {
            let generator = shared.generators.borrow_mut().remove(&id);
            drop(generator);
        }
        Step::KeepGenerator(id) => {
            let generator = shared.generators.borrow_mut().remove(&id);
            kept.push(Box::new(generator));
        }
        Step::NewBridge { id, ref waits, panics, ref guards } => {
            let enter = new_bridge(shared, id, waits, panics, guards);
            shared.numbers.borrow_mut().insert(enter.greenlet().id(), id);
            shared.bridges.borrow_mut().insert(id, enter);
        }
        Step::Poll(id) => {
            let enter = shared.bridges.borrow_mut().remove(&id).filter(|_| me == 0);
            if let Some(mut enter) = enter {
                match pin!(&mut enter).poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(()) => shared.say(me, format_args!("bridge {id} is ready")),
                    Poll::Pending => drop(shared.bridges.borrow_mut().insert(id, enter)),
                }
            }
        }
        Step::DropBridge(id) => {
            let enter = shared.bridges.borrow_mut().remove(&id);
            drop(enter);
        }
        Step::KeepBridge(id) => {
            let enter = shared.bridges.borrow_mut().remove(&id);
            kept.push(Box::new(enter));
        }
        Step::Trace(on) => {
            let shared = shared.clone();
            set_trace(on.then(|| Box::new(move |event: &Event| seen(&shared, event)) as Hook));
        }
        Step::Starve { after, for_ever } => {
            // The model says no more when one that nobody can reach is left. Killed without memory, that one's frames would be given up.
            if shared.log.lock().unwrap().lost.is_none() {
                shared.starve.set(Some((after, for_ever)));
            }
        }
        Step::Look => look(shared, me),
    }
    None
}

/// The trace hook, which cannot throw.
fn seen(shared: &Shared, event: &Event) {
    let main = AnyGreenlet::main().typed::<Small, Small>();
    let answer = main.try_throw(Box::new(()));
    let refused = matches!(answer, Err(SwitchError::Refused(Refused::Tracing, _)));
    let (kind, origin) = (event.kind, shared.number(&event.origin));
    let how = if refused { "" } else { ", and threw in the trace hook" };
    shared.say(shared.number(&event.target), format_args!("seen: {kind:?}, from {origin}{how}"));
}

/// A generator's next value. `None`: there was no memory for it.
fn next(generator: &mut Generator<usize>) -> Option<Option<usize>> {
    match catch_unwind(AssertUnwindSafe(|| generator.next())) {
        Ok(value) => Some(value),
        Err(payload) if payload_text(&payload) == "switch refused: out of memory" => None,
        Err(payload) => resume_unwind(payload),
    }
}

/// What a bridge awaits.
struct Awaited {
    of: usize,
    times: usize,
    panics: Option<usize>,
    guard: Guard,
}

impl Future for Awaited {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.times == 0 {
            return self.panics.map_or(Poll::Ready(()), |id| resume_unwind(Box::new(Payload(id))));
        }
        self.times -= 1;
        self.guard.shared.say(0, format_args!("what bridge {} awaits is pending", self.of));
        Poll::Pending
    }
}

fn new_bridge(
    shared: &Rc<Shared>,
    of: usize,
    waits: &[usize],
    panics: Option<usize>,
    guards: &[usize],
) -> Enter<()> {
    let guard = |id| Guard { id, shared: shared.clone() };
    let captured = guard(guards[0]);
    let (waits, guards, shared) = (waits.to_vec(), guards[1..].to_vec(), shared.clone());
    let body = move || {
        let _captured = captured;
        let guard = |at: usize| Guard { id: guards[at], shared: shared.clone() };
        let _level = guard(0);
        for (at, &times) in waits.iter().enumerate() {
            let panics = panics.filter(|_| at + 1 == waits.len());
            bridge::wait(Awaited { of, times, panics, guard: guard(at + 1) });
        }
    };
    // SAFETY: nothing points into the frames of the closure.
    unsafe { bridge::enter(body) }
}

/// A generator's recursion: yields from the deepest level.
fn walk(shared: &Rc<Shared>, out: &Yielder<usize>, first: usize, values: usize, guards: &[usize]) {
    shared.fed();
    let [guard, deeper @ ..] = guards else {
        return (first..first + values).for_each(|value| {
            out.yield_(value);
            shared.fed();
        });
    };
    let _guard = Guard { id: *guard, shared: shared.clone() };
    walk(shared, out, first, values, deeper);
}

fn look(shared: &Rc<Shared>, me: usize) {
    let len = shared.table.borrow().len();
    for g in 0..len {
        let Some(handle) = shared.handle(g) else { continue };
        let stage = match (handle.is_started(), handle.is_active(), handle.is_finished()) {
            (false, false, false) => "New",
            (true, true, false) => "Active",
            (_, false, true) => "Finished",
            _ => "in no stage",
        };
        let running = if handle.is_current() { ", running" } else { "" };
        let parent = match handle.parent() {
            None => String::new(),
            Some(parent) => {
                let numbers = shared.numbers.borrow();
                numbers.get(&parent.id()).map_or("?".into(), |n| format!(", parent {n}"))
            }
        };
        shared.say(me, format_args!("{g} is {stage}{running}{parent}"));
    }
}

/// What a closure owns. Dropped in this order.
struct Captured {
    _guard: Guard,
    _handle: Option<AnyGreenlet>,
}

fn create(
    shared: &Rc<Shared>,
    id: usize,
    parent: Option<usize>,
    types: (Ty, Ty),
    guard: usize,
    captures: Option<usize>,
) {
    let captured = Captured {
        _guard: Guard { id: guard, shared: shared.clone() },
        _handle: captures.and_then(|of| shared.handle(of)),
    };
    let parent =
        parent.and_then(|parent| shared.handle(parent)).unwrap_or_else(AnyGreenlet::current);
    let greenlet = match types {
        (Ty::Small, Ty::Small) => create_typed::<Small, Small>(shared, id, &parent, captured),
        (Ty::Small, Ty::Large) => create_typed::<Small, Large>(shared, id, &parent, captured),
        (Ty::Large, Ty::Small) => create_typed::<Large, Small>(shared, id, &parent, captured),
        (Ty::Large, Ty::Large) => create_typed::<Large, Large>(shared, id, &parent, captured),
    };
    shared.numbers.borrow_mut().insert(greenlet.id(), id);
    let mut table = shared.table.borrow_mut();
    table.resize_with(id + 1, Vec::new);
    table[id].push(greenlet);
}

fn create_typed<In: Value, Out: Value>(
    shared: &Rc<Shared>,
    id: usize,
    parent: &AnyGreenlet,
    captured: Captured,
) -> AnyGreenlet {
    let of_body = shared.clone();
    let body = move |value: In| {
        let (captured, shared) = (captured, of_body);
        shared.say(id, format_args!("begins with value {}", value.open()));
        let value = match body_of_level::<3>(&shared, id, 0, 0) {
            Leave::Greenlet(value) => value,
            Leave::Level => 0,
        };
        drop(captured);
        let value = Out::new(value, &shared);
        if let Some((after, for_ever)) = shared.starve.take() {
            shared.last_switch.set(Some((shared.log.lock().unwrap().log.len(), failed())));
            fail(after, for_ever);
        }
        value
    };
    let mut body = Some(body);
    let made = || {
        // SAFETY: nothing points into the frames of a level.
        let made = unsafe { Greenlet::try_new(parent, body.take()?) };
        made.map_err(|(OutOfMemory, again)| body = Some(again)).ok()
    };
    shared.attempt(made).into()
}

#[inline(never)]
fn switch<In: Value, Out: Value>(
    shared: &Rc<Shared>,
    me: usize,
    to: &AnyGreenlet,
    value: usize,
    style: Style,
) {
    let to = to.typed::<In, Out>();
    let value = In::new(value, shared);
    if style == Style::Raise && shared.starve.get().is_none() {
        let got = to.switch(value);
        return shared.say(me, format_args!("got value {}", got.open()));
    }
    match shared.attempt_to_send(value, |value| to.try_switch(value)) {
        Ok(got) => shared.say(me, format_args!("got value {}", got.open())),
        Err(error) if style == Style::Raise => error.raise(),
        Err(SwitchError::Refused(refused, value)) => {
            let value = value.open();
            shared.say(me, format_args!("refused: {}, value {value} is back", why(&refused)));
        }
        Err(SwitchError::Thrown(payload)) => thrown(shared, me, payload),
    }
}

#[inline(never)]
fn throw<Out: Value>(
    shared: &Rc<Shared>,
    me: usize,
    to: &AnyGreenlet,
    payload: usize,
    style: Style,
) {
    let to = to.typed::<Small, Out>();
    let payload = Box::new(Payload(payload));
    if style == Style::Raise && shared.starve.get().is_none() {
        let got = to.throw(payload);
        return shared.say(me, format_args!("got value {}", got.open()));
    }
    match shared.attempt_to_send(payload as Box<_>, |payload| to.try_throw(payload)) {
        Ok(got) => shared.say(me, format_args!("got value {}", got.open())),
        Err(error) if style == Style::Raise => error.raise(),
        Err(SwitchError::Refused(refused, payload)) => {
            let payload = words(payload).unwrap_or_default();
            shared.say(me, format_args!("refused: {}, {payload} is back", why(&refused)));
        }
        Err(SwitchError::Thrown(payload)) => thrown(shared, me, payload),
    }
}

fn thrown(shared: &Rc<Shared>, me: usize, payload: Box<dyn Any + Send>) {
    match words(payload) {
        Ok(words) => shared.say(me, format_args!("thrown: {words}")),
        Err(killed) => resume_unwind(killed),
    }
}
