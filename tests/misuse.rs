//! Misuse is an error value or a documented panic: one test for each way to be refused.
//!
//! (A handle does not leave its thread: `AnyGreenlet`'s documentation has a test that such a program does not compile.)
#![cfg(feature = "std")]

mod common;
use common::{OnDrop, caught, main, panic_with, refused, spawn, spawn_under, thrown};
use greenlet::{
    AnyGreenlet, Greenlet, Killed, OutOfMemory, Payload, Refused, SwitchError, WrongResult,
    payload_text, set_stack_size, set_trace,
};
use std::cell::Cell;
use std::error::Error;
use std::rc::Rc;

#[test]
fn a_switch_to_a_finished_greenlet_is_refused_with_the_value() {
    let child = spawn(|_: Vec<u8>| ());
    child.switch(vec![]);
    let (why, value) = refused(child.try_switch(vec![1, 2]));
    assert_eq!((why, value), (Refused::Finished, vec![1, 2]));
    let message = caught(|| child.switch(vec![3]));
    assert_eq!(payload_text(&message), "switch refused: the greenlet has finished");
}

#[test]
fn a_finished_greenlet_refuses_whatever_type_it_is_sent() {
    let child = spawn(|_: u8| ());
    child.switch(0);
    assert_eq!(refused(child.typed::<String, ()>().try_switch("x".into())).0, Refused::Finished);
    assert_eq!(refused(child.typed::<(), ()>().try_switch(())).0, Refused::Finished);
}

#[test]
fn a_switch_to_a_killed_greenlet_is_refused() {
    let begun = spawn(|()| main().switch(()));
    begun.switch(());
    for child in [begun, spawn(|()| ())] {
        child.kill().unwrap();
        assert_eq!(refused(child.try_switch(())).0, Refused::Finished);
    }
}

#[test]
fn a_value_of_another_type_is_refused_with_both_names_and_comes_back() {
    let child = spawn(|_: u32| ());
    let (why, value) = refused(child.typed::<String, ()>().try_switch("text".into()));
    let expected = Refused::WrongType { expected: "u32", sent: "alloc::string::String" };
    assert_eq!((why, value.as_str()), (expected, "text"));
    assert!(!child.is_started(), "nothing has changed");
    child.switch(1);
}

#[test]
fn a_refused_switch_changes_nothing_for_the_one_that_waits() {
    let child =
        spawn(|first: u32| -> u32 { first + AnyGreenlet::main().typed::<(), u32>().switch(()) });
    child.typed::<u32, ()>().switch(1);
    for _ in 0..3 {
        assert!(matches!(
            refused(child.typed::<u64, u32>().try_switch(5)).0,
            Refused::WrongType { .. }
        ));
        assert!(matches!(
            refused(child.typed::<(), u32>().try_switch(())).0,
            Refused::WrongType { .. }
        ));
    }
    assert_eq!(child.switch(41), 42);
}

#[test]
fn a_switch_to_itself_with_a_type_that_it_does_not_wait_for_is_refused() {
    let here = Greenlet::<u8, String>::current();
    let (why, value) = refused(here.try_switch(9));
    assert_eq!(why, Refused::WrongType { expected: "alloc::string::String", sent: "u8" });
    assert_eq!(value, 9);
}

#[test]
fn a_switch_while_a_panic_unwinds_is_refused_with_the_value() {
    let child = spawn(|n: u32| n);
    let seen = Cell::new(None);
    caught(|| {
        let _guard = OnDrop(|| seen.set(Some(refused(child.try_switch(5)))));
        panic_with("outer")
    });
    assert_eq!(seen.get(), Some((Refused::Unwinding, 5)));
    assert_eq!(child.switch(6), 6);
}

#[test]
fn a_switch_from_the_panic_hook_is_refused() {
    // In a child process: the panic hook is the whole process's.
    let ended = common::child::run("a_switch_from_the_panic_hook_is_refused", || {
        std::panic::set_hook(Box::new(|_| {
            let child = spawn(|n: u32| n);
            let (why, value) = refused(child.try_switch(5));
            println!("refused: {why}, {value}");
        }));
        let child = spawn(|()| panic!("boom"));
        assert_eq!(payload_text(&thrown::<(), _>(child.try_switch(()))), "boom");
        println!("goes on");
    });
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let expected = "refused: cannot switch while a panic is unwinding, 5\ngoes on\n";
    assert!(ended.stdout.contains(expected), "{ended:?}");
}

