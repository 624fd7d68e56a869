//! The same program, carried out with tasklets.
//!
//! Where requests for memory are to fail, they do so from right before the operation until somebody else runs, or it has
//! returned. One that is refused for that is done again, and then all must be as the model has it.

use super::model::{CHANNELS, Hook, Side, State, Step, guard_with};
use crate::allocator::{fail, from_below, succeed};
use greenlet::tasklet::{
    self, AnyTasklet, Channel, JoinError, Preference, ReceiveError, Select, SendError, Tasklet,
    WaitError,
};
use greenlet::{AnyGreenlet, Event, Greenlet, Killed, Payload, Refused, SwitchError, set_trace};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

struct World {
    steps: RefCell<std::vec::IntoIter<Step>>,
    channels: Vec<Channel<u64>>,
    handles: RefCell<Vec<Option<Tasklet<Load>>>>,
    log: RefCell<Vec<String>>,
    /// The numbers of tasklets by their greenlets. One that has been freed may have had the same.
    greenlets: RefCell<HashMap<usize, u64>>,
    begun: RefCell<HashSet<u64>>,
    /// Of each tasklet a greenlet that never begins, whose parent is the tasklet's own.
    below: RefCell<HashMap<usize, Greenlet<(), ()>>>,
    /// What is to be done to requests for memory in the next operation: how many get some, and whether all fail then.
    starve: Cell<Option<(usize, bool)>>,
    over: Cell<bool>,
}

/// Carries out the steps, and says how the log differs from what is expected, if it does.
pub fn difference(steps: &[Step], expected: &[String]) -> Option<String> {
    let found = run(steps);
    let same = expected.iter().zip(&found).take_while(|(a, b)| a == b).count();
    (found != expected).then(|| {
        format!(
            "the logs differ.\nThe steps: {steps:#?}\nThe log: {:#?}\nexpected then: {:#?}\nfound: {:#?}",
            &found[..same],
            &expected[same..],
            &found[same..]
        )
    })
}

/// Carries out the steps on a thread of its own.
fn run(steps: &[Step]) -> Vec<String> {
    let steps = steps.to_vec();
    let thread = std::thread::spawn(move || {
        let world = Rc::new(World {
            steps: RefCell::new(steps.into_iter()),
            channels: (0..CHANNELS).map(|_| Channel::new()).collect(),
            handles: RefCell::new(vec![None]),
            log: RefCell::default(),
            greenlets: RefCell::default(),
            begun: RefCell::default(),
            below: RefCell::default(),
            starve: Cell::new(None),
            over: Cell::new(false),
        });
        world.begins();
        world.has_below(0);
        world.live(0, true);
        world.end();
        world.over.set(true);
        world.log.take()
    });
    thread.join().unwrap()
}

/// Says when it is dropped, and goes on an errand.
struct Guard(usize, Rc<World>);

impl Drop for Guard {
    fn drop(&mut self) {
        let how = if std::thread::panicking() { ", unwinding" } else { "" };
        self.1.say(format_args!("guard {} dropped{how}", self.0));
        self.1.errand();
    }
}

