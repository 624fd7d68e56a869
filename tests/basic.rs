//! Values and parents: what goes where, one test for each thing that is promised.
#![cfg(feature = "std")]

mod common;
use common::{Drops, Later, Log, deep, main, overwrite, refused, spawn, spawn_under};
use greenlet::{AnyGreenlet, Greenlet, Refused};
use std::collections::HashSet;

#[test]
fn values_go_both_ways() {
    let main = Greenlet::<String, u32>::current();
    let child = spawn(move |first: u32| {
        let second = main.switch(format!("got {first}"));
        let third = main.switch(format!("got {second}"));
        format!("got {third}, and done")
    });
    assert_eq!(child.switch(1), "got 1");
    assert_eq!(child.switch(2), "got 2");
    assert_eq!(child.switch(3), "got 3, and done");
}

#[test]
fn the_first_value_is_the_argument_and_the_result_goes_to_the_parent() {
    let child = spawn(|(a, b): (String, Vec<u8>)| (b, a));
    assert_eq!(child.switch(("a".into(), vec![1])), (vec![1], "a".into()));
}

#[test]
fn nothing_runs_before_the_first_switch() {
    let log = Log::<u8>::new();
    let child = spawn({
        let log = log.clone();
        move |()| log.push(1)
    });
    assert!(log.take().is_empty());
    child.switch(());
    assert_eq!(log.take(), [1]);
}

