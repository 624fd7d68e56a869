//! Handles: what dropping the last one does, and when; the same while a panic unwinds.
#![cfg(feature = "std")]

mod common;
use common::{
    Drops, Later, Log, OnDrop, caught, deep, generator, main, overwrite, panic_with, refused,
    spawn, spawn_under,
};
use greenlet::{AnyGreenlet, Greenlet, Killed, Refused, WrongResult, payload_text};
use std::cell::RefCell;
use std::rc::Rc;

/// A suspended greenlet, in the frames of which a token lies.
fn holder(drops: &Drops, depth: usize) -> Greenlet {
    let (token, back) = (drops.token(), Greenlet::<(), ()>::current());
    let greenlet = spawn_under(&AnyGreenlet::main(), move |()| {
        let _token = token;
        deep(depth, || back.switch(()));
    });
    greenlet.switch(());
    greenlet
}

#[test]
fn dropping_the_last_handle_of_a_suspended_greenlet_runs_its_destructors() {
    let drops = Drops::new();
    let first = holder(&drops, 10);
    let (second, third) = (first.clone(), first.typed::<u8, u8>());
    overwrite(30);
    drop(first);
    drop(third);
    assert_eq!(drops.count(), 0);
    drop(second);
    assert_eq!(drops.count(), 1);
}

#[test]
fn dropping_the_last_handle_inside_another_greenlet_works_the_same() {
    let drops = Drops::new();
    let victim = holder(&drops, 3);
    let other = spawn({
        let drops = drops.clone();
        move |()| {
            deep(20, || drop(victim));
            drops.count()
        }
    });
    assert_eq!(other.switch(()), 1);
}