/// A result or a payload, with a guard or without.
struct Load(u64, #[expect(dead_code, reason = "it is there to be dropped")] Option<Guard>);

// SAFETY: it stays on its thread; payloads have to be `Send`.
unsafe impl Send for Load {}

impl World {
    fn load(self: &Rc<Self>, value: u64) -> Load {
        Load(value, guard_with(value).map(|guard| Guard(guard, self.clone())))
    }

    fn say(&self, what: impl std::fmt::Display) {
        succeed();
        if !self.over.get() {
            let number = tasklet::current().number();
            self.log.borrow_mut().push(format!("{number}: {what}"));
        }
    }

    /// The current tasklet runs in the current greenlet for the first time, as far as it says.
    fn begins(&self) {
        succeed();
        let number = tasklet::current().number();
        if self.begun.borrow_mut().insert(number) {
            self.greenlets.borrow_mut().insert(AnyGreenlet::current().id(), number);
        }
    }

    fn has_below(&self, me: usize) {
        // SAFETY: it never runs.
        let below = unsafe { Greenlet::new(|()| ()) };
        self.below.borrow_mut().insert(me, below);
    }

    /// The trace hook.
    fn seen(self: &Rc<Self>, event: &Event, hook: Hook) {
        self.begins();
        let number = |greenlet: &AnyGreenlet| self.greenlets.borrow()[&greenlet.id()];
        let (kind, origin, target) = (event.kind, number(&event.origin), number(&event.target));
        self.say(format_args!("seen: {kind:?}, from {origin} to {target}"));
        if hook == Hook::Acts {
            self.errand();
        }
    }

    /// What an operation says that has nothing to return.
    fn done(&self, result: Result<(), Refused>) {
        match result {
            Ok(()) => self.say("done"),
            Err(why) => self.say(why),
        }
    }

    fn waited(&self, result: Result<(), WaitError>) {
        match result {
            Ok(()) => self.say("done"),
            Err(WaitError::Refused(why)) => self.say(why),
            Err(WaitError::Deadlock(deadlock)) => {
                self.say(format_args!("a deadlock of {}", deadlock.total()));
            }
            Err(other) => panic!("{other}"),
        }
    }

    fn handle(&self, id: usize) -> AnyTasklet {
        match &self.handles.borrow()[id] {
            None => tasklet::main(),
            Some(tasklet) => AnyTasklet::clone(tasklet),
        }
    }

    fn next_step(&self) -> Option<Step> {
        loop {
            let step = self.steps.borrow_mut().next()?;
            let Step::Starve { after, for_ever } = step else { return Some(step) };
            self.starve.set(Some((after, for_ever)));
        }
    }

    /// From here on requests for memory fail, if they are to.
    fn starves(&self) {
        if let Some((after, for_ever)) = self.starve.take() {
            fail(after, for_ever);
        }
    }

    /// Carries out an operation in which requests for memory may fail. One that says `None` was refused for that reason, has changed
    /// nothing, and is done again.
    fn attempt<T>(&self, mut operation: impl FnMut() -> Option<T>) -> T {
        let outcome = operation();
        succeed();
        outcome.unwrap_or_else(|| {
            let outcome = from_below(|| operation().expect("there is memory"));
            succeed(); // who has let this one go on may have been starving, too
            outcome
        })
    }

    /// Takes one step after the other. What it returns ends the tasklet.
    fn live(self: &Rc<Self>, me: usize, stubborn: bool) -> Load {
        let mut kept = Vec::new();
        loop {
            let step = match self.next_step() {
                None => return self.load(0),
                Some(Step::Return(value)) => return self.load(value),
                Some(Step::Keep(guard)) => {
                    kept.push(Guard(guard, self.clone()));
                    self.say("done");
                    continue;
                }
                Some(step) => step,
            };
            let carried_out = catch_unwind(AssertUnwindSafe(|| self.step(step)));
            if let Err(payload) = carried_out {
                self.caught(&me, &payload);
                if !stubborn || self.over.get() {
                    resume_unwind(payload);
                }
            }
        }
    }

    /// Takes one step in a destructor or in the hook, where nothing may be thrown.
    fn errand(self: &Rc<Self>) {
        if let Some(step) = self.next_step() {
            let carried_out = catch_unwind(AssertUnwindSafe(|| self.step(step)));
            if let Err(payload) = carried_out {
                self.caught(&"an errand", &payload);
            }
        }
    }

    fn caught(&self, who: &dyn std::fmt::Display, payload: &Payload) {
        if payload.is::<Killed>() {
            self.say(format_args!("{who} is thrown the end"));
        } else if let Some(Load(value, _)) = payload.downcast_ref() {
            self.say(format_args!("{who} is thrown {value}"));
        } else {
            panic!("{}", greenlet::payload_text(payload));
        }
    }

    fn step(self: &Rc<Self>, step: Step) {
        match step {
            Step::Nothing => {}
            Step::Spawn { id, stubborn, guard } => {
                let (world, captured) = (self.clone(), Guard(guard, self.clone()));
                // SAFETY: nothing outside points into the frames of `live`.
                let tasklet = unsafe {
                    tasklet::spawn(move || {
                        let _captured = captured;
                        world.begins();
                        world.say("begins");
                        world.has_below(id);
                        world.live(id, stubborn)
                    })
                };
                assert_eq!(tasklet.number(), id as u64);
                self.handles.borrow_mut().push(Some(tasklet));
                self.say("done");
            }
            Step::Trace(hook) => {
                let world = self.clone();
                let seen = move |event: &Event| world.seen(event, hook);
                set_trace((hook != Hook::None).then(|| Box::new(seen) as greenlet::Hook));
                self.say("done");
            }
            Step::Schedule => self.done(self.attempt(|| {
                self.starves();
                unless_starved(tasklet::try_schedule())
            })),
            Step::RunAll => {
                // A tasklet that is left may want a result, so this can be unwound like any operation.
                tasklet::run();
                self.say("done");
            }
            Step::Run(id) => {
                let handle = self.handle(id);
                self.done(self.attempt(|| {
                    self.starves();
                    unless_starved(handle.run())
                }));
            }
            Step::Pause => self.waited(self.attempt(|| {
                self.starves();
                unless_waiting_starved(tasklet::pause())
            })),
            Step::Insert(id) => self.done(self.handle(id).insert()),
            Step::Remove(id) => {
                // No handle of this frame's: nobody but its own table is to keep one that is paused.
                let result = match &self.handles.borrow()[id] {
                    Some(tasklet) if !tasklet.is_current() => Some(tasklet.remove()),
                    None if !tasklet::main().is_current() => Some(tasklet::main().remove()),
                    _ => None,
                };
                self.waited(result.unwrap_or_else(tasklet::pause));
            }
            Step::Channel { channel, side, value, waits } => {
                let channel = &self.channels[channel];
                let text = match side {
                    Side::Send => {
                        let result = self.attempt(|| {
                            self.starves();
                            let sent =
                                if waits { channel.send(value) } else { channel.try_send(value) };
                            match sent {
                                Err(SendError::Refused(_, Refused::OutOfMemory)) => None,
                                result => Some(result),
                            }
                        });
                        sent(result, value)
                    }
                    Side::Receive => received(self.attempt(|| {
                        self.starves();
                        let received =
                            if waits { channel.receive() } else { channel.try_receive() };
                        match received {
                            Err(ReceiveError::Refused(Refused::OutOfMemory)) => None,
                            result => Some(result),
                        }
                    })),
                };
                self.say(text);
            }
            Step::ThrowThrough { channel, value } => {
                let thrown = self.attempt(|| {
                    let payload = Box::new(value);
                    self.starves();
                    match self.channels[channel].throw(payload) {
                        Err(SendError::Refused(_, Refused::OutOfMemory)) => None,
                        result => Some(result),
                    }
                });
                let unwrap = |payload: Payload| *payload.downcast_ref::<u64>().unwrap();
                self.say(match thrown {
                    Err(SendError::Deadlock(back, deadlock)) => {
                        assert_eq!(unwrap(back), value);
                        format!("a deadlock of {}", deadlock.total())
                    }
                    Err(SendError::Closed(back)) => {
                        assert_eq!(unwrap(back), value);
                        "closed".into()
                    }
                    Err(SendError::Refused(back, why)) => {
                        assert_eq!(unwrap(back), value);
                        why.to_string()
                    }
                    Err(other) => panic!("{other}"),
                    Ok(()) => "done".into(),
                });
            }
            Step::Close(channel) => {
                self.channels[channel].close();
                self.say("done");
            }
            Step::Open(channel) => {
                self.channels[channel].open();
                self.say("done");
            }
            Step::Prefer(channel, preference) => {
                let all = [Preference::Receiver, Preference::Sender, Preference::Neither];
                self.channels[channel].set_preference(all[preference]);
                self.say("done");
            }
            Step::Select { cases, waits } => {
                let outcome = self.attempt(|| {
                    let select = self.select(&cases);
                    self.starves();
                    match waits {
                        true => match select.wait() {
                            Err(WaitError::Refused(Refused::OutOfMemory)) => None,
                            outcome => Some(outcome),
                        },
                        false => Some(Ok(select.try_now().unwrap_or_else(|_| "would wait".into()))),
                    }
                });
                match outcome {
                    Ok(text) => self.say(text),
                    Err(error) => self.waited(Err(error)),
                }
            }
            Step::Wait(id) => self.waited(self.handle(id).wait()),
            Step::Kill(id) => {
                let handle = self.handle(id);
                self.done(handle.kill());
            }
            Step::ThrowInto(id, value) => {
                self.done(self.handle(id).throw(Box::new(self.load(value))));
            }
            Step::ThrowLater(id, value) => {
                self.done(self.handle(id).throw_later(Box::new(self.load(value))));
            }
            Step::ThrowPast(id, value) => {
                let below = self.below.borrow_mut().remove(&id).unwrap();
                let payload = Box::new(self.load(value));
                match below.try_throw(payload) {
                    Err(SwitchError::Thrown(payload)) => resume_unwind(payload), // the thread's end
                    _ => panic!("nobody can let it go on"),
                }
            }
            Step::DropHandle(id) => {
                let handle = self.handles.borrow_mut()[id].take();
                drop(handle);
                self.say("done");
            }
            Step::Panic(value) => resume_unwind(Box::new(self.load(value))),
            Step::Look => self.look(),
            Step::Return(_) | Step::Keep(_) | Step::Starve { .. } => {
                unreachable!("no step of here")
            }
        }
    }

    fn select(&self, cases: &[(usize, Side, u64)]) -> Select<'_, String> {
        let mut select = Select::new();
        for (case, &(channel, side, value)) in cases.iter().enumerate() {
            let channel = &self.channels[channel];
            select = match side {
                Side::Send => select.send(channel, value, move |result| {
                    succeed();
                    format!("case {case}, {}", sent(result, value))
                }),
                Side::Receive => select.receive(channel, move |result| {
                    succeed();
                    format!("case {case}, {}", received(result))
                }),
            };
        }
        select
    }

    fn look(&self) {
        let state = |id: usize, handle: &Option<Tasklet<Load>>| {
            let tasklet = match handle {
                None if id == 0 => &tasklet::main(),
                None => return None,
                Some(tasklet) => &**tasklet,
            };
            Some(match format!("{tasklet:?}").rsplit(", ").next().unwrap() {
                "running)" => State::Running,
                "ready)" => State::Ready,
                "blocked)" => State::Blocked,
                "paused)" => State::Paused,
                "in run)" => State::InRun,
                "finished)" => State::Finished,
                other => panic!("{other}"),
            })
        };
        let handles = self.handles.borrow();
        let states: Vec<_> = handles.iter().enumerate().map(|(id, h)| state(id, h)).collect();
        let balances: Vec<_> = self.channels.iter().map(Channel::balance).collect();
        let number = |name: &str| match name {
            "main" => 0,
            name => name.strip_prefix("tasklet ").unwrap().parse::<usize>().unwrap(),
        };
        let blocked: Vec<_> =
            tasklet::blocked().iter().map(|blocked| number(&blocked.tasklet)).collect();
        let ready = tasklet::ready_count();
        self.say(format!("sees {states:?}, {balances:?}, {ready} ready, {blocked:?} blocked"));
    }

    fn end(&self) {
        tasklet::run();
        self.say("done");
        self.look();
        let count = self.handles.borrow().len();
        for id in 1..count {
            let Some(handle) = self
                .handles
                .borrow()
                .get(id)
                .and_then(Option::as_ref)
                .map(|t| AnyTasklet::clone(t))
            else {
                continue;
            };
            if handle.is_alive() {
                self.done(handle.kill());
            }
        }
        for id in 1..count {
            let Some(tasklet) = self.handles.borrow_mut()[id].take() else { continue };
            if tasklet.is_alive() {
                self.say(format!("{id} none"));
                continue;
            }
            let joined = tasklet.join();
            let text = match &joined {
                Ok(Load(value, _)) => format!("returned {value}"),
                Err(JoinError::Panicked(payload)) if payload.is::<Killed>() => "killed".into(),
                Err(JoinError::Panicked(payload)) => {
                    format!("panicked {}", payload.downcast_ref::<Load>().unwrap().0)
                }
                Err(other) => panic!("{other}"),
            };
            self.say(format!("{id} {text}"));
        }
    }
}

