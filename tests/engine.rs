//! The engine: random programs against a model, and one test for each thing that it promises.
//!
//! `engine/program.rs` has the programs and the model, `engine/room.rs` their memory, `engine/promises.rs` the single tests.

#[path = "engine/program.rs"]
mod program;
#[path = "engine/promises.rs"]
mod promises;
#[path = "engine/room.rs"]
mod room;

use program::{GREENLETS, Misuse, Op, STACKS};
use proptest::prelude::*;
use proptest::sample::select;
use room::Room;
use std::sync::{Mutex, MutexGuard};

/// So small that it is nearly full at times.
const SECOND_STACK: usize = 64 << 10;

/// A program's state is one static: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn op() -> impl Strategy<Value = Op> {
    let who = || 0..GREENLETS as u8;
    let on = || 0..STACKS as u8;
    let lend = prop_oneof![5 => Just(0u16), 1 => 64u16..6000];
    let misuse = (0..Misuse::KINDS, who()).prop_map(|(kind, who)| Misuse::of_kind(kind, who));
    prop_oneof![
        15 => (0u8..4).prop_map(|size| Op::Deeper { size }),
        10 => Just(Op::Shallower),
        30 => (who(), any::<bool>()).prop_map(|(who, inline)| Op::Switch { who, inline }),
        20 => (who(), on(), any::<bool>(), lend)
            .prop_map(|(who, on, lean, lend)| Op::Start { who, on, lean, lend }),
        5 => who().prop_map(|who| Op::Finish { who }),
        2 => Just(Op::FinishAbove),
        3 => (who(), on()).prop_map(|(who, on)| Op::FinishAndStart { who, on }),
        3 => who().prop_map(|who| Op::Release { who }),
        5 => (0u8..3, 0u8..3).prop_map(|(after, times)| Op::Starve { after, times }),
        5 => misuse.prop_map(Op::Misuse),
    ]
}

/// The same on one stack, deep, and without refusals: long chains of stretches that overlap.
fn op_on_one_stack(on: u8) -> impl Strategy<Value = Op> {
    let who = || 0..GREENLETS as u8;
    prop_oneof![
        20 => (0u8..4).prop_map(|size| Op::Deeper { size }),
        15 => Just(Op::Shallower),
        40 => (who(), any::<bool>()).prop_map(|(who, inline)| Op::Switch { who, inline }),
        20 => (who(), prop::bool::weighted(0.7))
            .prop_map(move |(who, lean)| Op::Start { who, on, lean, lend: 0 }),
        3 => who().prop_map(|who| Op::Finish { who }),
        1 => who().prop_map(move |who| Op::FinishAndStart { who, on }),
        1 => who().prop_map(|who| Op::Release { who }),
    ]
}

fn check(ops: &[Op]) -> Result<(), TestCaseError> {
    let _alone = alone();
    let mut room = Room::new(SECOND_STACK);
    let host = room.host();
    match room.run_list(host, ops) {
        Ok(_) => Ok(()),
        Err(failure) => Err(TestCaseError::fail(format!("{failure:#?}"))),
    }
}

/// As many cases as usual or as `PROPTEST_CASES` says. A failing case is printed, not stored.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn random_programs_do_what_the_model_says(ops in prop::collection::vec(op(), 0..120)) {
        check(&ops)?;
    }

    #[test]
    fn random_programs_on_one_stack_do_what_the_model_says(
        ops in select(vec![0u8, 1, 2]).prop_flat_map(|on| prop::collection::vec(op_on_one_stack(on), 0..150))
    ) {
        check(&ops)?;
    }
}

fn built_in_programs(allocator: bool) {
    let mut room = Room::new(SECOND_STACK);
    let mut arrivals = 0;
    for seed in 1..=20 {
        let _alone = alone();
        let mut host = room.host();
        if !allocator {
            host.pool = std::ptr::null_mut();
        }
        let result = room.run_random(host, seed, 500);
        arrivals += result.unwrap_or_else(|failure| panic!("seed {seed}: {failure:#?}"));
    }
    assert!(arrivals > 2000, "only {arrivals} arrivals");
}

#[test]
fn programs_of_the_built_in_generator_do_what_the_model_says() {
    built_in_programs(true);
}

#[test]
fn programs_of_the_built_in_generator_do_what_the_model_says_without_an_allocator() {
    built_in_programs(false);
}
