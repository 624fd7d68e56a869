//! Allocation: none in a switch between greenlets that have run before, and every one that fails is an error value that
//! leaves everything as it was.
#![cfg(feature = "std")]

#[path = "common/allocator.rs"]
mod allocator;
mod common;

use allocator::{Counting, allocations, fail, failed, succeed};
use common::{
    Drops, Later, OnDrop, deep, generator, main, overwrite, refused, spawn, spawn_under, thrown,
};
use greenlet::tasklet::{self, Channel, ReceiveError, Select, SendError, WaitError};
use greenlet::{
    AnyGreenlet, Greenlet, OutOfMemory, Refused, SwitchError, WrongResult, prepare_thread,
};
use std::cell::Cell;
use std::fmt::Debug;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// Nothing is allocated.

/// Two greenlets that switch to each other from `depth` calls down, main looking on after each round.
#[track_caller]
fn pair_allocates_nothing(a_depth: usize, b_depth: usize) {
    let peer = Later::<Greenlet>::new();
    let a = spawn({
        let peer = peer.clone();
        move |()| -> () {
            let peer = peer.get();
            loop {
                deep(a_depth, || peer.switch(()));
                main().switch(());
            }
        }
    });
    peer.set(spawn({
        let a = a.clone();
        move |()| -> () {
            loop {
                deep(b_depth, || a.switch(()));
            }
        }
    }));
    let (a, b) = (a.typed::<(), ()>(), peer.get());
    for _ in 0..40 {
        a.switch(()); // buffers find their size
    }
    let mut saved = (0, 0);
    let count = allocations(|| {
        for _ in 0..500 {
            a.switch(());
            saved.0 += a.saved_bytes();
            saved.1 += b.saved_bytes();
        }
    });
    assert!(saved.0 + saved.1 > 0, "slices are really being saved");
    assert_eq!(count, 0, "allocations in 2000 switches");
    a.kill().unwrap();
    b.kill().unwrap();
    peer.take();
}

#[test]
fn switches_between_greenlets_that_have_run_before_allocate_nothing() {
    pair_allocates_nothing(0, 0);
    pair_allocates_nothing(5, 50);
    pair_allocates_nothing(30, 1);
}

#[test]
fn switches_among_many_greenlets_of_different_depths_allocate_nothing() {
    let greenlets: Vec<Greenlet<u64, u64>> = (0..30)
        .map(|n| {
            let back = Greenlet::<u64, u64>::current();
            spawn(move |mut value: u64| {
                loop {
                    value = deep(n % 11, || back.switch(value + 1));
                }
            })
        })
        .collect();
    let round = || greenlets.iter().for_each(|greenlet| assert_eq!(greenlet.switch(7), 8));
    (0..40).for_each(|_| round());
    let saved: usize = greenlets.iter().map(|greenlet| greenlet.saved_bytes()).sum();
    assert!(saved > 0);
    assert_eq!(allocations(|| (0..20).for_each(|_| round())), 0);
}

#[test]
fn a_generator_that_has_begun_allocates_nothing() {
    let mut numbers = generator(|out| (0..u64::MAX).for_each(|n| out.yield_(n)));
    numbers.next();
    assert_eq!(allocations(|| assert_eq!(numbers.by_ref().take(1000).last(), Some(1000))), 0);
}

#[test]
fn a_large_value_is_allocated_for_once() {
    let back = Greenlet::<[u8; 3000], [u8; 3000]>::current();
    let echo = spawn(move |mut value: [u8; 3000]| -> [u8; 3000] {
        loop {
            value = back.switch(value);
        }
    });
    echo.switch([0; 3000]);
    let count = allocations(|| {
        for n in 1..100 {
            assert_eq!(echo.switch([n; 3000])[2999], n);
        }
    });
    assert_eq!(count, 0);
}

#[test]
fn beginning_a_greenlet_allocates_no_slice() {
    spawn(|()| ()).switch(()); // the stack
    let count = allocations(|| {
        for _ in 0..100 {
            spawn(|()| ()).switch(());
        }
    });
    assert_eq!(count, 100, "one object each");
}

#[test]
fn a_throw_that_is_taken_as_a_value_allocates_nothing() {
    let child = spawn(|()| while thrown(main().try_switch(())).is::<()>() {});
    child.switch(());
    assert_eq!(allocations(|| (0..100).for_each(|_| child.throw(Box::new(())))), 0);
}

// Every allocation fails in turn.

/// What is armed for each step of a scenario: the `n`th allocation in it fails.
#[derive(Clone, Copy, Debug)]
struct Plan {
    step: usize,
    n: usize,
    for_ever: bool,
}