/// `None`: there was no memory.
fn unless_starved(result: Result<(), Refused>) -> Option<Result<(), Refused>> {
    (result != Err(Refused::OutOfMemory)).then_some(result)
}

fn unless_waiting_starved(result: Result<(), WaitError>) -> Option<Result<(), WaitError>> {
    (!matches!(result, Err(WaitError::Refused(Refused::OutOfMemory)))).then_some(result)
}

fn sent<T: Debug + PartialEq>(result: Result<(), SendError<T>>, value: T) -> String {
    let back = match result {
        Ok(()) => return "done".into(),
        Err(error) => {
            let text = match &error {
                SendError::Closed(_) => "closed".into(),
                SendError::WouldBlock(_) => "would wait".into(),
                SendError::Deadlock(_, deadlock) => format!("a deadlock of {}", deadlock.total()),
                SendError::Refused(_, why) => why.to_string(),
                other => panic!("{other}"),
            };
            (text, error.into_inner())
        }
    };
    assert_eq!(back.1, value);
    back.0
}

fn received(result: Result<u64, ReceiveError>) -> String {
    match result {
        Ok(value) => format!("got {value}"),
        Err(ReceiveError::Thrown(payload)) => {
            format!("got payload {}", payload.downcast_ref::<u64>().unwrap())
        }
        Err(ReceiveError::Closed) => "closed".into(),
        Err(ReceiveError::WouldBlock) => "would wait".into(),
        Err(ReceiveError::Deadlock(deadlock)) => format!("a deadlock of {}", deadlock.total()),
        Err(ReceiveError::Refused(why)) => why.to_string(),
        Err(other) => panic!("{other}"),
    }
}
