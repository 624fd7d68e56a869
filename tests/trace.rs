//! The trace hook: what it sees, in which order, and what it may do.
#![cfg(feature = "std")]

mod common;
use common::{
    Drops, Log, OnDrop, caught, deep, generator, main, overwrite, panic_with, spawn, spawn_under,
    thrown,
};
use greenlet::{AnyGreenlet, Event, EventKind, Greenlet, Refused, payload_text, set_trace};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Takes the hook away when the test is over.
struct Traced;

impl Drop for Traced {
    fn drop(&mut self) {
        set_trace(None);
    }
}

fn trace(hook: impl FnMut(&Event) + 'static) -> Traced {
    assert!(set_trace(Some(Box::new(hook))).is_none());
    Traced
}

type Seen = (EventKind, usize, usize);

/// Notes every event, as (kind, id of the origin, id of the target).
fn noted() -> (Log<Seen>, Traced) {
    let log = Log::<Seen>::new();
    let hook = log.clone();
    let traced = trace(move |event| {
        assert!(event.target.is_current(), "it is called in the target");
        hook.push((event.kind, event.origin.id(), event.target.id()));
    });
    (log, traced)
}

use EventKind::{Switch, Throw};

#[test]
fn every_switch_is_seen_in_order_with_origin_and_target() {
    let child = spawn(|()| deep(3, || main().switch(())));
    let (m, c) = (main().id(), child.id());
    let (log, _traced) = noted();
    child.switch(());
    assert_eq!(log.take(), [(Switch, m, c), (Switch, c, m)]);
    overwrite(10);
    log.take();
    child.switch(());
    assert_eq!(log.take(), [(Switch, m, c), (Switch, c, m)], "the result is a switch, too");
}

#[test]
fn switches_between_children_are_seen() {
    let a = spawn(|()| main().switch(()));
    let b = spawn({
        let a = a.clone();
        move |()| a.switch(())
    });
    let (m, a_id, b_id) = (main().id(), a.id(), b.id());
    let (log, _traced) = noted();
    b.switch(());
    assert_eq!(log.take(), [(Switch, m, b_id), (Switch, b_id, a_id), (Switch, a_id, m)]);
    a.kill().unwrap();
    log.take();
}

#[test]
fn throws_kills_and_panics_are_seen_as_throws() {
    let make = || {
        let child = spawn(|()| main().switch(()));
        child.switch(());
        child
    };
    let (thrown_into, killed, dropped, panics) =
        (make(), make(), make(), spawn(|()| -> () { panic_with("boom") }));
    let m = main().id();
    let ids = [thrown_into.id(), killed.id(), dropped.id(), panics.id()];
    let (log, _traced) = noted();
    drop(thrown(thrown_into.try_throw(Box::new(()))));
    assert_eq!(log.take(), [(Throw, m, ids[0]), (Throw, ids[0], m)]);
    killed.kill().unwrap();
    assert_eq!(log.take(), [(Throw, m, ids[1]), (Switch, ids[1], m)], "the killer sees no error");
    drop(dropped);
    assert_eq!(log.take(), [(Throw, m, ids[2]), (Switch, ids[2], m)]);
    drop(thrown(panics.try_switch(())));
    assert_eq!(log.take(), [(Switch, m, ids[3]), (Throw, ids[3], m)]);
}

#[test]
fn what_is_refused_is_not_seen() {
    let child = spawn(|_: u8| ());
    let (log, _traced) = noted();
    common::refused(child.typed::<u16, ()>().try_switch(0));
    common::refused(main().try_throw(Box::new(())));
    Greenlet::<u8, u8>::current().switch(1); // to itself: nobody is left
    assert!(log.take().is_empty());
}

#[test]
fn a_generators_values_are_seen() {
    let mut numbers = generator(|out| (0..2).for_each(|n| out.yield_(n)));
    let (m, g) = (main().id(), numbers.greenlet().id());
    let (log, _traced) = noted();
    assert_eq!(numbers.by_ref().count(), 2);
    assert_eq!(log.take(), [(Switch, m, g), (Switch, g, m)].repeat(3));
}

#[test]
fn the_origin_of_the_last_event_of_a_greenlet_has_finished() {
    let finished = Rc::new(Cell::new(None));
    let note = finished.clone();
    let m = main().id();
    let _traced = trace(move |event| {
        if event.target.id() == m {
            note.set(Some(event.origin.is_finished()));
        }
    });
    let child = spawn(|()| main().switch(()));
    child.switch(());
    assert_eq!(finished.get(), Some(false));
    child.switch(());
    assert_eq!(finished.get(), Some(true));
}

