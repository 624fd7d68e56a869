//! The Rust API: random programs against a model that has no greenlets in it.
//!
//! A program is a list of operations; whichever greenlet runs takes the next one. `property/model.rs` says what has to
//! happen: every value, error, destructor and end, in order. `property/real.rs` does it with greenlets. The two logs have to
//! be the same. A program for which they are not is made as short as it gets before it is printed.

#[path = "common/allocator.rs"]
mod allocator;
#[path = "property/model.rs"]
mod model;
#[path = "property/real.rs"]
mod real;
#[path = "property/shrink.rs"]
mod shrink;

use model::{Op, Style, Ty};
use proptest::prelude::*;
use std::fmt::{self, Debug};
use std::sync::Once;

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

/// A program. Of one that fails the steps are printed that are left when it has been shrunk.
#[derive(Clone)]
struct Program(Vec<Op>);

impl Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} operations, shrunk to the steps above", self.0.len())
    }
}

fn op() -> impl Strategy<Value = Op> {
    let n = || 0u8..16;
    let ty = || prop_oneof![4 => Just(Ty::Small), 1 => Just(Ty::Large)];
    let style = || prop_oneof![Just(Style::Raise), Just(Style::Try)];
    let odd = || prop::bool::weighted(0.08);
    let rare = || prop::option::weighted(0.15, n());
    prop_oneof![
        14 => (prop::option::weighted(0.4, n()), ty(), ty(), rare())
            .prop_map(|(parent, takes, gives, captures)| Op::Create { parent, takes, gives, captures }),
        30 => (n(), ty(), style(), odd())
            .prop_map(|(to, want, style, odd)| Op::Switch { to, want, style, odd }),
        5 => (n(), ty(), style(), odd())
            .prop_map(|(to, want, style, odd)| Op::Throw { to, want, style, odd }),
        5 => (n(), odd()).prop_map(|(whom, odd)| Op::Kill { whom, odd }),
        3 => n().prop_map(Op::CloneHandle),
        11 => n().prop_map(Op::DropHandle),
        3 => n().prop_map(Op::KeepHandle),
        3 => Just(Op::KeepGuard),
        4 => (n(), n()).prop_map(|(of, to)| Op::SetParent { of, to }),
        5 => Just(Op::Return),
        3 => Just(Op::Panic),
        8 => (0u8..4, any::<bool>()).prop_map(|(size, catches)| Op::Deeper { size, catches }),
        4 => Just(Op::Shallower),
        2 => (0u8..5, 0u8..4).prop_map(|(values, depth)| Op::NewGenerator { values, depth }),
        4 => n().prop_map(Op::Next),
        1 => n().prop_map(Op::DropGenerator),
        1 => n().prop_map(Op::KeepGenerator),
        1 => (prop::collection::vec(0u8..3, 0..4), prop::bool::weighted(0.3))
            .prop_map(|(waits, panics)| Op::NewBridge { waits, panics }),
        4 => n().prop_map(Op::Poll),
        1 => n().prop_map(Op::DropBridge),
        1 => n().prop_map(Op::KeepBridge),
        2 => any::<bool>().prop_map(Op::Trace),
        6 => (prop_oneof![3 => Just(0), 1 => 1u8..3], any::<bool>())
            .prop_map(|(after, for_ever)| Op::Starve { after, for_ever }),
        1 => Just(Op::Look),
    ]
}

/// As many cases as usual or as `PROPTEST_CASES` says. A failing case is printed, not stored.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, max_shrink_iters: 0, ..ProptestConfig::default() }
}

/// Panics of the threads that carry out programs are meant; only those of the tests are printed.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let quiet = std::thread::current().name() == Some(real::QUIET);
            if !quiet || std::env::var_os("GREENLET_TRACE").is_some() {
                before(info);
            }
        }));
    });
}

/// What differs, if anything does.
fn difference(model: &model::Model) -> Option<String> {
    if std::env::var_os("GREENLET_TRACE").is_some() {
        eprintln!("{:#?}", model.steps);
    }
    real::difference(&model.steps, &model.log)
}

fn check(Program(ops): &Program) -> Result<(), TestCaseError> {
    quiet();
    let model = model::run(ops);
    let Some(mut text) = difference(&model) else { return Ok(()) };
    // Shrunk here and not by proptest: without a step the others still name what they named.
    let mut steps = model.steps[..model.chosen].to_vec();
    shrink::shrink(&mut steps, |steps| {
        let model = model::run_steps(steps);
        let shorter = difference(&model)?;
        text = shorter;
        Some(model.steps[..model.chosen].to_vec())
    });
    Err(TestCaseError::fail(text))
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn random_programs_do_what_the_model_says(program in prop::collection::vec(op(), 0..80).prop_map(Program)) {
        check(&program)?;
    }
}
