//! The rows of `cargo xtask test` that take the project as an author of an interpreter would: the switch alone (`alone`), the C
//! library (`capi`, which `install` installs), the module for Lua (`lua`), and docs/vendoring.md itself (`page`).
//! It must never know how a table is printed, nor hold a list of targets of its own.

mod alone;
mod capi;
pub mod install;
mod lua;
mod page;

use crate::run::{Done, Run, root};
use crate::table::Outcome;
use crate::targets::{How, TARGETS, Target};
use crate::test::Row;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Every row.
pub fn rows() -> Vec<Row> {
    [alone::rows(), capi::rows(), lua::rows(), page::rows()].into_iter().flatten().collect()
}

/// Warnings are errors in the project's own C.
const CFLAGS: &str = "-std=c11 -Wall -Wextra -Werror";

/// The target of a name that is in the list.
fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).expect("a row of the list of targets")
}

/// Whether this machine runs the target's programs, given its packages.
fn runs_here(target: &Target) -> bool {
    target.is_host() || matches!(target.how, How::Qemu(..))
}

/// The C compiler for a target, or the one of the same family for C++.
fn compiler(target: &Target, cpp: bool) -> Run {
    Run::new(match (target.linker, cpp) {
        (None, false) => "cc".to_string(),
        (None, true) => "c++".to_string(),
        (Some(linker), false) => linker.to_string(),
        (Some(linker), true) => linker.replace("-gcc", "-g++"),
    })
}

/// A program of the target's, about to be run.
fn program(target: &Target, path: &Path) -> Run {
    let run = match target.runner() {
        None => Run::new(path),
        Some(runner) => {
            let mut words = runner.split_whitespace();
            let script = root().join(words.next().unwrap_or_default());
            Run::new(script).args(words).arg(path)
        }
    };
    run.limit(Duration::from_secs(600))
}

/// An empty folder for what a row builds.
fn scratch(name: &str) -> Result<PathBuf, String> {
    let directory = crate::toolchain::target_directory().join("vendoring").join(name);
    let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
    if directory.exists() {
        std::fs::remove_dir_all(&directory).map_err(failed)?;
    }
    std::fs::create_dir_all(&directory).map_err(failed)?;
    Ok(directory)
}

/// Runs it; anything but status 0 is the row's failure.
fn must(run: Run) -> Result<Done, String> {
    let done = run.done();
    if done.ok() { Ok(done) } else { Err(done.how()) }
}

/// Runs a program of ours: status 0, and a last line that ends in "all right", which none prints before its last check.
fn all_right(run: Run) -> Result<usize, String> {
    let done = must(run)?;
    match done.stdout.trim_end().ends_with("all right") {
        true => Ok(1),
        false => Err("did not say that all is right".into()),
    }
}

fn outcome(result: Result<usize, String>) -> Outcome {
    match result {
        Ok(tests) => Outcome::Ok(tests),
        Err(why) => Outcome::Failed(why),
    }
}