struct Scenario {
    plan: Plan,
    step: usize,
    /// The allocation that was to fail has been reached.
    hit: bool,
}

impl Scenario {
    /// One operation, which is tried again when it says that there was no memory.
    fn step<T, E>(&mut self, mut operation: impl FnMut() -> Result<T, E>) -> T
    where
        E: IsOutOfMemory + Debug,
    {
        let armed = self.step == self.plan.step;
        self.step += 1;
        if armed {
            let before = failed();
            fail(self.plan.n, self.plan.for_ever);
            let outcome = operation();
            succeed();
            self.hit = failed() > before;
            match outcome {
                Ok(value) => return value, // it could do without
                Err(error) => assert!(self.hit && error.is(), "{error:?}, {:?}", self.plan),
            }
        }
        operation().unwrap_or_else(|error| panic!("{error:?}, {:?}", self.plan))
    }
}

trait IsOutOfMemory {
    fn is(&self) -> bool;
}

impl IsOutOfMemory for Refused {
    fn is(&self) -> bool {
        *self == Refused::OutOfMemory
    }
}

impl IsOutOfMemory for OutOfMemory {
    fn is(&self) -> bool {
        true
    }
}

impl<T> IsOutOfMemory for SendError<T> {
    fn is(&self) -> bool {
        matches!(self, SendError::Refused(_, Refused::OutOfMemory))
    }
}

impl IsOutOfMemory for ReceiveError {
    fn is(&self) -> bool {
        matches!(self, ReceiveError::Refused(Refused::OutOfMemory))
    }
}

impl IsOutOfMemory for WaitError {
    fn is(&self) -> bool {
        matches!(self, WaitError::Refused(Refused::OutOfMemory))
    }
}

/// A switch's error, its value compared and taken off.
fn without_value<T, V: PartialEq + Debug>(
    answer: Result<T, SwitchError<V>>,
    sent: &V,
) -> Result<T, Refused> {
    answer.map_err(|error| match error {
        SwitchError::Refused(why, value) => {
            assert_eq!(value, *sent, "the value comes back");
            why
        }
        SwitchError::Thrown(payload) => panic!("thrown: {}", greenlet::payload_text(&payload)),
    })
}

/// Adds up what it is sent, from different depths; finishes when it is sent 0.
fn adder(depth: usize) -> impl FnOnce(u64) -> u64 {
    move |first| {
        let main = AnyGreenlet::main().typed::<u64, u64>();
        let mut sum = first;
        for round in 0.. {
            match deep(depth + round % 3, || main.switch(sum)) {
                0 => break,
                more => sum += more,
            }
        }
        sum
    }
}

/// Create, begin, switch, send much, throw, kill, drop and finish. Says whether the planned failure was reached, and
/// how many steps there were.
fn life(plan: Plan) -> (bool, usize) {
    let mut scenario = Scenario { plan, step: 0, hit: false };
    let drops = Drops::new();
    let here = AnyGreenlet::current();

    let make = |depth| {
        let mut body = Some(adder(depth));
        move || {
            // SAFETY: nothing points into the frames of `adder`.
            unsafe { Greenlet::try_new(&AnyGreenlet::main(), body.take().unwrap()) }.map_err(
                |(error, back)| {
                    body = Some(back);
                    error
                },
            )
        }
    };
    let adders: Vec<Greenlet<u64, u64>> =
        [0, 4, 12].iter().map(|depth| scenario.step(make(*depth))).collect();
    for n in 1..=4 {
        for adder in &adders {
            let sum = scenario.step(|| without_value(adder.try_switch(n), &n));
            assert_eq!(sum, n * (n + 1) / 2);
        }
    }

    // A large value, there and back, from deeper.
    let large = spawn(|first: [u16; 400]| {
        let second = main().typed::<[u16; 400], [u16; 500]>().switch(first);
        deep(20, || main().typed::<[u16; 500], ()>().switch(second));
    });
    let large = large.typed::<[u16; 400], [u16; 400]>();
    assert_eq!(scenario.step(|| without_value(large.try_switch([3; 400]), &[3; 400])), [3; 400]);
    let large = large.typed::<[u16; 500], [u16; 500]>();
    assert_eq!(scenario.step(|| without_value(large.try_switch([5; 500]), &[5; 500])), [5; 500]);

    // A throw that is taken as a value.
    let catches = spawn(|()| thrown(main().try_switch(())).is::<()>());
    catches.typed::<(), ()>().switch(());
    let answer: bool = scenario.step(|| {
        catches.try_throw(Box::new(())).map_err(|error| match error {
            SwitchError::Refused(why, payload) => {
                assert!(payload.is::<()>(), "the payload comes back");
                why
            }
            SwitchError::Thrown(_) => panic!("thrown"),
        })
    });
    assert!(answer);

    // Kills, of one that is saved and of one that is not.
    let token = drops.token();
    let victims = [0, 15].map(|depth| {
        let token = (depth == 0).then(|| drops.token());
        let victim = spawn(move |()| {
            let _token = token;
            deep(depth, || main().switch(()));
        });
        victim.switch(());
        victim
    });
    for victim in &victims {
        scenario.step(|| victim.kill());
        assert!(victim.is_finished());
    }
    assert_eq!(drops.count(), 1);
    drop(token);

    // The adders are as they were.
    overwrite(3);
    for (n, adder) in adders.iter().enumerate() {
        assert_eq!(adder.switch(5), 15);
        let sum = scenario.step(|| without_value(adder.try_switch(0), &0));
        assert_eq!(sum, 15, "adder {n}");
        assert!(adder.is_finished());
    }
    large.typed::<(), ()>().switch(());
    assert!(large.is_finished());
    assert_eq!(AnyGreenlet::current(), here);
    (scenario.hit, scenario.step)
}

