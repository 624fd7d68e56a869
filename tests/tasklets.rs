//! Tasklets: who runs next, pausing and inserting, joining, killing and throwing, and what is refused.
#![cfg(feature = "std")]

mod common;
use common::{Drops, Log, OnDrop, caught, deep, generator, overwrite, panic_with};
use greenlet::tasklet::{self, AnyTasklet, Channel, JoinError, Operation, Tasklet, WaitError};
use greenlet::{AnyGreenlet, Killed, Refused, payload_text};
use std::cell::Cell;
use std::panic::catch_unwind;
use std::rc::Rc;

fn spawn<R: 'static>(body: impl FnOnce() -> R + 'static) -> Tasklet<R> {
    // SAFETY: the tests keep no pointers into the frames of their tasklets.
    unsafe { tasklet::spawn(body) }
}

/// A tasklet that writes its name once a turn.
fn turns(log: &Log<String>, name: &'static str, turns: usize) -> Tasklet {
    let log = log.clone();
    spawn(move || {
        for turn in 0..turns {
            log.push(format!("{name}{turn}"));
            deep(turn, tasklet::schedule);
        }
    })
}

#[test]
fn tasklets_take_turns_in_the_order_in_which_they_were_spawned() {
    let log = Log::<String>::new();
    for name in ["a", "b", "c"] {
        turns(&log, name, 3);
    }
    assert!(log.take().is_empty(), "nobody runs before his turn");
    assert_eq!(tasklet::run(), 0);
    assert_eq!(log.take(), ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]);
}

#[test]
fn main_takes_its_turn_like_any_other() {
    let log = Log::<String>::new();
    turns(&log, "a", 2);
    turns(&log, "b", 2);
    log.push("main0");
    tasklet::schedule();
    log.push("main1");
    tasklet::schedule();
    log.push("main2");
    assert_eq!(tasklet::ready_count(), 2);
    assert_eq!(tasklet::run(), 0);
    assert_eq!(log.take(), ["main0", "a0", "b0", "main1", "a1", "b1", "main2"]);
}

#[test]
fn schedule_alone_returns_at_once() {
    tasklet::schedule();
    assert_eq!(tasklet::run(), 0);
    let alone = spawn(tasklet::schedule);
    assert!(alone.join().is_ok());
}

#[test]
fn a_tasklet_that_is_spawned_by_a_tasklet_is_the_last() {
    let log = Log::<String>::new();
    let inner = log.clone();
    spawn(move || {
        turns(&inner, "child", 1);
        inner.push("parent");
        tasklet::schedule();
        inner.push("parent again");
    });
    turns(&log, "other", 1);
    tasklet::run();
    assert_eq!(log.take(), ["parent", "other0", "child0", "parent again"]);
}

#[test]
fn current_and_main_are_who_they_should_be() {
    assert!(tasklet::current().is_main());
    assert_eq!(tasklet::current(), tasklet::main());
    let child = spawn(tasklet::current);
    let handle = AnyTasklet::clone(&child);
    assert!(!handle.is_current() && !handle.is_main() && handle.is_ready() && handle.is_alive());
    assert_eq!(child.join().unwrap(), handle);
    assert!(!handle.is_alive());
    assert_eq!(format!("{handle:?}"), format!("Tasklet({}, finished)", handle.number()));
    handle.set_name("clerk");
    assert_eq!(handle.name().as_deref(), Some("clerk"));
    assert!(format!("{handle:?}").contains("`clerk`"));
}

#[test]
fn join_returns_what_the_closure_returned_before_and_after_its_end() {
    let early = spawn(|| String::from("early"));
    assert_eq!(early.join().unwrap(), "early");
    let late = spawn(|| vec![1, 2, 3]);
    tasklet::run();
    assert!(!late.is_alive());
    assert_eq!(late.join().unwrap(), [1, 2, 3]);
}

#[test]
fn everybody_who_waits_for_an_end_is_woken_in_order() {
    let log = Log::<String>::new();
    let target = spawn(tasklet::schedule);
    for number in 0..3 {
        let (log, target) = (log.clone(), AnyTasklet::clone(&target));
        spawn(move || {
            target.wait().unwrap();
            log.push(format!("{number}"));
        });
    }
    assert_eq!(tasklet::run(), 0);
    assert_eq!(log.take(), ["0", "1", "2"]);
    target.wait().unwrap();
}

