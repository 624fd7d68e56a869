//! Greenlets that exchange values of different types on one thread: nothing is confused, lost or dropped twice.
#![cfg(feature = "std")]

mod common;
use common::{
    Drops, Later, Token, caught, deep, main, overwrite, panic_with, refused, spawn, thrown,
};
use greenlet::{AnyGreenlet, Greenlet, Refused, WrongResult};
use std::fmt::Debug;

/// An echo: sends back what it is sent, for ever.
fn echo<T: 'static>() -> Greenlet<T, T> {
    let back = Greenlet::<T, T>::current();
    spawn(move |mut value: T| {
        loop {
            value = back.switch(value);
        }
    })
}

#[track_caller]
fn comes_back<T: Clone + PartialEq + Debug + 'static>(value: T) {
    let echo = echo();
    for _ in 0..3 {
        assert_eq!(echo.switch(value.clone()), value);
        overwrite(3);
    }
}

#[test]
fn values_of_every_size_come_back_as_they_were() {
    comes_back(());
    comes_back(true);
    comes_back('x');
    comes_back(u128::MAX / 3);
    comes_back((1u8, 2u64, 3u16));
    comes_back(Some(Box::new(5)));
    comes_back(String::from("text"));
    comes_back(f64::MIN_POSITIVE);
    comes_back([0x5au8; 63]);
    comes_back([0x5au8; 64]);
    comes_back([0x5au8; 65]);
    comes_back([7u64; 500]);
    comes_back(vec![vec![1], vec![2, 3]]);
}

#[test]
fn values_of_every_alignment_are_aligned_where_they_arrive() {
    macro_rules! aligned {
        ($($align:literal)*) => { $({
            #[derive(Clone, PartialEq, Debug)]
            #[repr(align($align))]
            struct Aligned(u8);
            #[derive(Clone, PartialEq, Debug)]
            #[repr(align($align))]
            struct Empty;
            comes_back(Aligned(7));
            comes_back([Aligned(1), Aligned(2), Aligned(3)]);
            comes_back(Empty);
            let child = spawn(|value: Aligned| {
                let first = (&raw const value).addr() % $align;
                let second = main().typed::<usize, Aligned>().switch(first);
                (&raw const second).addr() % $align
            });
            assert_eq!(child.switch(Aligned(1)), 0);
            assert_eq!(child.switch(Aligned(2)), 0);
        })* };
    }
    aligned!(2 4 8 16 32 64 128 1024 4096);
}

#[test]
fn greenlets_of_different_types_are_suspended_side_by_side() {
    let text = spawn(|first: String| {
        let second = main().typed::<usize, String>().switch(first.len());
        format!("{first}{second}")
    });
    let number = spawn(|first: u64| {
        let second = main().typed::<String, u64>().switch(first.to_string());
        (first, second)
    });
    let nothing = spawn(|()| main().switch(()));
    let array = spawn(|first: [u8; 300]| {
        let second = main().typed::<u8, [u8; 300]>().switch(first[299]);
        [first, second]
    });
    assert_eq!(text.typed::<String, usize>().switch("abc".into()), 3);
    assert_eq!(number.typed::<u64, String>().switch(17), "17");
    nothing.switch(());
    assert_eq!(array.typed::<[u8; 300], u8>().switch([3; 300]), 3);

    // Each is sent what the others wait for, and refuses it.
    assert!(matches!(
        refused(text.typed::<u64, String>().try_switch(1)).0,
        Refused::WrongType { .. }
    ));
    assert!(matches!(
        refused(number.typed::<String, ()>().try_switch("x".into())).0,
        Refused::WrongType { expected: "u64", .. }
    ));
    let (why, value) = refused(nothing.typed::<[u8; 300], ()>().try_switch([9; 300]));
    assert_eq!(why, Refused::WrongType { expected: "()", sent: "[u8; 300]" });
    assert_eq!(value, [9; 300]);

    assert_eq!(array.typed::<[u8; 300], [[u8; 300]; 2]>().switch([4; 300])[1], [4; 300]);
    nothing.switch(());
    assert_eq!(number.switch(18), (17, 18));
    assert_eq!(text.switch("def".into()), "abcdef");
}

