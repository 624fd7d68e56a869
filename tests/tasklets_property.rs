//! Tasklets: random programs against a model of the scheduler that has no greenlets in it.
//!
//! A program is a list of operations; whichever tasklet runs takes the next one. So the log says who ran when, and what each
//! operation returned. So do destructors and the trace hook, and requests for memory fail. The model (`tasklets/model.rs`) and the tasklets (`tasklets/real.rs`) have to write the same.
#![cfg(feature = "std")]

#[path = "common/allocator.rs"]
mod allocator;
#[path = "tasklets/model.rs"]
mod model;
#[path = "tasklets/real.rs"]
mod real;

use model::{Hook, Op, Side};
use proptest::prelude::*;

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

fn op() -> impl Strategy<Value = Op> {
    let n = || 0u8..12;
    let side = || prop_oneof![Just(Side::Send), Just(Side::Receive)];
    let hook = prop_oneof![Just(Hook::None), Just(Hook::Looks), Just(Hook::Acts)];
    prop_oneof![
        12 => prop::bool::weighted(0.4).prop_map(|stubborn| Op::Spawn { stubborn }),
        4 => Just(Op::Keep),
        2 => hook.prop_map(Op::Trace),
        6 => (0..2u8, any::<bool>()).prop_map(|(after, for_ever)| Op::Starve { after, for_ever }),
        10 => Just(Op::Schedule),
        4 => Just(Op::RunAll),
        4 => n().prop_map(Op::Run),
        4 => Just(Op::Pause),
        8 => n().prop_map(Op::Insert),
        4 => n().prop_map(Op::Remove),
        24 => (n(), side(), prop::bool::weighted(0.8))
            .prop_map(|(channel, side, waits)| Op::Channel { channel, side, waits }),
        2 => n().prop_map(|channel| Op::ThrowThrough { channel }),
        2 => n().prop_map(Op::Close),
        3 => n().prop_map(Op::Open),
        3 => (n(), n()).prop_map(|(channel, preference)| Op::Prefer(channel, preference)),
        10 => (prop::collection::vec((n(), side()), 0..4), prop::bool::weighted(0.8))
            .prop_map(|(cases, waits)| Op::Select { cases, waits }),
        5 => n().prop_map(Op::Wait),
        3 => n().prop_map(Op::Kill),
        3 => n().prop_map(Op::ThrowInto),
        3 => n().prop_map(Op::ThrowLater),
        2 => n().prop_map(Op::ThrowPast),
        3 => n().prop_map(Op::DropHandle),
        3 => Just(Op::Return),
        2 => Just(Op::Panic),
        3 => Just(Op::Look),
    ]
}

/// As many cases as usual or as `PROPTEST_CASES` says. A failing case is printed, not stored.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn random_programs_do_what_the_model_says(ops in prop::collection::vec(op(), 0..120)) {
        let model = model::run(&ops);
        let difference = real::difference(&model.steps, &model.log);
        prop_assert!(difference.is_none(), "{}", difference.unwrap_or_default());
    }
}