/// The same of tasklets: main sends, receives, selects and waits for its turn while others run, who have all the memory
/// that they want.
fn tasklet_life(plan: Plan) -> (bool, usize) {
    let mut scenario = Scenario { plan, step: 0, hit: false };
    let (numbers, answers) = (Channel::<u64>::new(), Channel::<u64>::new());
    let begun = Rc::new(Cell::new(0));
    let tasklets: Vec<_> = (0..3)
        .map(|n| {
            let (numbers, answers, begun) = (numbers.clone(), answers.clone(), begun.clone());
            // SAFETY: nothing points into the frames of the closure.
            unsafe {
                tasklet::spawn(move || {
                    succeed();
                    begun.set(begun.get() + 1);
                    let number = deep(n * 5, || numbers.receive());
                    succeed();
                    let sent = answers.send(number.unwrap() + n as u64);
                    succeed();
                    sent.unwrap();
                    tasklet::schedule();
                    succeed();
                    n
                })
            }
        })
        .collect();
    scenario.step(tasklet::try_schedule);
    assert_eq!(begun.get(), 3);
    let mut sum = 0;
    for n in 0..2 {
        scenario.step(|| match numbers.send(10 * n) {
            Err(SendError::Refused(value, why)) => {
                assert_eq!(value, 10 * n, "the value comes back");
                Err(SendError::Refused((), why))
            }
            sent => sent.map_err(|error| panic!("{error:?}")),
        });
        sum += scenario.step(|| answers.receive());
    }
    let nobody = Channel::<u64>::new();
    // To make a select takes memory without which the process ends; so that is done before.
    let sends = || {
        let select = Select::new().send(&numbers, 20, |sent| sent.unwrap());
        select.receive(&nobody, |_| panic!("nobody sends"))
    };
    let mut select = Some(sends());
    scenario.step(|| select.take().unwrap_or_else(sends).wait());
    let receives = || {
        let select = Select::new().receive(&nobody, |_| panic!("nobody sends"));
        select.receive(&answers, |answer| answer.unwrap())
    };
    let mut select = Some(receives());
    sum += scenario.step(|| select.take().unwrap_or_else(receives).wait());
    assert_eq!(sum, 10 + 20 + 1 + 2);
    // Somebody who comes only when main waits.
    let (late, later) = (Channel::<u64>::new(), Channel::<u64>::new());
    let (a, b) = (late.clone(), later.clone());
    // SAFETY: nothing points into the frames of the closure.
    let last = unsafe {
        tasklet::spawn(move || {
            succeed();
            a.send(5).unwrap();
            tasklet::schedule();
            assert_eq!(b.receive().unwrap(), 6);
        })
    };
    assert_eq!(scenario.step(|| late.receive()), 5);
    scenario.step(|| later.send(6));
    // To note who waits for an end takes memory without which the process ends.
    last.wait().unwrap();
    for (n, tasklet) in tasklets.into_iter().enumerate() {
        assert_eq!(tasklet.join().unwrap(), n);
    }
    (scenario.hit, scenario.step)
}

#[test]
fn every_allocation_that_fails_among_tasklets_is_reported_and_all_else_goes_on() {
    every_failure(tasklet_life, 8);
}

