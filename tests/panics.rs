//! Panics, throws and kills: who is unwound, with what, and where it goes on.
#![cfg(feature = "std")]

mod common;
use common::{
    Drops, Later, Log, OnDrop, caught, deep, generator, main, overwrite, panic_with, refused,
    spawn, spawn_under, thrown, thrown_text,
};
use greenlet::{AnyGreenlet, Greenlet, Killed, Refused, SwitchError, WrongResult, payload_text};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

// Panics.

#[test]
fn a_panic_goes_on_in_the_parent_with_its_payload() {
    #[derive(Debug, PartialEq)]
    struct Special(Vec<u32>);
    let child = spawn(|()| deep(5, || resume_unwind(Box::new(Special(vec![1, 2, 3])))));
    let payload = thrown::<(), _>(child.try_switch(()));
    assert_eq!(*payload.downcast::<Special>().unwrap(), Special(vec![1, 2, 3]));
    assert!(child.is_finished());
}

#[test]
fn a_panic_unwinds_the_parent_that_switched() {
    let child = spawn(|()| panic_with("boom"));
    let payload = caught(|| -> () { child.switch(()) });
    assert_eq!(payload_text(&payload), "boom");
    assert!(!std::thread::panicking());
}

#[test]
fn a_message_made_by_panic_arrives_as_its_payload() {
    let child = spawn(|n: u32| -> () { panic!("number {n}") });
    assert_eq!(payload_text(&thrown(child.try_switch(7))), "number 7");
}

#[test]
fn a_panic_crosses_several_generations_and_runs_the_destructors_of_each() {
    let drops = Drops::new();
    fn generation(n: u32, drops: Drops) -> Greenlet<(), ()> {
        spawn(move |()| {
            let _token = drops.token();
            if n == 0 {
                resume_unwind(Box::new(vec!["from the last"]));
            }
            deep(3, || generation(n - 1, drops.clone()).switch(()));
        })
    }
    let payload = thrown(generation(9, drops.clone()).try_switch(()));
    assert_eq!(*payload.downcast::<Vec<&str>>().unwrap(), ["from the last"]);
    assert_eq!(drops.count(), 10);
}

#[test]
fn a_panic_goes_to_the_parent_and_not_to_who_switched() {
    let log = Log::<String>::new();
    let parent = spawn({
        let log = log.clone();
        move |()| {
            let payload = caught(|| main().switch(()));
            log.push(format!("parent caught {}", payload_text(&payload)));
        }
    });
    parent.switch(());
    let child = spawn_under(&parent, |()| -> () { panic_with("boom") });
    // The parent catches it and ends; its own parent is main.
    child.switch(());
    assert_eq!(log.take(), ["parent caught boom"]);
}

#[test]
fn a_panic_passes_parents_that_have_not_begun_and_finishes_them() {
    let drops = Drops::new();
    let (a, b) = (drops.token(), drops.token());
    let grandparent = spawn(move |()| drop(a));
    let parent = spawn_under(&grandparent, move |()| drop(b));
    let child = spawn_under(&parent, |()| panic_with("boom"));
    assert_eq!(thrown_text::<(), _>(child.try_switch(())), "boom");
    assert!(parent.is_finished() && grandparent.is_finished());
    assert_eq!(drops.count(), 2);
}

#[test]
fn a_panic_passes_finished_parents() {
    let parent = spawn(|()| main().switch(()));
    parent.switch(());
    let child = spawn_under(&parent, |()| panic_with("boom"));
    parent.switch(());
    assert!(parent.is_finished());
    assert_eq!(thrown_text::<(), _>(child.try_switch(())), "boom");
}

#[test]
fn a_greenlet_that_catches_its_own_panic_goes_on() {
    let child = spawn(|()| {
        let payload = caught(|| panic_with("inside"));
        main().switch(());
        payload_text(&payload).to_string()
    });
    child.typed::<(), ()>().switch(());
    assert_eq!(child.switch(()), "inside");
}

#[test]
fn a_switch_inside_a_catch_of_a_panic_that_is_over_works() {
    let log = Log::<u32>::new();
    let other = spawn({
        let log = log.clone();
        move |()| {
            log.push(1u32);
            let _ = catch_unwind(|| panic_with("over"));
            main().switch(());
            log.push(2u32);
        }
    });
    let _ = catch_unwind(|| panic_with("over here too"));
    other.switch(());
    let _ = catch_unwind(|| panic_with("and again"));
    other.switch(());
    assert_eq!(log.take(), [1, 2]);
}

