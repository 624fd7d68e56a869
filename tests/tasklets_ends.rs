//! Ends: handles that are dropped, threads that end, and control that is taken away from the scheduler by greenlets.
#![cfg(feature = "std")]

mod common;
use common::{Drops, Later, Log, OnDrop, caught, deep, generator, panic_with};
use greenlet::tasklet::{self, AnyTasklet, Channel, JoinError, Select, Tasklet};
use greenlet::{AnyGreenlet, Greenlet, Killed, Refused, payload_text};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;

fn spawn<R: 'static>(body: impl FnOnce() -> R + 'static) -> Tasklet<R> {
    // SAFETY: the tests keep no pointers into the frames of their tasklets.
    unsafe { tasklet::spawn(body) }
}

#[test]
fn a_paused_tasklet_without_a_handle_is_killed() {
    let drops = Drops::new();
    let paused = || {
        let token = drops.token();
        spawn(move || {
            let _token = token;
            let _ = deep(6, tasklet::pause);
        })
    };
    let first = paused();
    let second = AnyTasklet::clone(&first);
    tasklet::run();
    drop(first);
    assert_eq!(drops.count(), 0);
    drop(second);
    assert_eq!(drops.count(), 1);

    let unborn = paused();
    unborn.remove().unwrap();
    drop(unborn);
    assert_eq!(drops.count(), 2, "with its closure");

    // While a panic unwinds; in another tasklet; and one that nobody could ever insert.
    let other = paused();
    tasklet::run();
    let _ = caught(|| {
        let _other = other;
        panic_with("over")
    });
    assert_eq!(drops.count(), 3);
    let other = paused();
    tasklet::run();
    spawn(move || deep(3, || drop(other))).join().unwrap();
    assert_eq!(drops.count(), 4);
    drop(paused());
    tasklet::run();
    assert_eq!(drops.count(), 5);
}

#[test]
fn tasklets_that_are_ready_or_blocked_need_no_handle() {
    let log = Log::<u32>::new();
    let channel = Channel::<u32>::new();
    let (inner, receiver) = (log.clone(), channel.clone());
    drop(spawn(move || {
        inner.push(1_u32);
        tasklet::schedule();
        inner.push(receiver.receive().unwrap());
    }));
    assert_eq!(tasklet::run(), 1);
    channel.send(2).unwrap();
    tasklet::run();
    assert_eq!(log.take(), [1, 2]);
}

#[test]
fn a_result_that_nobody_asks_for_is_dropped_while_its_tasklet_can_still_wait() {
    let (log, channel) = (Log::<String>::new(), Channel::<()>::new());
    let (inner, receiver) = (log.clone(), channel.clone());
    drop(spawn(move || {
        let receiver = receiver.clone();
        OnDrop(move || {
            receiver.receive().unwrap();
            inner.push(format!("{:?}", tasklet::current()));
            panic_with("out of a destructor, and nobody hears it")
        })
    }));
    assert_eq!(tasklet::run(), 1);
    channel.send(()).unwrap();
    assert_eq!(log.take(), ["Tasklet(1, running)"]);
    tasklet::run();
}

#[test]
fn when_a_thread_ends_its_tasklets_are_unwound() {
    let (send, ends) = mpsc::channel();
    thread::spawn(move || {
        let channel = Channel::<u32>::new();
        let hold = |name: &'static str, body: fn(&Channel<u32>)| {
            let (send, channel) = (send.clone(), channel.clone());
            spawn(move || {
                let _on_drop = OnDrop(|| send.send(name).unwrap());
                deep(3, || body(&channel));
            })
        };
        drop(hold("receives", |channel| drop(channel.receive())));
        drop(hold("selects", |channel| {
            drop(Select::new().receive(channel, |_| ()).wait());
        }));
        drop(hold("waits for main", |_| drop(tasklet::main().wait())));
        drop(hold("spawns at its end", |_| {
            let _on_drop = OnDrop(|| drop(spawn(|| unreachable!("nobody begins any more"))));
            drop(tasklet::main().wait());
        }));
        drop(hold("in a generator", |_| {
            let channel = Channel::<()>::new();
            generator(move |out| channel.iter().for_each(|()| out.yield_(()))).for_each(|()| ());
        }));
        tasklet::run();
        let send = send.clone();
        let closure = OnDrop(move || send.send("closure").unwrap());
        drop(spawn(move || drop(closure)));
    })
    .join()
    .unwrap();
    let expected =
        ["closure", "receives", "selects", "waits for main", "spawns at its end", "in a generator"];
    assert_eq!(ends.iter().collect::<Vec<_>>(), expected);
}