#[test]
fn dropping_the_handle_of_a_finished_greenlet_does_nothing_more() {
    let drops = Drops::new();
    let child = holder(&drops, 0);
    child.switch(());
    assert_eq!(drops.count(), 1);
    drop(child);
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_greenlet_that_drops_the_last_handle_to_itself_runs_on_and_ends_when_it_leaves() {
    let drops = Drops::new();
    let token = drops.token();
    let me = Later::<Greenlet>::new();
    let child = spawn({
        let (me, drops) = (me.clone(), drops.clone());
        move |()| {
            let _token = token;
            drop(me.take());
            assert_eq!(drops.count(), 0);
            main().switch(());
            unreachable!("nobody could come back");
        }
    });
    me.set(child);
    let borrowed = me.get().typed::<(), ()>();
    // The last handle but this one; and this one goes as soon as it has been switched to.
    let cell = Rc::new(RefCell::new(Some(borrowed)));
    let raw: *const Greenlet = cell.borrow().as_ref().unwrap();
    // SAFETY: the handle stays in the cell until the switch is back.
    unsafe { &*raw }.switch(());
    cell.take();
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_greenlet_that_nobody_holds_any_more_is_unwound_when_it_switches_away() {
    let drops = Drops::new();
    let token = drops.token();
    let own = Later::<Greenlet>::new();
    let child = spawn({
        let own = own.clone();
        move |()| {
            let _token = token;
            main().switch(());
            drop(own.take());
            main().switch(());
        }
    });
    child.switch(());
    own.set(child.clone());
    // From another greenlet, which hands its own handle over before it switches.
    let resume = spawn(move |()| {
        let only = child;
        only.switch(());
    });
    resume.switch(());
    assert_eq!(drops.count(), 0, "the one that resumed it still holds it");
    drop(resume);
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_temporary_greenlet_that_suspends_is_unwound_at_the_end_of_the_statement() {
    let drops = Drops::new();
    let token = drops.token();
    let answer = spawn(move |()| -> u32 {
        let _token = token;
        AnyGreenlet::main().typed::<u32, u32>().switch(7)
    })
    .switch(());
    assert_eq!((answer, drops.count()), (7, 1));
}

#[test]
fn a_child_that_has_not_finished_counts_as_a_handle_to_its_parent() {
    let drops = Drops::new();
    let parent = holder(&drops, 2);
    let child = spawn_under(&parent, |()| main().switch(()));
    drop(parent);
    assert_eq!(drops.count(), 0);
    child.switch(());
    assert_eq!(drops.count(), 0);
    drop(child);
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_child_that_gets_another_parent_lets_go_of_the_first() {
    let drops = Drops::new();
    let parent = holder(&drops, 2);
    let child = spawn_under(&parent, |()| ());
    drop(parent);
    assert_eq!(drops.count(), 0);
    child.set_parent(&AnyGreenlet::main()).unwrap();
    assert_eq!(drops.count(), 1);
    child.switch(());
}

#[test]
fn a_finished_child_does_not_keep_its_parent() {
    let drops = Drops::new();
    let parent = holder(&drops, 2);
    let child = spawn_under(&parent, |()| main().switch(()));
    child.switch(());
    child.kill().unwrap();
    drop(parent);
    assert_eq!(drops.count(), 1);
    assert!(child.is_finished());
}

#[test]
fn a_child_that_ends_in_its_parents_frames_does_not_make_a_cycle() {
    let drops = Drops::new();
    let token = drops.token();
    let parent = spawn(move |()| {
        let _token = token;
        let child = spawn(|()| ());
        child.switch(());
        main().switch(());
        drop(child);
    });
    parent.switch(());
    drop(parent);
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_long_line_of_parents_is_dropped_without_recursion() {
    let drops = Drops::new();
    let token = drops.token();
    let mut last = spawn(move |()| drop(token));
    for _ in 0..20_000 {
        last = spawn_under(&last, |()| ());
    }
    drop(last);
    assert_eq!(drops.count(), 1);
}

/// Found by the property tests: the end of the killed one left its killer a count that nobody owned.
#[test]
fn a_killer_that_nobody_holds_is_unwound_when_it_leaves() {
    let drops = Drops::new();
    let victim = holder(&Drops::new(), 3);
    let token = drops.token();
    let killer = spawn(move |()| {
        let _token = token;
        main().switch(());
        victim.kill().unwrap();
        main().switch(());
    });
    killer.switch(());
    let child = spawn_under(&killer, |()| ());
    drop(killer);
    child.switch(());
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_cycle_of_handles_is_ended_by_a_kill() {
    let drops = Drops::new();
    let make = |token, other: Later<Greenlet>| {
        spawn(move |()| {
            let (_token, _other) = (token, other);
            main().switch(());
        })
    };
    let (to_a, to_b) = (Later::new(), Later::new());
    let (a, b) = (make(drops.token(), to_b.clone()), make(drops.token(), to_a.clone()));
    to_a.set(a.clone());
    to_b.set(b.clone());
    drop((to_a, to_b));
    a.switch(());
    b.switch(());
    drop(b);
    assert_eq!(drops.count(), 0, "they hold each other");
    a.kill().unwrap();
    assert_eq!(drops.count(), 2);
}

#[test]
fn a_greenlet_in_whose_frames_its_own_handle_lies_is_ended_by_a_kill() {
    let drops = Drops::new();
    let token = drops.token();
    let child = spawn(move |()| {
        let _token = token;
        let _me = AnyGreenlet::current();
        main().switch(());
    });
    child.switch(());
    let weak = child.id();
    let other: AnyGreenlet = child.into();
    assert_eq!(other.id(), weak);
    other.kill().unwrap();
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_destructor_may_take_a_new_handle_to_the_greenlet_that_is_dropped() {
    let saved = Later::<AnyGreenlet>::new();
    let child = spawn({
        let saved = saved.clone();
        move |()| {
            let _guard = OnDrop(move || saved.set(AnyGreenlet::current()));
            main().switch(());
        }
    });
    child.switch(());
    let id = child.id();
    drop(child);
    let handle = saved.take().unwrap();
    assert_eq!(handle.id(), id);
    assert!(handle.is_finished());
}

#[test]
fn a_dropped_greenlet_that_catches_its_end_and_goes_on_lives_as_long_as_somebody_holds_it() {
    let saved = Later::<AnyGreenlet>::new();
    let log = Log::<&str>::new();
    let waiting = spawn({
        let (saved, log) = (saved.clone(), log.clone());
        move |()| {
            let child = spawn({
                let (saved, log) = (saved.clone(), log.clone());
                move |()| {
                    let payload = caught(|| main().switch(()));
                    assert!(payload.is::<Killed>());
                    saved.set(AnyGreenlet::current());
                    log.push("survived");
                    // Whoever dropped it waits for its end, and gets this instead.
                    let parent = AnyGreenlet::current().parent().unwrap();
                    let answer = parent.typed::<(), ()>().try_throw(Box::new("not yet"));
                    assert!(answer.is_ok());
                    log.push("ends");
                }
            });
            child.switch(());
            let payload = caught(|| drop(child));
            log.push("dropped");
            assert_eq!(payload_text(&payload), "not yet");
            saved.take().unwrap().typed::<(), ()>().switch(());
        }
    });
    waiting.switch(());
    assert_eq!(log.take(), Vec::<&str>::new());
    // Main was switched to by the child's first suspension; the parent goes on from there.
    waiting.switch(());
    assert_eq!(log.take(), ["survived", "dropped", "ends"]);
}

#[test]
fn a_drop_whose_destructor_panics_panics_where_it_was_dropped() {
    let child = spawn(|()| {
        caught(|| main().switch(()));
        panic_with("while it died")
    });
    child.typed::<(), ()>().switch(());
    assert_eq!(payload_text(&caught(|| drop(child))), "while it died");
}

// While a panic unwinds.

#[test]
fn a_drop_during_a_panic_kills_strictly_nested() {
    let drops = Drops::new();
    let victims: Vec<Greenlet> = (0..5).map(|n| holder(&drops, 4 * n)).collect();
    let payload = caught(|| {
        let _victims = victims;
        deep(7, || panic_with("outer"));
    });
    assert_eq!(payload_text(&payload), "outer");
    assert_eq!(drops.count(), 5);
    assert!(!std::thread::panicking());
}

#[test]
fn a_drop_during_a_panic_inside_a_greenlet_kills_too() {
    let drops = Drops::new();
    let inside = drops.clone();
    let child = spawn(move |()| {
        let _victims: Vec<Greenlet> = (0..5).map(|n| holder(&inside, n)).collect();
        panic_with("outer");
    });
    assert_eq!(common::thrown_text::<(), _>(child.try_switch(())), "outer");
    assert_eq!(drops.count(), 5);
}

#[test]
fn one_that_is_dropped_during_a_panic_catches_its_end_and_is_refused_every_switch() {
    let seen = Log::<Refused>::new();
    let other = spawn(|_: u32| ());
    let suspended = spawn(|()| main().switch(()));
    suspended.switch(());
    let child = spawn({
        let (seen, other, suspended) = (seen.clone(), other.clone(), suspended.clone());
        move |()| {
            caught(|| main().switch(()));
            assert!(std::thread::panicking(), "the outer panic lasts");
            let (why, value) = refused(other.try_switch(7));
            assert_eq!(value, 7);
            seen.push(why);
            let (why, payload) = refused(suspended.try_throw(Box::new("back")));
            assert_eq!(payload_text(&payload), "back");
            seen.push(why);
            seen.push(suspended.kill().unwrap_err());
        }
    });
    child.typed::<(), ()>().switch(());
    let payload = caught(|| {
        let _child = child;
        panic_with("outer");
    });
    assert_eq!(payload_text(&payload), "outer");
    assert_eq!(seen.take(), [Refused::Unwinding; 3]);
    assert!(!other.is_started() && suspended.is_active());
    suspended.switch(());
}

#[test]
fn one_that_panics_while_it_is_dropped_during_a_panic_does_not_end_the_process() {
    let drops = Drops::new();
    let token = drops.token();
    let child = spawn(move |()| {
        let _token = token;
        caught(|| main().switch(()));
        panic_with("inner");
    });
    child.typed::<(), ()>().switch(());
    let payload = caught(|| {
        let _child = child;
        panic_with("outer");
    });
    assert_eq!(payload_text(&payload), "outer");
    assert_eq!(drops.count(), 1);
}

#[test]
fn switching_from_a_destructor_during_a_panic_is_refused_and_gives_the_value_back() {
    let child = spawn(|text: String| text.len());
    let seen = Log::<(Refused, String)>::new();
    let payload = caught(|| {
        let _guard = OnDrop(|| {
            seen.push(refused(child.try_switch("not sent".into())));
        });
        panic_with("outer");
    });
    assert_eq!(payload_text(&payload), "outer");
    assert_eq!(seen.take(), [(Refused::Unwinding, "not sent".to_string())]);
    assert_eq!(child.switch("sent".into()), 4);
}

#[test]
fn throws_and_generators_are_refused_from_a_destructor_during_a_panic() {
    let child = spawn(|()| main().switch(()));
    child.switch(());
    let mut numbers = generator(|out| (0..u64::MAX).for_each(|n| out.yield_(n)));
    numbers.next();
    let seen = Log::<Refused>::new();
    let message = Log::<String>::new();
    caught(|| {
        let _guard = OnDrop(|| {
            seen.push(refused(child.try_throw(Box::new(0u8))).0);
            seen.push(child.kill().unwrap_err());
            message.push(payload_text(&caught(|| numbers.next())));
        });
        panic_with("outer");
    });
    assert_eq!(seen.take(), [Refused::Unwinding; 2]);
    assert_eq!(message.take(), ["switch refused: cannot switch while a panic is unwinding"]);
    assert_eq!(numbers.next(), Some(1));
    child.switch(());
}

#[test]
fn a_destructor_that_runs_in_a_kill_cannot_switch() {
    let seen = Log::<Refused>::new();
    let other = spawn(|()| ());
    let child = spawn({
        let seen = seen.clone();
        move |()| {
            let _guard = OnDrop(move || seen.push(refused(other.try_switch(())).0));
            main().switch(());
        }
    });
    child.switch(());
    drop(child);
    assert_eq!(seen.take(), [Refused::Unwinding]);
}

#[test]
fn a_handle_in_a_result_that_nobody_takes_is_dropped_with_it() {
    let drops = Drops::new();
    let inner = holder(&drops, 1);
    let carrier = spawn(move |()| inner);
    assert!(common::thrown(carrier.typed::<(), u8>().try_switch(())).is::<WrongResult>());
    assert_eq!(drops.count(), 1);
}