#[test]
fn a_result_of_a_type_that_the_parent_does_not_wait_for_is_thrown_as_wrong_result() {
    let drops = Drops::new();
    let token = drops.token();
    let child = spawn(move |()| token);
    let payload = thrown(child.typed::<(), u8>().try_switch(()));
    let wrong = payload.downcast::<WrongResult>().unwrap();
    assert_eq!(wrong.expected, "u8");
    assert!(wrong.returned.ends_with("Token"), "{wrong}");
    assert_eq!(drops.count(), 1, "the result was dropped");
    assert!(wrong.to_string().contains("u8") && wrong.to_string().contains("Token"));
}

#[test]
fn a_wrong_result_whose_drop_panics_throws_that_panic() {
    let child = spawn(|()| OnDrop(|| panic_with("from the result's drop")));
    let answer = child.typed::<(), u8>().try_switch(());
    assert_eq!(thrown_text(answer), "from the result's drop");
    assert!(child.is_finished());
}

// Throws.

#[test]
fn a_throw_unwinds_the_switch_of_a_suspended_greenlet() {
    let drops = Drops::new();
    let token = drops.token();
    let child = spawn(move |()| {
        let _token = token;
        let payload = caught(|| deep(10, || main().switch(())));
        payload_text(&payload).to_string()
    });
    child.typed::<(), ()>().switch(());
    overwrite(30);
    assert_eq!(child.throw(Box::new("thrown")), "thrown");
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_throw_that_is_not_caught_comes_back_to_the_parent() {
    let child = spawn(|()| main().switch(()));
    child.switch(());
    assert_eq!(payload_text(&thrown(child.try_throw(Box::new("through")))), "through");
    assert!(child.is_finished());
    let again = spawn(|()| main().switch(()));
    again.switch(());
    assert_eq!(payload_text(&caught(|| again.throw(Box::new("through")))), "through");
}

#[test]
fn a_payload_is_taken_as_a_value_by_try_switch() {
    let child = spawn(|()| {
        let mut taken = Vec::new();
        loop {
            match main().try_switch(()) {
                Ok(()) => return taken,
                Err(SwitchError::Thrown(payload)) => {
                    taken.push(*payload.downcast::<u32>().unwrap())
                }
                Err(refused) => refused.raise(),
            }
        }
    });
    child.typed::<(), ()>().switch(());
    for n in 0..3u32 {
        child.typed::<(), ()>().throw(Box::new(n));
    }
    assert_eq!(child.switch(()), [0, 1, 2]);
}

#[test]
fn a_throw_into_one_that_has_not_begun_finishes_it_and_goes_to_its_parent() {
    let drops = Drops::new();
    let token = drops.token();
    let child = spawn(move |()| drop(token));
    assert_eq!(payload_text(&thrown(child.try_throw(Box::new("early")))), "early");
    assert!(child.is_finished());
    assert_eq!(drops.count(), 1);

    let log = Log::<String>::new();
    let parent = spawn({
        let log = log.clone();
        move |()| log.push(payload_text(&caught(|| main().switch(()))))
    });
    parent.switch(());
    let child = spawn_under(&parent, |()| ());
    child.throw(Box::new("to the parent"));
    assert_eq!(log.take(), ["to the parent"]);
    assert!(parent.is_finished() && child.is_finished());
}

#[test]
fn a_throw_into_a_line_of_greenlets_that_have_not_begun_finishes_all_of_them() {
    let mut line: Vec<Greenlet> = vec![spawn(|()| ())];
    for _ in 0..20 {
        line.push(spawn_under(line.last().unwrap(), |()| ()));
    }
    let last = line.last().unwrap();
    assert_eq!(payload_text(&thrown(last.try_throw(Box::new("all")))), "all");
    assert!(line.iter().all(|greenlet| greenlet.is_finished()));
}

#[test]
fn a_throw_into_one_that_has_not_begun_replaces_the_payload_by_a_panic_of_its_closures_drop() {
    let bomb = OnDrop(|| panic_with("from the closure's drop"));
    let child = spawn(move |()| drop(bomb));
    let payload = thrown(child.try_throw(Box::new("thrown")));
    assert_eq!(payload_text(&payload), "from the closure's drop");
    assert!(child.is_finished());
}

#[test]
fn a_throw_into_the_running_greenlet_unwinds_right_here() {
    let child = spawn(|()| {
        let me = Greenlet::<(), ()>::current();
        let payload = caught(|| me.throw(Box::new("here")));
        assert_eq!(payload_text(&payload), "here");
        payload_text(&thrown(me.try_throw(Box::new("as a value")))).to_string()
    });
    assert_eq!(child.switch(()), "as a value");
}

#[test]
fn a_throw_into_main_is_refused_and_gives_the_payload_back() {
    let (why, payload) = refused(main().try_throw(Box::new("back")));
    assert_eq!((why, payload_text(&payload)), (Refused::Main, "back"));
    let child = spawn(|()| {
        let (why, payload) = refused(main().try_throw(Box::new("back")));
        (why, payload_text(&payload).to_string())
    });
    assert_eq!(child.switch(()), (Refused::Main, "back".into()));
}

#[test]
fn a_throw_into_a_finished_greenlet_is_refused_and_gives_the_payload_back() {
    let child = spawn(|()| ());
    child.switch(());
    let (why, payload) = refused(child.try_throw(Box::new("back")));
    assert_eq!((why, payload_text(&payload)), (Refused::Finished, "back"));
    let message = caught(|| child.throw(Box::new("back")));
    assert_eq!(payload_text(&message), "switch refused: the greenlet has finished");
}

// Kills.

#[test]
fn a_kill_runs_the_destructors_and_the_killer_goes_on() {
    let drops = Drops::new();
    let inside = drops.clone();
    let child = spawn(move |()| {
        let _outer = inside.token();
        deep(20, || {
            let _inner = inside.token();
            main().switch(())
        });
    });
    child.switch(());
    overwrite(50);
    child.kill().unwrap();
    assert_eq!(drops.count(), 2);
    assert!(child.is_finished() && !std::thread::panicking());
    assert_eq!(child.parent(), Some(AnyGreenlet::main()));
}

#[test]
fn the_parent_of_a_killed_greenlet_sees_nothing() {
    let log = Log::<String>::new();
    let parent = spawn({
        let log = log.clone();
        move |()| {
            let answer = main().try_switch(());
            log.push(format!("{answer:?}"));
        }
    });
    parent.switch(());
    let child = spawn_under(&parent, |()| main().switch(()));
    child.switch(());
    child.kill().unwrap();
    assert!(log.take().is_empty() && parent.is_active());
    parent.switch(());
    assert_eq!(log.take(), ["Ok(())"]);
}

#[test]
fn a_kill_of_one_that_has_not_begun_drops_its_closure() {
    let drops = Drops::new();
    let token = drops.token();
    let child = spawn(move |()| drop(token));
    child.kill().unwrap();
    assert_eq!(drops.count(), 1);
    assert!(child.is_finished() && child.is_started());
    assert_eq!(refused(child.try_switch(())).0, Refused::Finished);
}

#[test]
fn a_kill_of_a_finished_greenlet_does_nothing() {
    let child = spawn(|()| ());
    child.switch(());
    assert_eq!(child.kill(), Ok(()));
    assert_eq!(child.kill(), Ok(()));
}

#[test]
fn a_kill_of_the_running_greenlet_or_of_main_is_refused() {
    assert_eq!(AnyGreenlet::main().kill(), Err(Refused::Main));
    let child = spawn(|()| (AnyGreenlet::current().kill(), AnyGreenlet::main().kill()));
    assert_eq!(child.switch(()), (Err(Refused::Current), Err(Refused::Main)));
}

/// One that has caught its end is killed by another: the second killer is told of its end, and the first one waits on. It can
/// be thrown into, and be dropped.
fn second_killer(first_is_dropped: bool) {
    let drops = Drops::new();
    let (victim, second) = (Later::<Greenlet>::new(), Later::<Greenlet>::new());
    victim.set(spawn({
        let (second, token) = (second.clone(), drops.token());
        move |()| {
            let _token = token;
            assert!(thrown(main().try_switch(())).is::<Killed>());
            second.get().switch(());
            unreachable!("it was killed again");
        }
    }));
    second.set(spawn({
        let victim = victim.clone();
        move |()| victim.get().kill().unwrap()
    }));
    let first = spawn({
        let (victim, token) = (victim.clone(), drops.token());
        move |()| {
            let _token = token;
            let payload = caught(|| victim.get().kill());
            assert!(payload.is::<u8>() || payload.is::<Killed>());
            if payload.is::<Killed>() {
                std::panic::resume_unwind(payload);
            }
        }
    });
    victim.get().switch(());
    first.switch(());
    assert!(victim.get().is_finished() && second.get().is_finished());
    assert!(first.is_active(), "it waits");
    assert_eq!(drops.count(), 1);
    if !first_is_dropped {
        first.throw(Box::new(1u8));
        assert!(first.is_finished());
    }
    drop(first);
    assert_eq!(drops.count(), 2);
    victim.take();
    second.take();
}

#[test]
fn the_first_killer_of_one_that_is_killed_again_can_be_thrown_into() {
    second_killer(false);
}

#[test]
fn the_first_killer_of_one_that_is_killed_again_can_be_dropped() {
    second_killer(true);
}

#[test]
fn a_kill_of_a_child_by_another_child_returns_to_the_killer() {
    let drops = Drops::new();
    let token = drops.token();
    let victim = spawn(move |()| {
        let _token = token;
        main().switch(());
    });
    victim.switch(());
    let killer = spawn({
        let (victim, drops) = (victim.clone(), drops.clone());
        move |()| deep(15, || (victim.kill(), drops.count(), victim.is_finished()))
    });
    assert_eq!(killer.switch(()), (Ok(()), 1, true));
}

#[test]
fn a_child_kills_its_suspended_parent_and_its_result_goes_to_the_grandparent() {
    let parent = spawn(|()| -> u32 {
        let me = AnyGreenlet::current();
        spawn(move |()| {
            me.kill().unwrap();
            42u32
        })
        .typed::<(), ()>()
        .switch(());
        unreachable!("it was killed while it waited")
    });
    assert_eq!(parent.switch(()), 42);
    assert!(parent.is_finished());
}

#[test]
fn a_killed_greenlet_can_tell_what_unwinds_it() {
    let log = Log::<bool>::new();
    let child = spawn({
        let log = log.clone();
        move |()| {
            let payload = caught(|| main().switch(()));
            log.push(payload.is::<Killed>());
            resume_unwind(payload);
        }
    });
    child.typed::<(), ()>().switch(());
    child.kill().unwrap();
    assert_eq!(log.take(), [true]);
    assert!(child.is_finished());
}

#[test]
fn a_killed_greenlet_that_catches_its_end_and_returns_has_finished_and_its_result_is_dropped() {
    let drops = Drops::new();
    let result = drops.clone();
    let child = spawn(move |()| {
        caught(|| main().switch(()));
        result.token()
    });
    child.typed::<(), ()>().switch(());
    child.kill().unwrap();
    assert!(child.is_finished());
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_killed_greenlet_that_catches_its_end_and_goes_on_is_waited_for() {
    let log = Log::<&str>::new();
    let helper = Later::<Greenlet>::new();
    let stubborn = spawn({
        let (log, helper) = (log.clone(), helper.clone());
        move |()| {
            caught(|| main().switch(()));
            log.push("caught");
            let answer = main().try_switch(());
            assert!(matches!(refused(answer).0, Refused::WrongType { .. }), "main is in the kill");
            helper.get().switch(());
            log.push("going on");
        }
    });
    let peer = stubborn.clone();
    helper.set(spawn({
        let log = log.clone();
        move |()| {
            log.push("helper");
            peer.switch(());
        }
    }));
    stubborn.switch(());
    stubborn.kill().unwrap();
    log.push("killed");
    assert_eq!(log.take(), ["caught", "helper", "going on", "killed"]);
    assert!(stubborn.is_finished());
    helper.get().kill().unwrap();
    helper.take();
}

#[test]
fn a_kill_gives_the_killer_what_is_thrown_there_meanwhile() {
    let killer = spawn(|()| {
        let me = Greenlet::<(), ()>::current();
        let stubborn = spawn(move |()| {
            caught(|| me.switch(()));
            // The killer is suspended in its kill, and gets this in its stead.
            let _ = catch_unwind(AssertUnwindSafe(|| me.throw(Box::new("stop waiting"))));
        });
        stubborn.switch(());
        let payload = caught(|| stubborn.kill());
        assert!(stubborn.is_active(), "it is not dead");
        // A second one that it does not catch.
        stubborn.typed::<(), ()>().kill().unwrap();
        assert!(stubborn.is_finished());
        payload_text(&payload).to_string()
    });
    assert_eq!(killer.switch(()), "stop waiting");
}

#[test]
fn a_destructor_that_panics_in_a_kill_panics_in_the_killer() {
    let drops = Drops::new();
    let token = drops.token();
    let child = spawn(move |()| {
        let _token = token;
        // As the unwinding passes it panics once more; only what is outside an unwinding drop may.
        let caught = caught(|| main().switch(()));
        drop(caught);
        panic_with("from the kill");
    });
    child.typed::<(), ()>().switch(());
    let payload = caught(|| child.kill());
    assert_eq!(payload_text(&payload), "from the kill");
    assert!(child.is_finished());
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_closure_of_one_that_has_not_begun_that_panics_in_its_drop_panics_in_the_killer() {
    let bomb = OnDrop(|| panic_with("from the closure"));
    let child = spawn(move |()| drop(bomb));
    let payload = caught(|| child.kill());
    assert_eq!(payload_text(&payload), "from the closure");
    assert!(child.is_finished());
}

#[test]
fn kills_nest() {
    // Each one's destructor drops the only handle to the next.
    let drops = Drops::new();
    fn chain(n: usize, drops: &Drops) -> Greenlet {
        let next = (n > 0).then(|| chain(n - 1, drops));
        let token = drops.token();
        let greenlet = spawn_under(&AnyGreenlet::main(), move |()| {
            let _token = token;
            let _next = next;
            deep(n % 5, || main().switch(()));
        });
        greenlet.switch(());
        greenlet
    }
    let first = chain(30, &drops);
    assert_eq!(drops.count(), 0);
    first.kill().unwrap();
    assert_eq!(drops.count(), 31);
}

#[test]
fn a_kill_from_a_destructor_that_runs_in_a_kill_is_refused() {
    let answer = Rc::new(Cell::new(None));
    let other = spawn(|()| main().switch(()));
    other.switch(());
    let child = spawn({
        let (answer, other) = (answer.clone(), other.clone());
        move |()| {
            let _guard = OnDrop(move || answer.set(Some(other.kill())));
            main().switch(());
        }
    });
    child.switch(());
    child.kill().unwrap();
    assert_eq!(answer.get(), Some(Err(Refused::Unwinding)));
    assert!(other.is_active());
    other.switch(());
}

#[test]
fn a_greenlet_is_killed_by_one_that_is_itself_inside_a_kill() {
    // Main kills `a`, which catches its end and kills `b` before it ends.
    let b = spawn(|()| main().switch(()));
    b.switch(());
    let a = spawn({
        let b = b.clone();
        move |()| {
            caught(|| main().switch(()));
            b.kill().unwrap();
        }
    });
    a.switch(());
    a.kill().unwrap();
    assert!(a.is_finished() && b.is_finished());
}

#[test]
fn a_second_killer_is_answered_and_the_first_one_told_by_the_end() {
    // Main kills `stubborn`; it catches that and switches to `second`, which kills it for good.
    let second = Later::<Greenlet>::new();
    let stubborn = spawn({
        let second = second.clone();
        move |()| {
            caught(|| main().switch(()));
            second.get().switch(());
        }
    });
    second.set(spawn({
        let stubborn = stubborn.clone();
        move |()| stubborn.kill().unwrap()
    }));
    stubborn.switch(());
    let answer = catch_unwind(AssertUnwindSafe(|| stubborn.kill()));
    assert!(stubborn.is_finished());
    // The second killer's result goes to its parent, main, which waits for another end: a wrong result.
    if let Err(payload) = answer {
        assert!(payload.is::<WrongResult>(), "{}", payload_text(&payload));
    }
    second.take();
}

#[test]
fn a_kill_of_the_one_that_a_generator_runs_for_ends_the_generator_too() {
    let drops = Drops::new();
    let token = drops.token();
    let owner = spawn(move |()| {
        let mut numbers = generator(move |out| {
            let _token = token;
            loop {
                out.yield_(1);
            }
        });
        numbers.next();
        main().switch(());
        numbers.next();
    });
    owner.switch(());
    owner.kill().unwrap();
    assert_eq!(drops.count(), 1);
}