#[test]
fn the_end_of_a_thread_kills_in_order_the_ready_then_the_blocked_then_the_paused() {
    let (send, ends) = mpsc::channel();
    thread::spawn(move || {
        let hold = |name: &'static str, body: Box<dyn Fn()>| {
            let send = send.clone();
            spawn(move || {
                let _on_drop = OnDrop(|| send.send(name).unwrap());
                body();
            })
        };
        let paused = hold("paused", Box::new(|| drop(tasklet::pause())));
        let never = Channel::<()>::new();
        drop(hold("blocked", Box::new(move || drop(never.receive()))));
        tasklet::run();
        drop(hold("ready", Box::new(tasklet::schedule)));
        tasklet::schedule();
        std::mem::forget(paused);
    })
    .join()
    .unwrap();
    assert_eq!(ends.iter().collect::<Vec<_>>(), ["ready", "blocked", "paused"]);
}

#[test]
fn handles_and_channels_may_outlive_the_scheduler() {
    thread::spawn(|| {
        thread_local! {
            static KEPT: Cell<Option<(AnyTasklet, AnyTasklet, Channel<u32>)>> = const { Cell::new(None) };
        }
        // First used before the scheduler is, so dropped after it has ended.
        KEPT.set(None);
        let channel = Channel::new();
        let sender = channel.clone();
        let blocked = spawn(move || drop(sender.send(1)));
        tasklet::run();
        KEPT.set(Some((tasklet::main(), blocked.into(), channel)));
    })
    .join()
    .unwrap();
}

#[test]
fn a_greenlet_that_a_tasklet_made_may_panic_into_it_while_it_waits() {
    // `inner` has its parent in `waits`, and another tasklet is the one that runs it.
    let shared = Later::<Greenlet>::new();
    let (channel, log) = (Channel::<u32>::new(), Log::<String>::new());
    let (give, receiver, inner_log) = (shared.clone(), channel.clone(), log.clone());
    let waits = spawn(move || {
        // SAFETY: nobody reaches into its frames.
        give.set(unsafe { Greenlet::new(|()| panic_with("into its parent")) });
        let payload = caught(|| receiver.receive());
        inner_log.push(payload_text(&payload).to_string());
        assert_eq!(receiver.balance(), 0);
        // The scheduler knows that this one runs.
        assert_eq!(tasklet::current().number(), 1);
        tasklet::schedule();
        receiver.receive().unwrap()
    });
    tasklet::run();
    let runs = spawn(move || shared.get().switch(()));
    assert_eq!(tasklet::run(), 1);
    assert_eq!(log.take(), ["into its parent"]);
    channel.send(5).unwrap();
    assert_eq!(waits.join().unwrap(), 5);
    // That one was left in its switch, which nobody answers: it can only be dropped.
    assert!(runs.is_alive() && !runs.is_ready() && !runs.is_blocked());
}

#[test]
fn main_hears_of_a_greenlet_of_its_own_while_it_waits() {
    let shared = Later::<Greenlet<(), u32>>::new();
    // SAFETY: nobody reaches into its frames.
    shared.set(unsafe { Greenlet::new(|()| 5) });
    let other = shared.clone();
    spawn(move || other.get().switch(()));
    // The result comes to main, which waits for something else.
    let channel = Channel::<u8>::new();
    let payload = caught(|| channel.receive());
    assert!(payload.is::<greenlet::WrongResult>());
    assert_eq!((channel.balance(), tasklet::blocked_count()), (0, 0));
    assert!(tasklet::current().is_main());
    assert_eq!(spawn(|| 1).join().unwrap(), 1);
}

