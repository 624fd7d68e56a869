//! The tests with threads in them under ThreadSanitizer, the standard library instrumented too.
//!
//! It follows a thread's calls by what the compiler adds to each function's beginning and end, and loses its way when a greenlet is left in
//! the middle; so that is not added, and its reports name one function only. `tests/races.rs` makes a race on purpose, which has to
//! be found. This must never know what a test does.

use crate::cross::test_run;
use crate::run::Run;
use crate::table::Outcome;
use crate::{sanitizer, targets, toolchain};

/// Debian's compiler, which has the library's sources, and the clang of its version for linking.
pub fn packages() -> Vec<&'static str> {
    [toolchain::DEBIAN, sanitizer::PACKAGES].concat()
}

/// What runs: all that has threads, and some that has none.
const TESTS: &str =
    "--test races --test threads --test basic --test drops --test generators --test tasklets";

pub fn outcome(install: bool) -> Outcome {
    match (if install { sanitizer::fetch() } else { Ok(()) }, sanitizer::lacks()) {
        (Err(why), _) => return Outcome::Failed(why),
        (Ok(()), Some(why)) => return Outcome::Skipped(why),
        (Ok(()), None) => {}
    }
    let flags = sanitizer::flags("thread") + " -Cllvm-args=-tsan-instrument-func-entry-exit=0";
    let cargo = Run::new("/usr/bin/cargo")
        .words(
            "test --no-fail-fast -Zbuild-std=std,panic_abort,panic_unwind,proc_macro,test --target",
        )
        .arg(targets::host())
        .words(TESTS);
    test_run(
        &cargo
            .env("RUSTC", "/usr/bin/rustc")
            .env("RUSTDOC", "/usr/bin/rustdoc")
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", flags)
            .env("CARGO_TARGET_DIR", toolchain::target_directory().join("tsan"))
            .done(),
    )
}