#[test]
fn every_allocation_that_fails_is_reported_with_the_value_and_all_else_goes_on() {
    every_failure(life, 20);
}

/// Lets every allocation in every step of a scenario fail in turn, alone and with all that come after it.
fn every_failure(life: fn(Plan) -> (bool, usize), least: usize) {
    // A new thread each time, so that the stack and the buffers are new, too.
    let in_a_thread = |plan| std::thread::spawn(move || life(plan)).join().unwrap();
    let nothing_fails = Plan { step: usize::MAX, n: 0, for_ever: false };
    let (_, steps) = in_a_thread(nothing_fails);
    let mut hits = 0;
    for for_ever in [false, true] {
        for step in 0..steps {
            for n in 0.. {
                if !in_a_thread(Plan { step, n, for_ever }).0 {
                    break;
                }
                hits += 1;
            }
        }
    }
    println!("{hits} failures in {steps} steps");
    assert!(hits >= least, "{hits} failures in {steps} steps");
}

#[test]
fn a_greenlet_for_which_there_is_no_memory_gives_its_closure_back() {
    let drops = Drops::new();
    let token = drops.token();
    let parent = AnyGreenlet::current();
    let body = move |()| drop(token);
    fail(0, false);
    // SAFETY: nothing points into the frames of the closure.
    let made = unsafe { Greenlet::try_new(&parent, body) };
    succeed();
    let Err((OutOfMemory, body)) = made else { panic!("it was made") };
    assert_eq!(drops.count(), 0);
    body(());
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_refused_switch_leaves_the_running_and_the_other_greenlets_as_they_were() {
    // The switch that fails is inside a greenlet, deep down, with others saved in part.
    let first = spawn(|()| deep(8, || main().switch(())));
    first.switch(());
    let second = spawn({
        let first = first.clone();
        move |()| {
            deep(25, || {
                let pattern = black_box([0x55aau16; 100]);
                fail(0, true);
                let answer = first.try_switch(());
                succeed();
                assert_eq!(refused(answer).0, Refused::OutOfMemory);
                assert_eq!(black_box(pattern), [0x55aa; 100]);
                overwrite(2);
                assert_eq!(black_box(pattern), [0x55aa; 100]);
                main().switch(());
                assert_eq!(black_box(pattern), [0x55aa; 100]);
            })
        }
    });
    second.switch(());
    overwrite(50);
    second.switch(());
    first.switch(());
    assert!(first.is_finished() && second.is_finished());
}

// The last switch of a greenlet, which cannot be refused.

/// Main begins `upper`, which begins `middle` below its own frames, which begins `last` below those. `upper` is the parent of
/// `last`: so when `last` ends, `middle` has to be saved.
struct Three<T: 'static> {
    upper: Greenlet<T, ()>,
    middle: Greenlet<u32, ()>,
    last: Greenlet<(), T>,
}

/// `last` returns this, and `upper` does that with it.
fn three<T: 'static>(result: T, received: fn(T)) -> Three<T> {
    let (upper, middle) = (Later::<Greenlet<T, ()>>::new(), Later::<Greenlet<u32, ()>>::new());
    let last = spawn(|()| {
        main().switch(());
        result
    });
    middle.set({
        let last = last.typed::<(), u32>();
        spawn(move |_: u32| {
            let answer = deep(10, || last.switch(()));
            assert_eq!(answer, 22);
        })
    });
    let begin = {
        let middle = middle.get().typed::<u32, T>();
        spawn(move |()| received(deep(10, || middle.switch(0))))
    };
    upper.set(begin.typed());
    last.set_parent(&begin).unwrap();
    begin.switch(());
    assert!(last.is_active() && middle.get().is_active() && upper.get().is_active());
    assert_eq!(middle.get().saved_bytes() + upper.get().saved_bytes(), 0);
    Three { upper: upper.get(), middle: middle.get(), last }
}

fn is_eleven(answer: u32) {
    assert_eq!(answer, 11);
}

#[test]
fn the_result_of_a_last_switch_that_has_the_memory_arrives() {
    let Three { upper, middle, last } = three(11, is_eleven);
    last.typed::<(), ()>().switch(());
    assert!(upper.is_finished() && middle.is_active());
    middle.switch(22);
    assert!(middle.is_finished());
}