#[test]
fn the_hook_may_keep_the_greenlets_that_it_sees() {
    let drops = Drops::new();
    let events = Rc::new(RefCell::new(Vec::new()));
    let keep = events.clone();
    let traced = trace(move |event| keep.borrow_mut().push(event.clone()));
    let token = drops.token();
    spawn(move |()| {
        let _token = token;
        main().switch(());
    })
    .switch(());
    assert_eq!(drops.count(), 0, "the events hold it");
    drop(traced);
    let event = format!("{:?}", events.borrow()[0]);
    assert!(event.contains("kind: Switch") && event.contains("origin: Greenlet("), "{event}");
    events.borrow_mut().clear();
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_panic_in_the_hook_is_thrown_into_the_target_and_the_hook_stays() {
    let calls = Rc::new(Cell::new(0));
    let count = calls.clone();
    let traced = trace(move |_| {
        count.set(count.get() + 1);
        if count.get() == 1 {
            panic_with("from the hook");
        }
    });
    // Thrown into the new greenlet before it runs, and by that into its parent.
    let drops = Drops::new();
    let token = drops.token();
    let child = spawn(move |()| drop(token));
    let payload = caught(|| child.switch(()));
    assert_eq!(payload_text(&payload), "from the hook");
    assert!(child.is_finished());
    assert_eq!((calls.get(), drops.count()), (2, 1));

    // Thrown into one that comes back to its switch.
    calls.set(-1);
    let child = spawn(|()| main().switch(()));
    let payload = caught(|| child.switch(()));
    assert_eq!(payload_text(&payload), "from the hook");
    child.switch(());
    assert!(child.is_finished());
    drop(traced);
}

#[test]
fn a_value_that_arrives_while_the_hook_panics_is_dropped_once() {
    let drops = Drops::new();
    let inside = drops.clone();
    let child = spawn(move |()| inside.token());
    let m = main().id();
    let _traced = trace(move |event| {
        if event.target.id() == m {
            panic_with("from the hook");
        }
    });
    let payload = caught(|| child.switch(()));
    assert_eq!(payload_text(&payload), "from the hook");
    assert_eq!(drops.count(), 1);
}

#[test]
fn the_hook_cannot_switch_throw_or_kill() {
    let seen = Log::<Refused>::new();
    let (other, suspended) = (spawn(|_: u8| ()), spawn(|()| main().switch(())));
    suspended.switch(());
    let traced = trace({
        let (seen, other, suspended) = (seen.clone(), other.clone(), suspended.clone());
        move |_| {
            let (why, value) = common::refused(other.try_switch(7));
            assert_eq!(value, 7);
            seen.push(why);
            seen.push(common::refused(suspended.try_throw(Box::new(()))).0);
            seen.push(suspended.kill().unwrap_err());
            let message = caught(|| other.switch(7));
            assert_eq!(
                payload_text(&message),
                "switch refused: cannot switch inside the trace hook"
            );
        }
    });
    spawn(|()| ()).switch(());
    drop(traced);
    assert_eq!(seen.take(), [Refused::Tracing; 6]);
    suspended.switch(());
    other.switch(1);
}

#[test]
fn what_a_drop_in_the_hook_kills_dies_without_being_seen() {
    let drops = Drops::new();
    let token = drops.token();
    let victim = spawn(move |()| {
        let _token = token;
        main().switch(());
    });
    victim.switch(());
    let calls = Rc::new(Cell::new(0));
    let traced = trace({
        let (mut victim, calls) = (Some(victim), calls.clone());
        move |_| {
            calls.set(calls.get() + 1);
            drop(victim.take());
        }
    });
    spawn(|()| ()).switch(());
    drop(traced);
    assert_eq!((drops.count(), calls.get()), (1, 2));
}

#[test]
fn a_hook_that_is_set_within_the_hook_takes_its_place() {
    let log = Log::<&str>::new();
    let drops = Drops::new();
    let traced = trace({
        let (log, token) = (log.clone(), drops.token());
        move |_| {
            let (log, _token) = (log.clone(), &token);
            log.push("first");
            let before = set_trace(Some(Box::new(move |_| log.push("second"))));
            assert!(before.is_none(), "the one that runs is not given out");
        }
    });
    spawn(|()| ()).switch(());
    assert_eq!(log.take(), ["first", "second"]);
    assert_eq!(drops.count(), 1, "the first one is gone");
    spawn(|()| ()).switch(());
    assert_eq!(log.take(), ["second", "second"]);
    drop(traced);
}

#[test]
fn a_hook_that_is_removed_within_the_hook_is_gone() {
    let log = Log::<&str>::new();
    let traced = trace({
        let log = log.clone();
        move |_| {
            log.push("once");
            assert!(set_trace(None).is_none());
        }
    });
    spawn(|()| ()).switch(());
    assert_eq!(log.take(), ["once"]);
    drop(traced);
}

#[test]
fn set_trace_returns_the_hook_before() {
    let calls = Rc::new(Cell::new(0));
    let count = calls.clone();
    let traced = trace(move |_| count.set(count.get() + 1));
    let before = set_trace(Some(Box::new(|_| ()))).expect("there was one");
    spawn(|()| ()).switch(());
    assert_eq!(calls.get(), 0);
    set_trace(Some(before));
    spawn(|()| ()).switch(());
    assert_eq!(calls.get(), 2);
    drop(traced);
    spawn(|()| ()).switch(());
    assert_eq!(calls.get(), 2);
}

#[test]
fn each_thread_has_a_hook_of_its_own() {
    let (log, _traced) = noted();
    std::thread::spawn(|| {
        spawn(|()| ()).switch(());
        assert!(set_trace(None).is_none());
    })
    .join()
    .unwrap();
    assert!(log.take().is_empty());
}

#[test]
fn a_throw_past_parents_that_have_not_begun_is_seen_once() {
    let parent = spawn(|()| ());
    let child = spawn_under(&parent, |()| -> () { panic_with("boom") });
    let (m, c) = (main().id(), child.id());
    let (log, _traced) = noted();
    drop(thrown::<(), _>(child.try_switch(())));
    assert_eq!(log.take(), [(Switch, m, c), (Throw, c, m)]);
    assert!(parent.is_finished());
}

#[test]
fn a_hook_of_a_thread_that_ends_is_dropped() {
    use std::sync::Arc;
    let dropped = Arc::new(());
    let inside = dropped.clone();
    std::thread::spawn(move || {
        let guard = OnDrop(move || drop(inside.clone()));
        set_trace(Some(Box::new(move |_| {
            let _ = &guard;
        })));
        spawn(|()| ()).switch(());
        assert!(AnyGreenlet::current().is_main());
    })
    .join()
    .unwrap();
    assert_eq!(Arc::strong_count(&dropped), 1);
}
