//! The CPython package: its rows in `cargo xtask test`, `cargo xtask wheel`, and `cargo xtask python-foreign`.
//!
//! | file | what |
//! | --- | --- |
//! | `interpreter` | which interpreters there are, and where each comes from |
//! | `debian` | root directories with a newer Debian, for those that this one has not |
//! | `wheel` | maturin, and a wheel for an interpreter |
//! | `suites` | a virtual environment with the wheel, and the tests that are run in it |
//! | `bench` | pairs of virtual environments, one with the reference, and the benchmarks |
//! | `foreign` | the same on other machines, under emulators: `cargo xtask python-foreign` |
//! | `results` | what unittest and pytest print at the end |

pub mod bench;
mod debian;
pub mod foreign;
mod interpreter;
mod results;
mod suites;
pub mod wheel;

use crate::run::{Run, root};
use crate::table::Outcome;
use crate::test::Row;
use interpreter::{Interpreter, LATE_313, Unready, VERSIONS, Version, has_assertions};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use suites::Suite;

/// The versions on which real programs are run too: the packages that they need are not there for all.
const PROGRAMS_ON: &[&str] = &["3.12", "3.14"];
/// The version whose type checker, source distribution and clean clone are tested.
const TYPES_ON: &str = "3.12";
/// The version that the fuzz target is built for.
const EMBEDDED: &str = "3.12";

/// Every row. `install`: what is missing may be fetched.
pub fn rows(install: bool) -> Vec<Row> {
    let wheels = Arc::new(Wheels::default());
    let mut rows = Vec::new();
    let mut row = |version: &'static Version, suite: Suite, built_for: &'static Version| {
        let wheels = wheels.clone();
        let packages = [version, built_for].into_iter().filter_map(|version| version.find().ok());
        let packages = packages.flat_map(|interpreter| interpreter.packages);
        rows.push(Row {
            name: format!("python {}: {}", version.name, suite.name()),
            packages: packages
                .chain(wheel::TOOL_PACKAGES.iter().copied())
                .chain(suite.packages())
                .collect(),
            quick: false,
            run: Box::new(move || {
                let prepared = || {
                    let interpreter = ready(version, install)?;
                    let wheel = match suite {
                        Suite::Source => None,
                        _ => Some(wheels.get(&ready(built_for, install)?)?),
                    };
                    Ok((interpreter, wheel))
                };
                match prepared() {
                    Ok((interpreter, wheel)) => suite.run(&interpreter, wheel.as_deref()),
                    Err(Unready::Lacks(why)) => Outcome::Skipped(why),
                    Err(Unready::Failed(why)) => Outcome::Failed(why),
                }
            }),
        });
    };
    for version in VERSIONS {
        row(version, Suite::Reference, version);
        row(version, Suite::Ours, version);
        if PROGRAMS_ON.contains(&version.name) {
            row(version, Suite::Programs, version);
        }
        // Nobody runs builds with assertions to be fast.
        if !has_assertions(version.name) {
            row(version, Suite::Counts, version);
        }
        if version.name == TYPES_ON {
            row(version, Suite::Types, version);
            row(version, Suite::Source, version);
        }
    }
    // A wheel says only that it is for 3.13. An early 3.13's has to run on a late one, whose thread state differs.
    let early = VERSIONS.iter().find(|version| version.name == "3.13").expect("it is in the list");
    if early.find().is_ok_and(|interpreter| interpreter.root.is_none()) {
        row(&LATE_313, Suite::Reference, early);
        row(&LATE_313, Suite::Ours, early);
    }
    rows
}

/// A version's interpreter, ready to be run.
fn ready(version: &Version, install: bool) -> Result<Interpreter, Unready> {
    let interpreter = version.find().map_err(Unready::Lacks)?;
    interpreter.ready(install)?;
    Ok(interpreter)
}

/// The wheels of this run, each built when it is first asked for.
#[derive(Default)]
struct Wheels {
    built: Mutex<HashMap<&'static str, Result<PathBuf, String>>>,
}

impl Wheels {
    fn get(&self, interpreter: &Interpreter) -> Result<PathBuf, Unready> {
        let mut built = self.built.lock().expect("no build panics");
        let build = || wheel::build(interpreter, &folder().join("wheels"));
        built.entry(interpreter.name).or_insert_with(build).clone().map_err(Unready::Failed)
    }
}

/// Where everything of these rows goes.
fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    root().join(target).join("python")
}

/// Clippy for the extension, against the first interpreter of this machine's own that has its headers.
pub fn clippy() -> Outcome {
    let here = |version: &Version| {
        let found = version.find().ok().filter(|found| found.root.is_none())?;
        found.ready(false).ok().map(|()| found.program)
    };
    let Some(program) = VERSIONS.iter().find_map(here) else {
        return Outcome::Skipped("no CPython with headers is here".into());
    };
    let done = Run::cargo()
        .words("clippy --manifest-path python/Cargo.toml --all-targets")
        .words("-- -D warnings")
        .env("PYO3_PYTHON", program)
        .env("CARGO_TARGET_DIR", folder().join("clippy"))
        .done();
    if done.ok() { Outcome::Ok(1) } else { Outcome::Failed(done.how()) }
}

/// An interpreter that lives in a library, to be loaded into another program.
pub struct Embedded {
    /// The interpreter as a program.
    pub program: PathBuf,
    /// The library.
    pub library: PathBuf,
    /// Where its own modules are.
    pub home: PathBuf,
}

/// The one that the fuzz target is for, if it was built as a library too.
pub fn embedded() -> Result<Embedded, String> {
    const ASK: &str = "import os, sys, sysconfig\nvar = sysconfig.get_config_var\n\
        print(os.path.join(var('LIBDIR'), var('INSTSONAME')) if var('Py_ENABLE_SHARED') else '')\n\
        print(sys.base_prefix)";
    let version = VERSIONS.iter().find(|version| version.name == EMBEDDED);
    let program = version.ok_or("it is in the list")?.find()?.program;
    let answer = Run::new(&program).args(["-c", ASK]).output().unwrap_or_default();
    let mut lines = answer.lines().map(PathBuf::from);
    match (lines.next(), lines.next()) {
        (Some(library), Some(home)) if library.exists() => Ok(Embedded { program, library, home }),
        _ => Err(format!("{} is no shared library", program.display())),
    }
}

/// The one file of a folder whose name ends like that.
fn file_in(folder: &Path, end: &str) -> Result<PathBuf, String> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files =
        files.map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with(end));
    match (files.next(), files.next()) {
        (Some(file), None) => Ok(file),
        _ => Err(format!("{} has not one file …{end}", folder.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_runs_both_suites() {
        let names: Vec<String> = rows(false).into_iter().map(|row| row.name).collect();
        for version in VERSIONS {
            for suite in [Suite::Reference, Suite::Ours] {
                let name = format!("python {}: {}", version.name, suite.name());
                assert!(names.contains(&name), "{name}");
            }
        }
    }
}