#[test]
fn a_last_switch_for_which_there_is_no_memory_carries_the_error_to_an_ancestor_that_needs_none() {
    let Three { upper, middle, last } = three(11, is_eleven);
    fail(0, true);
    let answer = last.typed::<(), ()>().try_switch(());
    succeed();
    assert!(thrown(answer).is::<OutOfMemory>());
    assert!(last.is_finished());
    // The others are as they were: each waits for its number still.
    assert!(upper.is_active() && middle.is_active());
    upper.switch(11);
    middle.switch(22);
    assert!(upper.is_finished() && middle.is_finished());
}

#[test]
fn a_result_for_which_there_is_no_last_switch_is_dropped_where_the_error_arrives() {
    let drops = Drops::new();
    let token = drops.token();
    let seen = drops.clone();
    let here = AnyGreenlet::current();
    // It may switch.
    let other = spawn(|()| ());
    let switches = OnDrop(move || {
        succeed();
        assert!(here.is_current());
        other.switch(());
        assert!(other.is_finished());
    });
    let result = (token, switches);
    let Three { upper, middle, last } = three(result, |_| panic!("it arrived"));
    fail(0, true);
    let answer = last.typed::<(), ()>().try_switch(());
    succeed();
    assert!(thrown(answer).is::<OutOfMemory>());
    assert_eq!(seen.count(), 1);
    assert!(last.is_finished() && upper.is_active() && middle.is_active());
    drop(upper);
    middle.switch(22);
}

#[test]
fn a_panic_that_finds_no_memory_for_its_last_switch_goes_on_in_an_ancestor_that_needs_none() {
    let Three { upper, middle, last } = three(11, is_eleven);
    fail(0, true);
    let answer = last.typed::<(), ()>().try_throw(Box::new(()));
    succeed();
    assert!(thrown(answer).is::<()>(), "its own payload");
    assert!(last.is_finished());
    upper.switch(11);
    middle.switch(22);
    assert!(upper.is_finished() && middle.is_finished());
}

#[test]
fn a_result_too_large_for_the_memory_is_dropped_and_its_parent_told() {
    let drops = Drops::new();
    let token = drops.token();
    // On a thread that has carried nothing large before.
    let child = spawn(move |()| (token, [1u64; 5000]));
    fail(0, false);
    let answer = child.try_switch(());
    succeed();
    let Err(SwitchError::Thrown(payload)) = answer else { panic!("it arrived") };
    assert!(payload.is::<OutOfMemory>());
    assert!(child.is_finished());
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_drop_for_which_there_is_no_memory_gives_up_the_frames_and_goes_on() {
    let drops = Drops::new();
    let inside = drops.token();
    let victim = spawn(move |()| {
        let _token = inside;
        main().switch(());
    });
    victim.switch(());
    let outer = spawn_under(&AnyGreenlet::main(), move |()| {
        deep(30, || {
            fail(0, true);
            drop(victim);
            succeed();
        });
        7
    });
    assert_eq!(outer.switch(()), 7);
    assert!(drops.count() <= 1);
}

#[test]
fn the_error_of_a_wrong_result_needs_no_memory() {
    let child = spawn(|()| 5u8);
    // Main waits for another type than the child returns.
    let child = child.typed::<(), u16>();
    fail(0, true);
    let answer = child.try_switch(());
    succeed();
    let payload = thrown(answer);
    assert!(payload.is::<OutOfMemory>() && !payload.is::<WrongResult>());
    assert!(child.is_finished());
}

// A thread's first use, and its end.

#[test]
fn a_thread_for_whose_state_there_is_no_memory_is_told_so_and_can_try_again() {
    std::thread::spawn(|| {
        for for_ever in [false, true] {
            fail(0, for_ever);
            let answer = prepare_thread();
            succeed();
            assert_eq!(answer, Err(OutOfMemory));
        }
        assert_eq!(prepare_thread(), Ok(()));
        assert_eq!(greenlet::set_stack_size(1 << 20).map_err(|_| ()), Err(()), "it has its stack");
        assert_eq!(spawn(|n: u8| n + 1).switch(1), 2);
    })
    .join()
    .unwrap();
}

#[test]
fn a_thread_without_memory_ends_its_greenlets_all_the_same() {
    struct Counts(Arc<AtomicUsize>);
    impl Drop for Counts {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let drops = Arc::new(AtomicUsize::new(0));
    let count = drops.clone();
    std::thread::spawn(move || {
        for depth in [0, 9, 3] {
            let token = Counts(count.clone());
            let child = spawn(move |()| {
                let _token = token;
                deep(depth, || main().switch(()));
            });
            child.switch(());
            std::mem::forget(child);
        }
        fail(0, true);
    })
    .join()
    .unwrap();
    assert_eq!(drops.load(SeqCst), 3);
}