#[test]
fn a_switch_from_the_trace_hook_is_refused_with_the_value() {
    let seen = Rc::new(Cell::new(None));
    let (other, child) = (spawn(|n: u32| n), spawn(|()| ()));
    set_trace(Some(Box::new({
        let (seen, other) = (seen.clone(), other.clone());
        move |_| seen.set(Some(refused(other.try_switch(5))))
    })));
    child.switch(());
    set_trace(None);
    assert_eq!(seen.get(), Some((Refused::Tracing, 5)));
    assert!(!other.is_started());
}

#[test]
fn main_cannot_be_thrown_into_killed_or_given_a_parent() {
    let child = spawn(|()| {
        let main = main();
        assert_eq!(refused(main.try_throw(Box::new(()))).0, Refused::Main);
        assert_eq!(main.kill(), Err(Refused::Main));
        assert_eq!(main.set_parent(&AnyGreenlet::current()), Err(Refused::Main));
        let message = caught(|| main.throw(Box::new(())));
        assert_eq!(payload_text(&message), "switch refused: the greenlet is its thread's main one");
    });
    child.switch(());
}

#[test]
fn whoever_waits_for_the_end_of_a_kill_takes_no_value() {
    let child = spawn(|()| {
        caught(|| main().switch(()));
        // Main is in the kill.
        let (why, ()) = refused(main().try_switch(()));
        assert!(matches!(why, Refused::WrongType { sent: "()", .. }), "{why}");
    });
    child.switch(());
    child.kill().unwrap();
    assert!(child.is_finished());
}

#[test]
fn a_parent_cannot_be_chosen_so_that_a_result_would_never_arrive() {
    let a = spawn(|()| ());
    let b = spawn_under(&a, |()| ());
    assert_eq!(a.set_parent(&b), Err(Refused::Cycle));
    assert_eq!(a.set_parent(&a), Err(Refused::Cycle));
    b.switch(());
    assert!(a.is_finished() && b.is_finished(), "the result of b began a");
}

#[test]
fn the_size_of_the_stack_cannot_be_changed_once_it_is_there() {
    std::thread::spawn(|| {
        set_stack_size(1 << 20).unwrap();
        set_stack_size(2 << 20).unwrap();
        let child = spawn(|()| ());
        set_stack_size(3 << 20).unwrap();
        child.switch(());
        assert_eq!(set_stack_size(4 << 20), Err(3 << 20));
    })
    .join()
    .unwrap();
}

#[test]
fn every_refusal_has_a_text() {
    let all = [
        (Refused::Finished, "finished"),
        (Refused::Main, "main"),
        (Refused::Current, "runs"),
        (Refused::Unwinding, "unwinding"),
        (Refused::Tracing, "trace hook"),
        (Refused::WrongType { expected: "A", sent: "B" }, "type A, not B"),
        (Refused::Cycle, "ancestor"),
        (Refused::OutOfMemory, "out of memory"),
    ];
    for (why, part) in all {
        assert!(why.to_string().contains(part), "{why}");
        let error = SwitchError::Refused(why, 5);
        assert_eq!(error.to_string(), format!("switch refused: {why}"));
        assert_eq!(format!("{error:?}"), format!("Refused({why:?})"));
        let _: &dyn Error = &error;
    }
    let thrown = SwitchError::<u8>::Thrown(Box::new("boom"));
    assert_eq!(
        (thrown.to_string(), format!("{thrown:?}")),
        ("thrown: boom".into(), "Thrown(\"boom\")".into())
    );
}

#[test]
fn a_payload_has_a_text_where_it_is_one() {
    let texts: [(Payload, &str); 5] = [
        (Box::new("static"), "static"),
        (Box::new(String::from("owned")), "owned"),
        (Box::new(OutOfMemory), "out of memory"),
        (
            Box::new(WrongResult { expected: "A", returned: "B" }),
            "a greenlet returned a value of another type than its parent waits for",
        ),
        (Box::new(5u8), "a payload that is not a string"),
    ];
    for (payload, text) in texts {
        assert_eq!(payload_text(&payload), text);
    }
    let child = spawn(|()| {
        let payload = caught(|| main().switch(()));
        assert_eq!(payload_text(&payload), "the greenlet was killed");
        assert_eq!(payload.downcast::<Killed>().unwrap().to_string(), "the greenlet was killed");
    });
    child.switch(());
    child.kill().unwrap();
}

#[test]
fn raise_of_a_refusal_drops_the_value_and_panics_with_the_reason() {
    let drops = common::Drops::new();
    let error = SwitchError::Refused(Refused::Finished, drops.token());
    let message = caught(|| -> () { error.raise() });
    assert_eq!(payload_text(&message), "switch refused: the greenlet has finished");
    assert_eq!(drops.count(), 1);
    let again = caught(|| -> () { SwitchError::<()>::Thrown(Box::new(1u8)).raise() });
    assert_eq!(*again.downcast::<u8>().unwrap(), 1);
}
