//! Generators: closures that yield from any depth, as iterators.
#![cfg(feature = "std")]

mod common;
use common::{
    Drops, Later, caught, deep, generator, main, overwrite, panic_with, spawn, thrown_text,
};
use greenlet::{AnyGreenlet, Generator, Greenlet, Refused, Yielder, payload_text};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

#[test]
fn a_generator_yields_what_its_closure_yields_and_then_nothing_for_ever() {
    let mut numbers = generator(|out| (1..=3).for_each(|n| out.yield_(n)));
    assert_eq!(numbers.by_ref().collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((numbers.next(), numbers.next()), (None, None));
    assert_eq!(generator(|_: &Yielder<u8>| ()).next(), None);
}

#[test]
fn a_generator_begins_at_the_first_next() {
    let begun = Rc::new(Cell::new(false));
    let flag = begun.clone();
    let mut one = generator(move |out| {
        flag.set(true);
        out.yield_(());
    });
    assert!(!begun.get() && !one.greenlet().is_started());
    one.next();
    assert!(begun.get() && one.greenlet().is_active());
}

enum Tree {
    Leaf(u32),
    Node(Vec<Tree>),
}

fn tree(depth: u32, next: &mut u32) -> Tree {
    if depth == 0 {
        *next += 1;
        Tree::Leaf(*next)
    } else {
        Tree::Node((0..3).map(|_| tree(depth - 1, next)).collect())
    }
}

fn walk(tree: &Tree, out: &Yielder<u32>) {
    match tree {
        Tree::Leaf(value) => out.yield_(*value),
        Tree::Node(children) => children.iter().for_each(|child| walk(child, out)),
    }
}

#[test]
fn a_recursive_walk_is_an_iterator() {
    let tree = tree(6, &mut 0);
    let leaves = generator(move |out| walk(&tree, out));
    assert!(leaves.eq(1..=3u32.pow(6)));
}

#[test]
fn two_walks_go_side_by_side() {
    let make = || {
        let tree = tree(5, &mut 0);
        generator(move |out| walk(&tree, out))
    };
    assert!(make().zip(make().skip(1)).all(|(a, b)| a + 1 == b));
}

#[test]
fn generators_nest() {
    let inner = |n: u32| generator(move |out: &Yielder<u32>| (0..n).for_each(|i| out.yield_(i)));
    let outer = generator(move |out: &Yielder<u32>| {
        for i in 0..4 {
            for j in inner(i) {
                out.yield_(10 * i + j);
            }
        }
    });
    assert_eq!(outer.collect::<Vec<_>>(), [10, 20, 21, 30, 31, 32]);
}

#[test]
fn generators_nest_recursively() {
    fn numbers(low: u32, high: u32) -> Generator<u32> {
        generator(move |out| {
            if high - low == 1 {
                out.yield_(low);
            } else {
                let middle = (low + high) / 2;
                numbers(low, middle).for_each(|n| out.yield_(n));
                numbers(middle, high).for_each(|n| out.yield_(n));
            }
        })
    }
    assert!(numbers(0, 64).eq(0..64));
}

#[test]
fn values_are_moved_and_dropped_once() {
    let drops = Drops::new();
    let source = drops.clone();
    let mut tokens = generator(move |out| {
        for _ in 0..10 {
            out.yield_((source.token(), [0u8; 200]));
        }
    });
    let two = (tokens.next(), tokens.next());
    assert_eq!(drops.count(), 0);
    drop(two);
    assert_eq!(drops.count(), 2);
    assert_eq!(tokens.count(), 8);
    assert_eq!(drops.count(), 10);
}

#[test]
fn dropping_a_generator_runs_the_destructors_in_its_frames() {
    let drops = Drops::new();
    let token = drops.token();
    let mut endless = generator(move |out| {
        let _token = token;
        deep(10, || {
            loop {
                out.yield_(1)
            }
        })
    });
    assert_eq!(endless.by_ref().take(5).sum::<i32>(), 5);
    assert_eq!(drops.count(), 0);
    drop(endless);
    assert_eq!(drops.count(), 1);
}

#[test]
fn dropping_a_generator_that_has_not_begun_drops_its_closure() {
    let drops = Drops::new();
    let token = drops.token();
    drop(generator(move |out| out.yield_(token)));
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_panic_in_the_closure_goes_on_in_whoever_asked() {
    let mut bad = generator(|out: &Yielder<u8>| {
        out.yield_(1);
        panic_with("boom")
    });
    assert_eq!(bad.next(), Some(1));
    assert_eq!(payload_text(&caught(|| bad.next())), "boom");
    assert_eq!(bad.next(), None);

    let mut bad = generator(|_: &Yielder<u8>| panic_with("boom"));
    let asks = spawn(move |()| bad.next());
    assert_eq!(thrown_text(asks.try_switch(())), "boom");
}

#[test]
fn a_generator_can_be_asked_by_different_greenlets_in_turn() {
    let numbers =
        Rc::new(RefCell::new(generator(|out| (0..100).for_each(|n| deep(5, || out.yield_(n))))));
    let ask = |numbers: &Rc<RefCell<Generator<u32>>>| {
        let numbers = numbers.clone();
        spawn(move |()| numbers.borrow_mut().next())
    };
    for n in 0..50 {
        assert_eq!(ask(&numbers).switch(()), Some(2 * n));
        overwrite(10);
        assert_eq!(numbers.borrow_mut().next(), Some(2 * n + 1));
    }
    assert_eq!(ask(&numbers).switch(()), None);
}

#[test]
fn a_generator_in_a_greenlets_frames_does_not_keep_that_greenlet() {
    let drops = Drops::new();
    let (a, b) = (drops.token(), drops.token());
    let owner = spawn(move |()| {
        let _a = a;
        let mut inner = generator(move |out| {
            let _b = b;
            loop {
                out.yield_(1)
            }
        });
        assert_eq!(inner.next(), Some(1));
        main().switch(());
        inner.next();
    });
    owner.switch(());
    assert_eq!(drops.count(), 0);
    drop(owner);
    assert_eq!(drops.count(), 2);
}

#[test]
fn a_generator_that_is_asked_from_within_itself_panics() {
    let me = Rc::new(RefCell::new(None::<Generator<u8>>));
    let inside = me.clone();
    *me.borrow_mut() = Some(generator(move |out| {
        // SAFETY: the cell's borrow is shared with nobody who runs; what `next` does is what is tested.
        let this = unsafe { &mut *inside.as_ptr() };
        let payload = caught(|| this.as_mut().unwrap().next());
        assert!(payload_text(&payload).contains("by itself"), "{}", payload_text(&payload));
        out.yield_(5);
    }));
    // SAFETY: as above.
    let this = unsafe { &mut *me.as_ptr() };
    assert_eq!(this.as_mut().unwrap().next(), Some(5));
    assert_eq!(this.as_mut().unwrap().next(), None);
    me.take();
}

#[test]
fn a_generator_that_is_asked_by_a_child_of_its_own_panics() {
    let me = Later::<Rc<RefCell<Generator<u8>>>>::new();
    let inside = me.clone();
    me.set(Rc::new(RefCell::new(generator(move |out| {
        let generator = inside.get();
        let child = spawn(move |()| {
            // SAFETY: as above.
            let this = unsafe { &mut *generator.as_ptr() };
            let payload = caught(|| this.next());
            assert!(payload_text(&payload).contains("child of it"));
        });
        child.switch(());
        out.yield_(1);
    }))));
    // SAFETY: as above.
    assert_eq!(unsafe { &mut *me.get().as_ptr() }.next(), Some(1));
    me.take();
}

#[test]
fn a_generator_may_switch_to_others_between_its_values() {
    let helper = spawn(|first: Greenlet<u32, ()>| {
        let mut n = 0;
        let mut to = first;
        loop {
            n += 1;
            to.switch(n);
            to = to.clone();
        }
    });
    let mut numbers = generator(move |out| {
        let me = Greenlet::<u32, ()>::current();
        let mut n = helper.typed::<Greenlet<u32, ()>, u32>().switch(me);
        loop {
            out.yield_(n);
            n = helper.typed::<(), u32>().switch(());
        }
    });
    assert_eq!(numbers.by_ref().take(5).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
}

#[test]
fn nobody_but_next_can_resume_a_generator_with_a_value() {
    let mut numbers = generator(|out| (0..u64::MAX).for_each(|n| out.yield_(n)));
    assert_eq!(numbers.next(), Some(0));
    let (why, ()) = common::refused(numbers.greenlet().typed::<(), ()>().try_switch(()));
    assert!(matches!(why, Refused::WrongType { .. }), "{why}");
    assert_eq!(numbers.next(), Some(1));
}

#[test]
fn a_throw_into_a_generator_ends_it() {
    let drops = Drops::new();
    let token = drops.token();
    let mut numbers = generator(move |out| {
        let _token = token;
        (0..u64::MAX).for_each(|n| out.yield_(n));
    });
    assert_eq!(numbers.next(), Some(0));
    let into = numbers.greenlet().typed::<(), ()>();
    let payload = common::thrown(into.try_throw(Box::new("stop")));
    assert_eq!(payload_text(&payload), "stop");
    assert_eq!(drops.count(), 1);
    assert_eq!(numbers.next(), None);
}

#[test]
fn a_yield_to_a_parent_that_waits_for_something_else_panics_in_the_generator() {
    let waits_for_text = spawn(|()| -> () {
        AnyGreenlet::main().typed::<(), String>().switch(());
    });
    waits_for_text.switch(());
    let mut numbers = generator(|out: &Yielder<u8>| {
        AnyGreenlet::main();
        let payload = caught(|| out.yield_(1));
        assert!(payload_text(&payload).contains("waits for a value of type"));
    });
    // Whoever asks is the parent meanwhile; the closure gives itself another one.
    let parent: AnyGreenlet = waits_for_text.clone().into();
    let me = numbers.greenlet().clone();
    me.set_parent(&parent).unwrap();
    let payload = caught(|| numbers.next());
    // Its result is of no use to that parent either, which dies of it.
    assert!(payload.is::<greenlet::WrongResult>());
}

#[test]
fn a_generator_yields_while_its_consumer_grows_and_shrinks() {
    let mut numbers = generator(|out| (0..200usize).for_each(|n| deep(n % 13, || out.yield_(n))));
    let consumer = spawn(move |()| {
        for n in 0..200 {
            assert_eq!(deep((n * 7) % 31, || numbers.next()), Some(n));
        }
        numbers.next()
    });
    assert_eq!(consumer.switch(()), None);
}

#[test]
fn a_generator_is_debug() {
    let numbers = generator(|out: &Yielder<u8>| assert!(format!("{out:?}").contains("Yielder")));
    assert!(format!("{numbers:?}").starts_with("Generator(Greenlet("));
    assert_eq!(numbers.count(), 0);
}
