//! The same program, carried out with tasklets.

use super::model::{CHANNELS, Side, State, Step};
use greenlet::tasklet::{
    self, AnyTasklet, Channel, JoinError, Preference, ReceiveError, Select, SendError, Tasklet,
    WaitError,
};
use greenlet::{Killed, Payload, Refused};
use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

struct World {
    steps: RefCell<std::vec::IntoIter<Step>>,
    channels: Vec<Channel<u64>>,
    handles: RefCell<Vec<Option<Tasklet<u64>>>>,
    log: RefCell<Vec<String>>,
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
            over: Cell::new(false),
        });
        world.live(true);
        world.end();
        world.over.set(true);
        world.log.take()
    });
    thread.join().unwrap()
}

impl World {
    fn say(&self, what: impl std::fmt::Display) {
        if !self.over.get() {
            let number = tasklet::current().number();
            self.log.borrow_mut().push(format!("{number}: {what}"));
        }
    }

    fn refused(&self, why: Refused) {
        self.say(why);
    }

    /// What an operation says that has nothing to return.
    fn done(&self, result: Result<(), Refused>) {
        match result {
            Ok(()) => self.say("done"),
            Err(why) => self.refused(why),
        }
    }

    fn waited(&self, result: Result<(), WaitError>) {
        match result {
            Ok(()) => self.say("done"),
            Err(WaitError::Refused(why)) => self.refused(why),
            Err(WaitError::Deadlock(deadlock)) => {
                self.say(format!("a deadlock of {}", deadlock.total()));
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

    /// Takes one step after the other. What it returns ends the tasklet.
    fn live(self: &Rc<Self>, stubborn: bool) -> u64 {
        loop {
            let Some(step) = self.steps.borrow_mut().next() else { return 0 };
            if let Step::Return(value) = step {
                return value;
            }
            let carried_out = catch_unwind(AssertUnwindSafe(|| self.step(step)));
            if let Err(payload) = carried_out {
                self.caught(&payload);
                if !stubborn || self.over.get() {
                    resume_unwind(payload);
                }
            }
        }
    }

    fn caught(&self, payload: &Payload) {
        if payload.is::<Killed>() {
            self.say("thrown the end");
        } else if let Some(value) = payload.downcast_ref::<u64>() {
            self.say(format!("thrown {value}"));
        } else {
            panic!("{}", greenlet::payload_text(payload));
        }
    }

    fn step(self: &Rc<Self>, step: Step) {
        match step {
            Step::Nothing => {}
            Step::Spawn { id, stubborn } => {
                let world = self.clone();
                // SAFETY: nothing outside points into the frames of `live`.
                let tasklet = unsafe {
                    tasklet::spawn(move || {
                        world.say("begins");
                        world.live(stubborn)
                    })
                };
                assert_eq!(tasklet.number(), id as u64);
                self.handles.borrow_mut().push(Some(tasklet));
            }
            Step::Schedule => self.done(tasklet::try_schedule()),
            Step::RunAll => {
                // A tasklet that is left may want a result, so this can be unwound like any operation.
                tasklet::run();
                self.say("done");
            }
            Step::Run(id) => self.done(self.handle(id).run()),
            Step::Pause => self.waited(tasklet::pause()),
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
                let text = match (side, waits) {
                    (Side::Send, true) => sent(channel.send(value), value),
                    (Side::Send, false) => sent(channel.try_send(value), value),
                    (Side::Receive, true) => received(channel.receive()),
                    (Side::Receive, false) => received(channel.try_receive()),
                };
                self.say(text);
            }
            Step::ThrowThrough { channel, value } => {
                let thrown = self.channels[channel].throw(Box::new(value));
                let value = Box::new(value) as Payload;
                self.say(match thrown {
                    Err(SendError::Deadlock(back, deadlock)) => {
                        assert_eq!(back.downcast_ref::<u64>(), value.downcast_ref::<u64>());
                        format!("a deadlock of {}", deadlock.total())
                    }
                    Err(SendError::Closed(_)) => "closed".into(),
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
                let mut select = Select::new();
                for (case, (channel, side, value)) in cases.into_iter().enumerate() {
                    let channel = &self.channels[channel];
                    select = match side {
                        Side::Send => select.send(channel, value, move |result| {
                            format!("case {case}, {}", sent(result, value))
                        }),
                        Side::Receive => select.receive(channel, move |result| {
                            format!("case {case}, {}", received(result))
                        }),
                    };
                }
                let outcome = if waits {
                    select.wait()
                } else {
                    Ok(select.try_now().unwrap_or_else(|_| "would wait".into()))
                };
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
            Step::ThrowInto(id, value) => self.done(self.handle(id).throw(Box::new(value))),
            Step::ThrowLater(id, value) => self.done(self.handle(id).throw_later(Box::new(value))),
            Step::DropHandle(id) => {
                let handle = self.handles.borrow_mut()[id].take();
                // Its end, if this is that, is written down by the one that drops it.
                self.dropping(id, handle);
                self.say("done");
            }
            Step::Return(_) => unreachable!(),
            Step::Panic(value) => resume_unwind(Box::new(value)),
            Step::Look => self.look(),
        }
    }

    /// One that is killed by this writes down its end as if it were the current one.
    fn dropping(&self, id: usize, handle: Option<Tasklet<u64>>) {
        let before = self.log.borrow().len();
        drop(handle);
        let current = tasklet::current().number();
        for line in &mut self.log.borrow_mut()[before..] {
            *line = line.replacen(&format!("{current}: "), &format!("{id}: "), 1);
        }
    }

    fn look(&self) {
        let state = |id: usize, handle: &Option<Tasklet<u64>>| {
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
            let text = match tasklet.join() {
                Ok(value) => format!("returned {value}"),
                Err(JoinError::Panicked(payload)) if payload.is::<Killed>() => "killed".into(),
                Err(JoinError::Panicked(payload)) => {
                    format!("panicked {}", payload.downcast_ref::<u64>().unwrap())
                }
                Err(other) => panic!("{other}"),
            };
            self.say(format!("{id} {text}"));
        }
    }
}

fn sent<T: Debug + PartialEq>(result: Result<(), SendError<T>>, value: T) -> String {
    let back = match result {
        Ok(()) => return "done".into(),
        Err(error) => {
            let text = match &error {
                SendError::Closed(_) => "closed".into(),
                SendError::WouldBlock(_) => "would wait".into(),
                SendError::Deadlock(_, deadlock) => format!("a deadlock of {}", deadlock.total()),
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
        Err(other) => panic!("{other}"),
    }
}