#[test]
fn types_of_the_same_layout_are_not_confused() {
    #[derive(Debug)]
    struct Meters(f64);
    #[derive(Debug)]
    struct Seconds(f64);
    let child = spawn(|meters: Meters| meters.0);
    let (why, seconds) = refused(child.typed::<Seconds, f64>().try_switch(Seconds(2.0)));
    assert!(matches!(why, Refused::WrongType { .. }));
    assert_eq!(seconds.0, 2.0);
    assert_eq!(child.switch(Meters(3.0)), 3.0);
    // Two references to functions, two kinds of text.
    let child = spawn(|text: &'static str| text.len());
    assert!(matches!(
        refused(child.typed::<&'static [u8], usize>().try_switch(b"bytes")).0,
        Refused::WrongType { .. }
    ));
}

#[test]
fn a_greenlet_waits_for_another_type_at_each_of_its_switches() {
    let child = spawn(|number: u32| {
        let text = main().typed::<u32, String>().switch(number);
        let list = main().typed::<String, Vec<u8>>().switch(text);
        main().typed::<Vec<u8>, ()>().switch(list);
        "end"
    });
    let child: &AnyGreenlet = &child;
    assert_eq!(child.typed::<u32, u32>().switch(5), 5);
    assert!(matches!(
        refused(child.typed::<u32, u32>().try_switch(6)).0,
        Refused::WrongType { .. }
    ));
    assert_eq!(child.typed::<String, String>().switch("text".into()), "text");
    assert_eq!(child.typed::<Vec<u8>, Vec<u8>>().switch(vec![1]), [1]);
    assert_eq!(child.typed::<(), &'static str>().switch(()), "end");
}

#[test]
fn a_parent_that_waits_for_another_type_is_thrown_wrong_result_in_its_own_switch() {
    let parent = spawn(|()| {
        let child = spawn(|()| 5u32);
        let wrong = thrown(child.typed::<(), String>().try_switch(()));
        *wrong.downcast::<WrongResult>().unwrap()
    });
    assert_eq!(
        parent.switch(()),
        WrongResult { expected: "alloc::string::String", returned: "u32" }
    );
}

#[test]
fn a_result_for_a_parent_that_has_not_begun_has_the_type_of_its_argument_or_is_wrong() {
    let drops = Drops::new();
    let token = drops.token();
    let parent = spawn(move |_: String| drop(token));
    let child = common::spawn_under(&parent, |()| 5u32);
    let wrong = thrown(child.typed::<(), ()>().try_switch(()));
    let wrong = wrong.downcast::<WrongResult>().unwrap();
    assert_eq!((wrong.expected, wrong.returned), ("alloc::string::String", "u32"));
    assert!(parent.is_finished(), "the payload passed it");
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_switch_that_waits_for_what_cannot_be_made_is_ended_by_a_throw_only() {
    let child = spawn(|()| {
        let answer = main().typed::<(), std::convert::Infallible>().try_switch(());
        *thrown(answer).downcast::<u8>().unwrap()
    });
    child.typed::<(), ()>().switch(());
    assert!(matches!(refused(child.typed::<(), u8>().try_switch(())).0, Refused::WrongType { .. }));
    assert_eq!(child.throw(Box::new(7u8)), 7);
}

#[test]
fn a_switch_to_itself_moves_the_value_through_unharmed() {
    let drops = Drops::new();
    let here = Greenlet::<(Token, [u8; 100]), (Token, [u8; 100])>::current();
    let (token, bytes) = here.switch((drops.token(), [6; 100]));
    assert_eq!((drops.count(), bytes), (0, [6; 100]));
    drop(token);
    assert_eq!(drops.count(), 1);
}

/// Every way that a value can take, with a value of `N` words that counts its drops.
fn values_are_dropped_once<const N: usize>() {
    type Value<const N: usize> = (Token, [usize; N]);
    let drops = Drops::new();
    let value = || -> Value<N> { (drops.token(), [N; N]) };
    let mut made = 0;
    let mut check = |more: usize, what: &str| {
        made += more;
        assert_eq!(drops.count(), made, "{what}, {N} words");
    };

    let echo = echo::<Value<N>>();
    let back = echo.switch(value());
    check(0, "sent there and back");
    drop(back);
    check(1, "dropped by the receiver");

    let (why, back) = refused(echo.typed::<(Value<N>, u8), Value<N>>().try_switch((value(), 0)));
    assert!(matches!(why, Refused::WrongType { .. }));
    check(0, "refused");
    drop(back);
    check(1, "given back");

    let panics = spawn(|value: Value<N>| -> () {
        let _value = value;
        panic_with("boom");
    });
    caught(|| panics.switch(value()));
    check(1, "unwound in the receiver");

    let suspended = spawn(|value: Value<N>| {
        let _value = value;
        deep(4, || main().switch(()));
    });
    suspended.switch(value());
    overwrite(20);
    check(0, "in a suspended greenlet");
    suspended.kill().unwrap();
    check(1, "killed");

    let finished = spawn(|value: Value<N>| value);
    drop(finished.switch(value()));
    check(1, "a result");
    caught(|| finished.switch(value()));
    check(1, "a switch that panics for it is refused");

    let wrong = spawn(|value: Value<N>| value);
    assert!(thrown(wrong.typed::<Value<N>, u8>().try_switch(value())).is::<WrongResult>());
    check(1, "a wrong result");

    drop(echo);
    check(0, "the echo had none");
}

#[test]
fn values_that_own_something_are_dropped_exactly_once() {
    values_are_dropped_once::<0>();
    values_are_dropped_once::<1>();
    values_are_dropped_once::<7>();
    values_are_dropped_once::<8>();
    values_are_dropped_once::<9>();
    values_are_dropped_once::<1000>();
}

#[test]
fn handles_can_be_sent_as_values() {
    let inner = spawn(|n: u32| n + 1);
    let child = spawn(|greenlet: Greenlet<u32, u32>| (greenlet.switch(1), greenlet));
    let slot = Later::new();
    // The inner one's result goes to its parent, which is main: so it is given another one.
    inner.set_parent(&child).unwrap();
    let (two, same) = child.switch(inner.clone());
    slot.set(same);
    assert_eq!((two, slot.get().id()), (2, inner.id()));
    assert!(inner.is_finished());
}

#[test]
fn closures_can_be_sent_as_values() {
    let child = spawn(|f: Box<dyn FnOnce() -> u32>| f());
    assert_eq!(child.switch(Box::new(|| 5)), 5);
}
