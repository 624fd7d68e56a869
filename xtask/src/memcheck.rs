//! The tests of the Rust API under valgrind's memcheck, whose report of anything is a failure. No suppressions.
//!
//! `tests/memcheck.rs` is among them: it makes errors on purpose, which have to be found. This must never know what a test does.

use crate::cross::test_run;
use crate::run::{Run, root};
use crate::table::Outcome;
use crate::{targets, toolchain};

pub const PACKAGES: &[&str] = &["valgrind"];

/// A jump within one stack is never so far that valgrind should not take it for a push or a pop; so it says nothing of those
/// that are.
const RUNNER: &str = "valgrind --quiet --error-exitcode=9 --max-stackframe=16777216";

/// A program takes thirty times as long.
const CASES: &str = "12";

/// Those that cannot run, and why.
const NOT: &[(&str, &str)] = &[
    (
        "engine",
        "its programs add up whole frames, of which parts were never written (`promises` in it runs, see below)",
    ),
    ("signals", "runs the engine's programs"),
    ("entries", "calls the assembly without the engine, which is who tells valgrind"),
    ("registers", "the same"),
    ("traps", "valgrind notes no floating-point exceptions"),
];

/// The tests that run.
fn tests() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(root().join("tests"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".rs").map(String::from))
        .filter(|name| NOT.iter().all(|(other, _)| other != name))
        .collect();
    names.sort();
    names
}

pub fn outcome() -> Outcome {
    let cargo = || {
        let runner = toolchain::variable(targets::host(), "RUNNER");
        let cargo = Run::cargo().words("test --no-fail-fast --features valgrind");
        cargo.env(runner, RUNNER).env("PROPTEST_CASES", CASES)
    };
    let of_api =
        tests().into_iter().fold(cargo(), |cargo, name| cargo.args(["--test", name.as_str()]));
    let of_engine = cargo().words("--test engine promises");
    match (test_run(&of_api.done()), test_run(&of_engine.done())) {
        (Outcome::Ok(some), Outcome::Ok(more)) => Outcome::Ok(some + more),
        (Outcome::Ok(_), wrong) | (wrong, _) => wrong,
    }
}

#[cfg(test)]
mod test {
    #[test]
    fn what_does_not_run_is_there() {
        for (name, _) in super::NOT {
            assert!(super::root().join("tests").join(name).with_extension("rs").exists());
        }
        assert!(super::tests().iter().any(|name| name == "memcheck"));
    }
}
