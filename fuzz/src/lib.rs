//! What the fuzz targets share: choices made from bytes, and which panics are meant.
//!
//! A target reads its input as a program, with the operations of the property tests, and carries it out against the same
//! model. So a crash found here is a failing case of those tests. It must never know what an operation means.

use arbitrary::Unstructured;
use std::sync::LazyLock;

/// Whether panics of other threads than the first are printed.
const TRACE: &str = "GREENLET_TRACE";

/// Choices made from an input. At its end all of them are 0.
pub struct Bytes<'a>(Unstructured<'a>);

impl<'a> Bytes<'a> {
    pub fn new(data: &'a [u8]) -> Bytes<'a> {
        Bytes(Unstructured::new(data))
    }

    /// Is there another operation?
    pub fn more(&self) -> bool {
        !self.0.is_empty()
    }

    /// A number below `end`, out of one byte.
    pub fn below(&mut self, end: u8) -> u8 {
        self.0.arbitrary::<u8>().unwrap_or(0) % end
    }

    /// A number below `end`, out of two bytes.
    pub fn below_u16(&mut self, end: u16) -> u16 {
        self.0.arbitrary::<u16>().unwrap_or(0) % end
    }

    pub fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: u8) -> bool {
        self.below(n) == n - 1
    }
}

/// Lets panics end the process only where they are the target's own: programs panic on purpose, on threads of their own.
/// To be called first, since libFuzzer's own hook ends the process at every panic.
pub fn panics_of_programs_are_meant() {
    // By its number: the program's `main` is libFuzzer's, so that thread has no name.
    let first = std::thread::current().id();
    std::panic::set_hook(Box::new(move |info| {
        let own = std::thread::current().id() == first;
        if own || std::env::var_os(TRACE).is_some() {
            eprintln!("{info}");
        }
        if own {
            std::process::abort();
        }
    }));
}

/// Whether leaks are looked for: then programs do nothing that leaks by design.
pub static NO_LEAKS: LazyLock<bool> =
    LazyLock::new(|| std::env::var_os("GREENLET_NO_LEAKS").is_some());

/// Runs a program; where leaks are looked for, it must leave as many bytes allocated as there were. `live` counts them.
///
/// What is there once and for all afterwards is left by the first programs only, so one that leaves something is run again.
pub fn run_without_leaks(live: fn() -> usize, run: impl Fn()) {
    let left = || {
        let before = live();
        run();
        live().saturating_sub(before)
    };
    if left() > 0 && *NO_LEAKS && left() > 0 {
        let bytes = left();
        assert_eq!(bytes, 0, "so many bytes are left allocated each time");
    }
}
