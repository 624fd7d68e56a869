//! The engine: random programs against a model, and one test for each thing that it promises.
//!
//! `engine/program.rs` has the programs and the model, `engine/promises.rs` the single tests.

#[path = "engine/program.rs"]
mod program;
#[path = "engine/promises.rs"]
mod promises;

use program::{BLOCKS, GREENLETS, Host, Misuse, Op, STACKS, World};
use proptest::prelude::*;
use proptest::sample::select;
use std::mem::MaybeUninit;
use std::sync::{Mutex, MutexGuard};

/// The second is so small that it is nearly full at times.
const STACK_SIZES: [usize; 2] = [512 << 10, 64 << 10];
const BLOCK_SIZE: usize = 128 << 10;
const LEND_SIZE: usize = 8 << 10;

/// A program's state is one static: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// What a program needs of memory, on the heap.
struct Room {
    world: Box<MaybeUninit<World>>,
    blocks: Vec<Vec<u128>>,
}

impl Room {
    fn new() -> Room {
        let sizes = [STACK_SIZES[0], STACK_SIZES[1], BLOCKS * BLOCK_SIZE, GREENLETS * LEND_SIZE];
        let blocks = sizes.map(|size| vec![0; size / size_of::<u128>()]).into();
        Room { world: Box::new(MaybeUninit::uninit()), blocks }
    }

    fn host(&mut self) -> Host {
        let [one, two, pool, lend] = [0, 1, 2, 3].map(|i| self.blocks[i].as_mut_ptr().cast());
        let trace = std::env::var_os("GREENLET_TRACE").is_some();
        Host {
            stacks: [(one, STACK_SIZES[0]), (two, STACK_SIZES[1])],
            native_bottom: 0,
            // SPARC's windows are spilled there, too (`spill_windows`).
            reserve: if cfg!(target_arch = "sparc64") { 20 << 10 } else { 12 << 10 },
            pool,
            block_size: BLOCK_SIZE,
            lend,
            lend_size: LEND_SIZE,
            trace: trace.then_some(|step, me, op| eprintln!("{step:4}: {me} runs: {op:?}")),
        }
    }

    fn run(&mut self, ops: &[Op]) -> Result<usize, program::Failure> {
        let _alone = alone();
        let host = self.host();
        // SAFETY: all is on the heap, and nobody else runs.
        unsafe { program::run_list(self.world.as_mut_ptr(), host, ops) }
    }
}

fn op() -> impl Strategy<Value = Op> {
    let who = || 0..GREENLETS as u8;
    let on = || 0..STACKS as u8;
    let lend = prop_oneof![5 => Just(0u16), 1 => 64u16..6000];
    let misuse = (who(), 0..13).prop_map(|(who, what)| match what {
        0 => Misuse::ReleaseSelf,
        1 => Misuse::ReleaseForeign,
        2 => Misuse::SwitchToForeign,
        3 => Misuse::SwitchToSelf,
        4 => Misuse::FinishIntoSelf,
        5 => Misuse::FinishIntoForeign,
        6 => Misuse::ReleaseInactive(who),
        7 => Misuse::StartActive(who),
        8 => Misuse::StartOnForeignStack(who),
        9 => Misuse::SwitchToInactive(who),
        10 => Misuse::FinishIntoInactive(who),
        11 => Misuse::FinishAndStartActive(who),
        _ => Misuse::FinishAndStartOnForeignStack(who),
    });
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
    match Room::new().run(ops) {
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
    let mut room = Room::new();
    let mut arrivals = 0;
    for seed in 1..=20 {
        let _alone = alone();
        let mut host = room.host();
        if !allocator {
            host.pool = std::ptr::null_mut();
        }
        // SAFETY: all is on the heap, and nobody else runs.
        let result = unsafe { program::run_random(room.world.as_mut_ptr(), host, seed, 500) };
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