#[test]
fn a_switch_returns_the_next_value_that_anybody_sends() {
    // Main switches to `a`, and is answered by `b`.
    let answer = Greenlet::<&'static str, ()>::current();
    let b = spawn(move |text: &'static str| -> () { answer.switch(text) });
    let a = spawn(move |text: &'static str| -> &'static str {
        b.typed::<&'static str, ()>().switch(text);
        "resumed"
    });
    assert_eq!(a.switch("through b"), "through b");
    assert!(a.is_active());
    // `a` waits for `()`, which is its own business: another handle sends that.
    assert_eq!(a.typed::<(), &'static str>().switch(()), "resumed");
}

#[test]
fn a_switch_to_the_running_greenlet_returns_the_value_at_once() {
    assert_eq!(Greenlet::<u8, u8>::current().switch(7), 7);
    let child = spawn(|()| Greenlet::<String, String>::current().switch("self".into()));
    assert_eq!(child.switch(()), "self");
}

#[test]
fn peers_take_turns_without_their_parent() {
    let log = Log::<u32>::new();
    let peer = Later::<Greenlet<u32, u32>>::new();
    let a = spawn({
        let (log, peer) = (log.clone(), peer.clone());
        move |mut x: u32| {
            for _ in 0..5 {
                log.push(x);
                x = peer.get().switch(x + 1);
            }
            x
        }
    });
    peer.set(spawn({
        let (log, a) = (log.clone(), a.clone());
        move |mut x: u32| loop {
            log.push(x);
            x = a.switch(x + 1);
        }
    }));
    assert_eq!(a.switch(0), 10);
    assert_eq!(log.take(), (0..10).collect::<Vec<_>>());
    peer.take(); // two handles to each other
}

#[test]
fn any_depth_of_calls_can_be_suspended() {
    for depth in [0, 1, 2, 10, 300] {
        let child = spawn(move |()| deep(depth, || main().switch(())));
        child.switch(());
        overwrite(depth + 20);
        assert!(child.saved_bytes() > 0);
        child.switch(());
        assert!(child.is_finished());
    }
}

#[test]
fn a_hundred_greenlets_of_different_depths_keep_their_locals() {
    let greenlets: Vec<Greenlet<u64, u64>> = (0..100)
        .map(|n: u64| {
            let main = Greenlet::<u64, u64>::current();
            spawn(move |first: u64| {
                let mut float = n as f64 / 3.0;
                let mut sum = first;
                for round in 0..10 {
                    let depth = ((n + round) % 7) as usize;
                    sum += deep(depth, || main.switch(sum));
                    float *= 1.5;
                }
                assert_eq!(float, (0..10).fold(n as f64 / 3.0, |float, _| float * 1.5));
                sum
            })
        })
        .collect();
    for round in 0..=10 {
        for (n, greenlet) in greenlets.iter().enumerate() {
            let n = n as u64;
            // After `r` rounds each has the sum of what it was sent: n + 0 + 1 + … + r.
            let sent = if round == 0 { n } else { round };
            assert_eq!(greenlet.switch(sent), n + round * (round + 1) / 2);
        }
    }
    assert!(greenlets.iter().all(|greenlet| greenlet.is_finished()));
}

#[test]
fn a_greenlet_may_be_begun_at_any_depth_and_resumed_from_any_other() {
    for (begin, resume) in [(0, 40), (40, 0), (17, 17)] {
        let outer = spawn(move |()| {
            let here = Greenlet::<(), ()>::current();
            let inner = spawn(move |()| deep(9, || here.switch(())));
            deep(begin, || inner.switch(()));
            overwrite(30);
            deep(resume, || inner.switch(()));
            inner.is_finished()
        });
        assert!(outer.switch(()));
    }
}

#[test]
fn the_parent_is_the_creator_unless_given() {
    let main = AnyGreenlet::main();
    let a = spawn(|()| {
        let own = spawn(|()| ());
        let given = spawn_under(&AnyGreenlet::main(), |()| ());
        (own.parent() == Some(AnyGreenlet::current()), given.parent() == Some(AnyGreenlet::main()))
    });
    assert_eq!(a.parent(), Some(main.clone()));
    assert_eq!(a.switch(()), (true, true));
    assert_eq!(main.parent(), None);
}

#[test]
fn the_result_goes_to_the_parent_of_that_moment() {
    let log = Log::<&str>::new();
    let adopter = spawn({
        let log = log.clone();
        move |()| {
            main().switch(());
            log.push("adopter got the result");
        }
    });
    adopter.switch(());
    let child = spawn({
        let log = log.clone();
        move |()| {
            main().switch(());
            log.push("child ends");
        }
    });
    child.switch(());
    child.set_parent(&adopter).unwrap();
    assert_eq!(child.parent().as_ref(), Some(&*adopter));
    child.switch(());
    assert_eq!(log.take(), ["child ends", "adopter got the result"]);
    assert!(adopter.is_finished());
}

#[test]
fn a_greenlet_can_change_its_own_parent() {
    let adopter = spawn(|()| {
        let answer = AnyGreenlet::main().typed::<(), u32>().switch(());
        answer * 2
    });
    adopter.typed::<(), ()>().switch(());
    let child = spawn({
        let adopter = adopter.clone();
        move |()| {
            AnyGreenlet::current().set_parent(&adopter).unwrap();
            21u32
        }
    });
    assert_eq!(child.typed::<(), u32>().switch(()), 42);
}

#[test]
fn a_cycle_of_parents_is_refused_and_changes_nothing() {
    let a = spawn(|()| ());
    let b = spawn_under(&a, |()| ());
    let c = spawn_under(&b, |()| ());
    for descendant in [&*a, &*b, &*c] {
        assert_eq!(a.set_parent(descendant), Err(Refused::Cycle));
    }
    assert_eq!(b.set_parent(&c), Err(Refused::Cycle));
    assert_eq!(a.parent(), Some(AnyGreenlet::main()));
    assert_eq!(b.parent().as_ref(), Some(&*a));
    // Not a cycle: further up its own line, and itself again.
    c.set_parent(&a).unwrap();
    c.set_parent(&a).unwrap();
    b.set_parent(&c).unwrap();
    assert_eq!(c.set_parent(&b), Err(Refused::Cycle));
}

#[test]
fn main_has_no_parent_and_gets_none() {
    let other = spawn(|()| ());
    assert_eq!(AnyGreenlet::main().set_parent(&other), Err(Refused::Main));
    assert_eq!(AnyGreenlet::main().set_parent(&AnyGreenlet::main()), Err(Refused::Main));
    assert_eq!(AnyGreenlet::main().parent(), None);
}

#[test]
fn finished_parents_are_passed_over_for_the_nearest_living_ancestor() {
    let log = Log::<&str>::new();
    let living = spawn({
        let log = log.clone();
        move |()| {
            main().switch(());
            log.push("living got the result");
        }
    });
    living.switch(());
    let first = spawn_under(&living, |()| main().switch(()));
    let second = spawn_under(&first, |()| main().switch(()));
    let child = spawn_under(&second, |()| ());
    for finished in [&second, &first] {
        finished.switch(());
        finished.kill().unwrap();
        assert!(finished.is_finished());
    }
    child.switch(());
    assert_eq!(log.take(), ["living got the result"]);
}

#[test]
fn a_result_begins_a_parent_that_has_not_begun() {
    let parent = spawn(|text: String| format!("parent got: {text}"));
    let child = spawn_under(&parent, |n: u32| format!("child's {n}"));
    assert_eq!(child.typed::<u32, String>().switch(5), "parent got: child's 5");
    assert!(parent.is_finished());
}

#[test]
fn a_result_begins_a_whole_line_of_parents_that_have_not_begun() {
    let mut last = spawn(|n: u32| n + 1);
    for _ in 0..50 {
        last = spawn_under(&last, |n: u32| n + 1);
    }
    assert_eq!(last.switch(0), 51);
}

#[test]
fn a_parent_that_is_begun_by_a_result_has_its_own_frames() {
    let parent = spawn(|n: usize| deep(n, || main().switch(())));
    let child = spawn_under(&parent, |()| deep(60, || 50usize));
    child.typed::<(), ()>().switch(());
    assert!(child.is_finished() && parent.is_active());
    overwrite(80);
    parent.typed::<(), ()>().switch(());
    assert!(parent.is_finished());
}

#[test]
fn states_are_told_at_every_stage() {
    let states = |g: &AnyGreenlet| {
        (g.is_started(), g.is_active(), g.is_current(), g.is_finished(), g.is_main())
    };
    let child = spawn(move |()| {
        let running = states(&AnyGreenlet::current());
        let main_meanwhile = states(&AnyGreenlet::main());
        main().switch(());
        (running, main_meanwhile)
    });
    assert_eq!(states(&AnyGreenlet::main()), (true, true, true, false, true));
    assert_eq!(states(&child), (false, false, false, false, false));
    child.typed::<(), ()>().switch(());
    assert_eq!(states(&child), (true, true, false, false, false));
    let (running, main_meanwhile) = child.switch(());
    assert_eq!(running, (true, true, true, false, false));
    assert_eq!(main_meanwhile, (true, true, false, false, true));
    assert_eq!(states(&child), (true, false, false, true, false));
}

#[test]
fn saved_bytes_are_those_on_the_heap() {
    let child = spawn(|()| deep(20, || main().switch(())));
    assert_eq!(child.saved_bytes(), 0);
    child.switch(());
    assert_eq!(child.saved_bytes(), 0, "nobody needed its stretch of the stack");
    overwrite(0);
    let shallow = child.saved_bytes();
    assert!(shallow > 0);
    assert_eq!(AnyGreenlet::main().saved_bytes(), 0, "main's frames never move");
    child.switch(());
    assert_eq!(child.saved_bytes(), 0);
}

#[test]
fn a_handle_is_its_greenlets_identity() {
    let (a, b) = (spawn(|()| ()), spawn(|()| ()));
    let same: AnyGreenlet = a.clone().into();
    assert!(same == *a && *a != *b);
    assert_eq!(same.id(), a.id());
    assert_ne!(a.id(), b.id());
    assert_eq!(a.typed::<u8, i8>().id(), a.id());
    let set: HashSet<AnyGreenlet> = [same, (*a).clone(), (*b).clone()].into();
    assert_eq!(set.len(), 2);
    let mut sorted = [(*a).clone(), (*b).clone(), AnyGreenlet::main()];
    sorted.sort();
    assert!(sorted[0].id() < sorted[1].id() && sorted[1].id() < sorted[2].id());
    assert_eq!(AnyGreenlet::current(), AnyGreenlet::main());
}

#[test]
fn debug_tells_identity_and_state() {
    let child = spawn(|()| {
        let running = format!("{:?}", AnyGreenlet::current());
        main().switch(());
        running
    });
    let id = format!("{:#x}", child.id());
    assert_eq!(format!("{child:?}"), format!("Greenlet({id}, not started)"));
    child.typed::<(), ()>().switch(());
    assert_eq!(format!("{child:?}"), format!("Greenlet({id}, suspended)"));
    overwrite(0);
    let saved = child.saved_bytes();
    assert_eq!(format!("{child:?}"), format!("Greenlet({id}, suspended, {saved} bytes saved)"));
    assert_eq!(child.switch(()), format!("Greenlet({id}, running)"));
    assert_eq!(format!("{child:?}"), format!("Greenlet({id}, finished)"));
    let main = AnyGreenlet::main();
    assert_eq!(format!("{main:?}"), format!("Greenlet({:#x}, main, running)", main.id()));
}

#[test]
fn a_finished_greenlet_has_main_as_its_parent() {
    let parent = spawn(|()| {
        let child = spawn(|()| ());
        child.switch(());
        child.parent() == Some(AnyGreenlet::main())
    });
    assert!(parent.switch(()));
}

#[test]
fn a_closure_is_dropped_once_whether_it_ran_or_not() {
    let drops = Drops::new();
    let token = drops.token();
    let ran = spawn(move |()| drop(token));
    ran.switch(());
    assert_eq!(drops.count(), 1);
    drop(ran);
    assert_eq!(drops.count(), 1);

    let token = drops.token();
    drop(spawn(move |()| drop(token)));
    assert_eq!(drops.count(), 2);
}

#[test]
fn a_closure_may_be_large_and_overaligned() {
    #[repr(align(128))]
    struct Aligned([u8; 4096]);
    let value = Aligned([7; 4096]);
    let child = spawn(move |()| {
        let address = (&raw const value).addr();
        (address % 128, value.0.iter().map(|byte| u32::from(*byte)).sum::<u32>())
    });
    assert_eq!(child.switch(()), (0, 7 * 4096));
}

#[test]
fn a_finished_greenlet_refuses_and_gives_the_value_back() {
    let child = spawn(|_: String| ());
    child.switch("one".into());
    let (why, value) = refused(child.try_switch("two".into()));
    assert_eq!((why, value.as_str()), (Refused::Finished, "two"));
}