#[test]
fn a_panic_is_joined_and_harms_nobody_else() {
    let log = Log::<String>::new();
    let panics = spawn(|| {
        tasklet::schedule();
        deep(5, || panic_with("over"))
    });
    turns(&log, "a", 3);
    spawn(|| panic_with("nobody asks"));
    tasklet::run();
    assert_eq!(log.take(), ["a0", "a1", "a2"]);
    match panics.join() {
        Err(JoinError::Panicked(payload)) => assert_eq!(payload_text(&payload), "over"),
        other => panic!("{other:?}"),
    }
    let again = spawn(|| panic_with("through join"));
    let payload = caught(|| again.join().unwrap_or_else(|error| error.raise()));
    assert_eq!(payload_text(&payload), "through join");
}

#[test]
fn a_paused_tasklet_runs_when_it_is_inserted() {
    let log = Log::<String>::new();
    let inner = log.clone();
    let paused = spawn(move || {
        inner.push("before");
        tasklet::pause().unwrap();
        inner.push("after");
    });
    assert_eq!(tasklet::run(), 0);
    assert!(paused.is_paused());
    assert_eq!(tasklet::run(), 0);
    overwrite(10);
    assert_eq!(log.take(), ["before"]);
    paused.insert().unwrap();
    paused.insert().unwrap(); // once is enough, twice is no harm
    assert!(paused.is_ready());
    assert_eq!(tasklet::run(), 0);
    assert_eq!(log.take(), ["after"]);
    assert_eq!(paused.insert(), Err(Refused::Finished));
}

#[test]
fn a_removed_tasklet_loses_its_turn() {
    let log = Log::<String>::new();
    let (a, b) = (turns(&log, "a", 2), turns(&log, "b", 2));
    a.remove().unwrap();
    a.remove().unwrap();
    tasklet::run();
    assert_eq!(log.take(), ["b0", "b1"]);
    assert!(!b.is_alive() && a.is_paused());
    a.insert().unwrap();
    tasklet::schedule();
    a.remove().unwrap();
    tasklet::run();
    assert_eq!(log.take(), ["a0"]);
    a.insert().unwrap();
    tasklet::run();
    assert_eq!(log.take(), ["a1"]);
}

#[test]
fn run_lets_one_run_now_and_the_caller_last() {
    let log = Log::<String>::new();
    turns(&log, "a", 1);
    let b = turns(&log, "b", 1);
    b.run().unwrap();
    log.push("main");
    tasklet::run();
    assert_eq!(log.take(), ["b0", "a0", "main"]);
    assert_eq!(tasklet::main().run(), Ok(()));
    assert_eq!(b.run(), Err(Refused::Finished));
}

#[test]
fn blocked_tasklets_cannot_be_inserted_removed_or_run() {
    let channel = Channel::<()>::new();
    let receiver = channel.clone();
    let blocked = spawn(move || receiver.receive().is_ok());
    assert_eq!(tasklet::run(), 1);
    assert_eq!(tasklet::blocked_count(), 1);
    assert_eq!(blocked.insert(), Err(Refused::Blocked));
    assert_eq!(blocked.remove(), Err(WaitError::Refused(Refused::Blocked)));
    assert_eq!(blocked.run(), Err(Refused::Blocked));
    let waits = blocked.waits_for().unwrap();
    assert_eq!(waits.waits[0].operation, Operation::Receive);
    assert_eq!(tasklet::blocked(), [waits]);
    channel.send(()).unwrap();
    assert!(blocked.join().unwrap());
}

