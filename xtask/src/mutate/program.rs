//! One test program, altered and run: does it notice? It must never know what is altered, nor which programs there are.

use super::code::{self, Patch, Source};
use crate::run::{Run, say, tests_in};
use crate::targets::{How, Target};
use crate::{cfi, cross};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One test program, and its copy that is patched.
#[derive(Clone)]
pub struct Test {
    program: PathBuf,
    copy: PathBuf,
    bytes: Vec<u8>,
    place: usize,
    runner: Vec<String>,
    target: &'static Target,
    cases: u32,
    /// How long it takes unaltered.
    pub seconds: f64,
}

impl Test {
    pub fn new(target: &'static Target, program: PathBuf, place: code::Place, dir: &Path) -> Test {
        let code::Place { bytes, at } = place;
        let copy = dir.join(program.file_name().unwrap_or_default());
        let runner = target.runner().unwrap_or_default();
        let runner = runner.split_whitespace().map(String::from).collect();
        Test { program, copy, bytes, place: at, runner, target, cases: 0, seconds: 0.0 }
    }

    /// The same with so many `PROPTEST_CASES`.
    pub fn with(&self, cases: u32) -> Test {
        Test { cases, ..self.clone() }
    }

    /// A short name for the log.
    pub fn name(&self) -> &str {
        let name = self.program.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.split('-').next().unwrap_or_default()
    }

    pub fn is_cfi(&self) -> bool {
        self.name() == "cfi_probe"
    }

    /// Runs it as it is: it must pass, and shows how long that takes. False if it has no test.
    pub fn baseline(&mut self, source: &Source) -> Result<bool, String> {
        source.check(&self.bytes, self.place)?;
        self.seconds = 600.0;
        self.write(&[])?;
        let begin = std::time::Instant::now();
        let failure = self.failure();
        self.seconds = begin.elapsed().as_secs_f64();
        match failure {
            None => {
                say(&format!(
                    "{}: passes unaltered in {:.1} s ({} cases)",
                    self.name(),
                    self.seconds,
                    self.cases
                ));
                Ok(true)
            }
            Some(how) if how == NO_TEST => Ok(false),
            Some(how) => Err(format!("{} fails unaltered: {how}", self.name())),
        }
    }

    /// How the mutant died, or `None`.
    pub fn kills(&self, patches: &[Patch]) -> Option<String> {
        if let Err(error) = self.write(patches) {
            return Some(error);
        }
        self.failure().map(|how| format!("{}: {how}", self.name()))
    }

    fn write(&self, patches: &[Patch]) -> Result<(), String> {
        let mut bytes = self.bytes.clone();
        for patch in patches {
            let at = self.place + patch.at;
            bytes[at..at + patch.bytes.len()].copy_from_slice(&patch.bytes);
        }
        // A new file each time: the last one may still be running somewhere.
        let _ = fs::remove_file(&self.copy);
        fs::write(&self.copy, bytes)
            .and_then(|()| fs::set_permissions(&self.copy, fs::Permissions::from_mode(0o755)))
            .map_err(|error| format!("{}: {error}", self.copy.display()))
    }

    /// Runs the copy. What was wrong, or `None` if all was well.
    fn failure(&self) -> Option<String> {
        if self.is_cfi() {
            return cfi::mistake(self.target, &self.copy);
        }
        let limit = Duration::from_secs_f64(10.0 + 4.0 * self.seconds);
        // A mutant may do anything: it gets no core dump, and not all of the machine's memory.
        let shell = "ulimit -c 0; [ $# -gt 1 ] || ulimit -v 16000000; exec \"$@\"";
        let done = Run::new("sh")
            .args(["-c", shell, "sh"])
            .args(&self.runner)
            .arg(&self.copy)
            .env("PROPTEST_CASES", self.cases.to_string())
            .env("PROPTEST_MAX_SHRINK_ITERS", "0")
            .env("PROPTEST_FAILURE_PERSISTENCE", "off")
            .env("RUST_BACKTRACE", "0")
            .limit(limit)
            .quiet()
            .done();
        if let How::Board(board) = &self.target.how {
            return match cross::is_amiss(&done, board.status) {
                Some(_) if done.timed_out => Some("no end".into()),
                why => why,
            };
        }
        let tests = tests_in(&done.stdout);
        if done.timed_out {
            Some("no end".into())
        } else if done.ok() && tests.results_ok == 1 {
            (tests.passed == 0).then(|| NO_TEST.into())
        } else if let Some(name) = tests.failed.first() {
            Some(name.clone())
        } else {
            Some(done.how())
        }
    }
}

const NO_TEST: &str = "no test in it";