#[test]
fn a_raw_switch_between_tasklets_cannot_wake_one_that_waits() {
    let waiting = Later::<AnyGreenlet>::new();
    let inner = waiting.clone();
    let channel = Channel::<u32>::new();
    let receiver = channel.clone();
    let child = spawn(move || {
        inner.set(AnyGreenlet::current());
        receiver.receive().unwrap()
    });
    tasklet::run();
    assert!(waiting.get().typed::<(), ()>().try_switch(()).is_err());
    assert!(waiting.get().typed::<u32, ()>().try_switch(1).is_err());
    assert!(waiting.get().kill().is_err());
    drop(waiting.take());
    channel.send(6).unwrap();
    assert_eq!(child.join().unwrap(), 6);
}

#[test]
fn a_generator_in_which_its_tasklet_waits_outlives_both() {
    let kept = Rc::new(std::cell::RefCell::new(None));
    let (drops, channel) = (Drops::new(), Channel::<u32>::new());
    let (give, token, receiver) = (kept.clone(), drops.token(), channel.clone());
    let child = spawn(move || {
        let mut waits = generator(move |out: &greenlet::Yielder<u32>| {
            let _token = token;
            receiver.iter().for_each(|value| out.yield_(value));
        });
        *give.borrow_mut() = Some(AnyGreenlet::clone(waits.greenlet()));
        waits.next()
    });
    tasklet::run();
    // The tasklet's root ends, and its generator with it, though somebody has a handle to that.
    child.kill().unwrap();
    assert_eq!((drops.count(), channel.balance()), (1, 0));
    assert!(kept.borrow().as_ref().unwrap().is_finished());
    assert!(matches!(child.join(), Err(JoinError::Panicked(payload)) if payload.is::<Killed>()));
}

#[test]
fn a_greenlet_in_which_a_dead_tasklet_waits_does_no_harm() {
    let kept = Later::<Greenlet>::new();
    let (drops, channel) = (Drops::new(), Channel::<u32>::new());
    let (give, token, receiver) = (kept.clone(), drops.token(), channel.clone());
    let paused = spawn(move || {
        // SAFETY: nobody reaches into its frames.
        let inner = unsafe {
            Greenlet::<(), ()>::with_parent(&AnyGreenlet::main(), move |()| {
                let _token = token;
                let _ = tasklet::pause();
                drop(receiver.receive());
            })
        };
        give.set(inner.clone());
        inner.switch(());
    });
    tasklet::run();
    assert!(paused.is_paused());
    // Its root is thrown out of the switch by the end of its handle; the inner one, held elsewhere, stays where it is.
    drop(paused);
    assert_eq!(drops.count(), 0);
    let inner = kept.take().unwrap();
    assert!(inner.is_active());
    assert_eq!(inner.kill(), Err(Refused::Scheduled));
    drop(inner);
    assert_eq!(drops.count(), 1);
    assert_eq!(spawn(|| 2).join().unwrap(), 2);
}

#[test]
fn a_trace_hook_that_panics_harms_nobody_but_its_target() {
    use greenlet::set_trace;
    let channel = Channel::<u32>::new();
    let receiver = channel.clone();
    let victim = spawn(move || receiver.receive().is_ok());
    let unborn = Later::<AnyTasklet>::new();
    tasklet::run();
    let armed = Rc::new(Cell::new(true));
    let arm = armed.clone();
    set_trace(Some(Box::new(move |event| {
        if arm.get() && !event.target.is_main() {
            arm.set(false);
            assert_eq!(tasklet::try_schedule(), Err(Refused::Tracing));
            panic_with("the hook");
        }
    })));
    channel.send(1).unwrap();
    assert!(!victim.is_alive());
    match victim.join() {
        Err(JoinError::Panicked(payload)) => assert_eq!(payload_text(&payload), "the hook"),
        other => panic!("{other:?}"),
    }
    // The same as one is to begin: it never does, and main is thrown what the hook panicked with.
    armed.set(true);
    let child = spawn(|| unreachable!());
    unborn.set(AnyTasklet::clone(&child));
    let payload = caught(tasklet::schedule);
    assert_eq!(payload_text(&payload), "the hook");
    set_trace(None);
    assert!(!unborn.get().is_alive() && tasklet::current().is_main());
    let result: Result<(), _> = child.join();
    assert!(matches!(result, Err(JoinError::Panicked(payload)) if payload.is::<Killed>()));
    assert_eq!(spawn(|| 3).join().unwrap(), 3);
    assert_eq!(tasklet::ready_count(), 0);
}