#[test]
fn kill_unwinds_whatever_the_tasklet_is_doing_and_the_killer_is_next() {
    let (drops, log) = (Drops::new(), Log::<String>::new());
    let channel = Channel::<u32>::new();
    let victim = |wait: fn(&Channel<u32>)| {
        let (token, channel) = (drops.token(), channel.clone());
        spawn(move || {
            let _token = token;
            deep(4, || wait(&channel));
        })
    };
    let victims = [
        victim(|_| tasklet::pause().unwrap()),
        victim(|_| tasklet::schedule()),
        victim(|channel| drop(channel.receive())),
        victim(|channel| drop(channel.send(1))),
    ];
    // The sender meets the receiver, so there is a fifth for it to wait.
    let waiting = victim(|channel| drop(channel.send(2)));
    tasklet::schedule();
    assert_eq!(drops.count(), 1, "the receiver is done");
    turns(&log, "other", 1);
    for victim in &victims {
        victim.kill().unwrap();
        assert!(!victim.is_alive());
        victim.kill().unwrap();
    }
    waiting.kill().unwrap();
    assert_eq!(drops.count(), 5);
    assert!(log.take().is_empty(), "nobody else ran meanwhile");
    assert_eq!((channel.balance(), tasklet::blocked_count()), (0, 0));
    tasklet::run();
    for (number, victim) in victims.into_iter().enumerate() {
        match victim.join() {
            Err(JoinError::Panicked(payload)) if payload.is::<Killed>() => {}
            Ok(()) if number == 2 || number == 1 => {}
            other => panic!("{number}: {other:?}"),
        }
    }
}

#[test]
fn a_tasklet_that_has_not_begun_is_killed_with_its_closure() {
    let drops = Drops::new();
    let token = drops.token();
    let unborn = spawn(move || drop(token));
    let waits = AnyTasklet::clone(&unborn);
    let other = spawn(move || waits.wait());
    unborn.kill().unwrap();
    assert_eq!(drops.count(), 1);
    assert!(matches!(unborn.join(), Err(JoinError::Panicked(payload)) if payload.is::<Killed>()));
    assert_eq!(other.join().unwrap(), Ok(()));

    let token = drops.token();
    let unborn = spawn(move || drop(token));
    unborn.throw(Box::new("not even begun")).unwrap();
    assert_eq!(drops.count(), 2);
    match unborn.join() {
        Err(JoinError::Panicked(payload)) => assert_eq!(payload_text(&payload), "not even begun"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tasklet_can_catch_its_end_and_go_on() {
    let channel = Channel::<&str>::new();
    let receiver = channel.clone();
    let survivor = spawn(move || {
        let payload = caught(|| receiver.receive());
        assert!(payload.is::<Killed>());
        receiver.receive().unwrap()
    });
    tasklet::run();
    survivor.kill().unwrap();
    assert!(survivor.is_blocked());
    channel.send("still here").unwrap();
    assert_eq!(survivor.join().unwrap(), "still here");
}

#[test]
fn what_is_thrown_arrives_now_or_later() {
    let log = Log::<String>::new();
    let target = || -> Tasklet {
        let log = log.clone();
        spawn(move || {
            loop {
                if let Err(payload) = catch_unwind(tasklet::schedule) {
                    log.push(payload_text(&payload).to_string());
                    if payload.is::<Killed>() {
                        break;
                    }
                }
            }
        })
    };
    let (a, b) = (target(), target());
    tasklet::schedule();
    b.throw_later(Box::new("later")).unwrap();
    assert!(log.take().is_empty());
    a.throw(Box::new("now")).unwrap();
    assert_eq!(log.take(), ["now"]);
    tasklet::schedule();
    assert_eq!(log.take(), ["later"]);
    // Twice before its turn: the second takes the place of the first.
    b.throw_later(Box::new("first")).unwrap();
    b.throw_later(Box::new("second")).unwrap();
    tasklet::schedule();
    assert_eq!(log.take(), ["second"]);
    a.kill().unwrap();
    b.kill().unwrap();
    assert_eq!(log.take().len(), 2);
}

#[test]
fn main_can_be_thrown_into_but_not_killed() {
    let thrower = spawn(|| {
        assert_eq!(tasklet::main().kill(), Err(Refused::Main));
        tasklet::main().throw(Box::new("to main")).unwrap();
        5
    });
    let payload = caught(tasklet::run);
    assert_eq!(payload_text(&payload), "to main");
    assert!(thrower.is_ready());
    assert_eq!(thrower.join().unwrap(), 5);

    let thrower = spawn(|| tasklet::main().throw_later(Box::new("later")).unwrap());
    let channel = Channel::<()>::new();
    let payload = caught(|| channel.receive());
    assert_eq!((payload_text(&payload), channel.balance()), ("later", 0));
    thrower.join().unwrap();
}

#[test]
fn a_tasklet_can_end_itself_by_its_handle() {
    let drops = Drops::new();
    let token = drops.token();
    let suicide = spawn(move || {
        let _token = token;
        let _ = tasklet::current().kill();
        unreachable!()
    });
    tasklet::run();
    assert_eq!(drops.count(), 1);
    let result: Result<(), _> = suicide.join();
    assert!(matches!(result, Err(JoinError::Panicked(payload)) if payload.is::<Killed>()));
}

#[test]
fn tasklets_wait_from_within_their_generators() {
    let (channel, log) = (Channel::<u32>::new(), Log::<u32>::new());
    let (receiver, inner) = (channel.clone(), log.clone());
    let sums = spawn(move || {
        let doubled = generator(move |out| {
            for value in &receiver {
                assert!(!tasklet::current().is_main());
                deep(3, || out.yield_(2 * value));
            }
        });
        for value in doubled {
            inner.push(value);
            tasklet::schedule();
        }
    });
    for value in [1, 2, 3] {
        channel.send(value).unwrap();
        overwrite(20);
    }
    channel.close();
    sums.join().unwrap();
    assert_eq!(log.take(), [2_u32, 4, 6]);
}

#[test]
fn main_waits_from_within_its_generators_as_well() {
    let channel = Channel::<u32>::new();
    let sender = channel.clone();
    let numbers = generator(move |out| {
        (&channel).into_iter().for_each(|value| out.yield_(value));
    });
    spawn(move || {
        for value in 0..5 {
            sender.send(value).unwrap();
            tasklet::schedule();
        }
        sender.close();
    });
    assert_eq!(numbers.collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}

#[test]
fn the_greenlet_of_a_tasklet_is_the_schedulers() {
    let found = Log::<AnyGreenlet>::new();
    let inner = found.clone();
    let paused = spawn(move || {
        inner.push(AnyGreenlet::current());
        tasklet::pause().unwrap();
        7
    });
    tasklet::run();
    let greenlet = found.take().pop().unwrap();
    assert_eq!(greenlet.kill(), Err(Refused::Scheduled));
    let (why, _) = common::refused(greenlet.typed::<(), ()>().try_throw(Box::new("in vain")));
    assert_eq!(why, Refused::Scheduled);
    let (why, ()) = common::refused(greenlet.typed::<(), ()>().try_switch(()));
    assert!(matches!(why, Refused::WrongType { .. }));
    paused.insert().unwrap();
    assert_eq!(paused.join().unwrap(), 7);
    assert!(greenlet.is_finished());
}

#[test]
fn only_main_runs_the_others() {
    let child = spawn(|| caught(tasklet::run));
    let payload = child.join().unwrap();
    assert_eq!(payload_text(&payload), "only main can run the others");
}

#[test]
fn nobody_can_be_switched_to_while_a_panic_unwinds_but_values_can_be_handed_over() {
    let (channel, full) = (Channel::<&str>::new(), Channel::<&str>::new());
    let receiver = channel.clone();
    let got = spawn(move || receiver.receive().unwrap());
    tasklet::run();
    let refusals = Rc::new(Cell::new(0));
    let count = refusals.clone();
    let _ = caught(|| {
        let _on_drop = OnDrop(|| {
            assert!(std::thread::panicking());
            let refused = |why: bool| count.set(count.get() + usize::from(why));
            channel.send("from a destructor").unwrap();
            let unwinding = Err(WaitError::Refused(Refused::Unwinding));
            refused(tasklet::try_schedule() == Err(Refused::Unwinding));
            refused(tasklet::pause() == unwinding);
            refused(tasklet::current().throw(Box::new(1)) == Err(Refused::Unwinding));
            refused(full.send("nobody waits").unwrap_err().into_inner() == "nobody waits");
            refused(got.run() == Err(Refused::Unwinding));
            refused(got.kill() == Err(Refused::Unwinding));
            refused(full.balance() == 0);
        });
        panic_with("outer")
    });
    assert_eq!(refusals.get(), 7);
    assert_eq!(got.join().unwrap(), "from a destructor");
}
