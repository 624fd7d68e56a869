//! What is run on an interpreter: a virtual environment with the wheel and what the tests need, and in it
//!
//! - the reference package's own tests, out of its released wheel, never copied into the repository;
//! - our own, `python/tests`;
//! - programs on packages that use greenlets, as they are released, `python/tests/programs`;
//! - the instructions of the extension's hot paths beside what was recorded of them, `python/benches/counts.py`;
//! - the type checker's comparison of the stubs with the module;
//! - `pip install .` of a clean clone, and of the source distribution.
//!
//! It must never know where an interpreter or a wheel comes from.

use super::interpreter::{Interpreter, has_assertions};
use super::{file_in, folder, results, wheel};
use crate::run::{Done, Run, root};
use crate::table::Outcome;
use std::fs;
use std::path::{Path, PathBuf};

/// The released package whose tests are run.
pub const REFERENCE: &str = "greenlet==3.5.6";
/// What the tests need.
const TEST_PACKAGES: &[&str] = &["pytest", "hypothesis", "psutil", "objgraph", "setuptools"];
/// What the programs need, as it is on PyPI.
const PROGRAM_PACKAGES: &[&str] =
    &["pytest", "gevent", "eventlet", "sqlalchemy", "aiosqlite", "greenback", "trio"];
/// What the comparison of the stubs needs.
const TYPE_PACKAGES: &[&str] = &["mypy", "pytest"];

/// On which versions something is so.
type On = fn(&str) -> bool;

/// What the reference skips itself: a piece of the reason, and on which versions.
pub const SKIPPED: &[(&str, On)] = &[
    ("free-threaded builds", |_| true),
    ("must be out of tree", |_| true),
    ("3.15+ only", |version| minor(version) < 15),
    ("Needs 3.13 and above", |version| minor(version) < 13),
    ("Broken on assertion-enabled builds", has_assertions),
];

/// What is run.
#[derive(Clone, Copy, PartialEq)]
pub enum Suite {
    Reference,
    Ours,
    Programs,
    Counts,
    Types,
    Source,
}

impl Suite {
    /// In the name of a row.
    pub fn name(self) -> &'static str {
        match self {
            Suite::Reference => "the reference's tests",
            Suite::Ours => "our tests",
            Suite::Programs => "real programs",
            Suite::Counts => "instruction counts",
            Suite::Types => "stubs",
            Suite::Source => "pip install .",
        }
    }

    /// Debian packages that it needs here.
    pub fn packages(self) -> Option<&'static str> {
        match self {
            Suite::Source => Some("git"),
            Suite::Counts => Some("valgrind"),
            _ => None,
        }
    }

    /// Runs it. All but `Source` need a wheel.
    pub fn run(self, interpreter: &Interpreter, wheel: Option<&Path>) -> Outcome {
        let result = match self {
            Suite::Counts => {
                return instruction_counts(interpreter, wheel).unwrap_or_else(Outcome::Failed);
            }
            Suite::Reference => reference(interpreter, wheel),
            Suite::Ours => ours(interpreter, wheel),
            Suite::Programs => programs(interpreter, wheel),
            Suite::Types => types(interpreter, wheel),
            Suite::Source => source(interpreter),
        };
        match result {
            Ok(tests) => Outcome::Ok(tests),
            Err(why) => Outcome::Failed(why),
        }
    }
}

/// A virtual environment.
pub struct Venv<'a> {
    interpreter: &'a Interpreter,
    /// Its folder.
    pub path: PathBuf,
}

impl<'a> Venv<'a> {
    /// One with these packages, and the wheel if there is one: it is put in first, so that what asks for `greenlet` finds
    /// it there.
    pub fn new(
        interpreter: &'a Interpreter,
        name: &str,
        wheel: Option<&Path>,
        packages: &[&str],
    ) -> Result<Venv<'a>, String> {
        let path = folder().join("venvs").join(format!("{}-{name}", interpreter.name));
        fs::create_dir_all(folder().join("venvs")).map_err(|error| error.to_string())?;
        let venv = Venv { interpreter, path };
        let version =
            interpreter.run(&interpreter.program).words("-VV").output().unwrap_or_default();
        let holds =
            format!("{}\n{version}\n{}\n", interpreter.program.display(), packages.join("\n"));
        let stamp = venv.path.join("holds");
        let is_there = fs::read_to_string(&stamp).is_ok_and(|text| text == holds);
        if !is_there {
            let _ = fs::remove_dir_all(&venv.path);
            let made =
                interpreter.run(&interpreter.program).words("-m venv").arg(&venv.path).done();
            if !made.ok() {
                return Err(format!("python -m venv: {}", made.how()));
            }
        }
        if let Some(wheel) = wheel {
            venv.pip(|pip| pip.words("--force-reinstall --no-deps").arg(wheel))?;
        }
        if !is_there {
            if !packages.is_empty() {
                venv.pip(|pip| pip.args(packages))?;
            }
            fs::write(stamp, holds).map_err(|error| error.to_string())?;
        }
        Ok(venv)
    }

    fn pip(&self, more: impl FnOnce(Run) -> Run) -> Result<(), String> {
        let pip = self.python().words("-m pip install -q --disable-pip-version-check");
        let done = more(pip).done();
        if done.ok() { Ok(()) } else { Err(format!("pip install: {}", done.how())) }
    }

    /// Its python.
    pub fn python(&self) -> Run {
        self.interpreter
            .run(self.path.join("bin/python"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONFAULTHANDLER", "1")
            .env("HYPOTHESIS_STORAGE_DIRECTORY", folder().join("hypothesis"))
    }

    /// Where packages are.
    fn site(&self) -> Result<PathBuf, String> {
        let ask = "import sysconfig; print(sysconfig.get_path('platlib'))";
        let answer = self.python().args(["-c", ask]).output().ok_or("python does not run")?;
        Ok(answer.trim().into())
    }

    /// pytest on files of the checkout.
    fn pytest(&self, tests: &str, more: impl FnOnce(Run) -> Run) -> Result<usize, String> {
        let run = more(self.python()).words("-m pytest -q -rfEsx -p no:cacheprovider");
        closed(&run.arg(root().join(tests)).done(), results::pytest)
    }
}

/// A run that has ended well and has said so.
pub fn closed(done: &Done, read: fn(&str) -> Result<usize, String>) -> Result<usize, String> {
    let output = format!("{}\n{}", done.stdout, done.stderr);
    if !done.ok() {
        let failed: Vec<&str> = output
            .lines()
            .filter(|line| {
                ["FAIL: ", "ERROR: ", "FAILED ", "ERROR "].iter().any(|word| line.starts_with(word))
            })
            .collect();
        return Err(format!("{}: {}", done.how(), failed.join("; ")));
    }
    read(&output)
}

/// The reference's wheel for this version. Only what is the same for every build of it is used.
fn reference_wheel(venv: &Venv) -> Result<PathBuf, String> {
    let version = format!("3.{}", minor(venv.interpreter.name));
    let download = folder().join("reference").join(&version);
    if file_in(&download, ".whl").is_err() {
        let pip = venv.python().words("-m pip download -q --disable-pip-version-check --no-deps");
        let only = format!("--only-binary=:all: --python-version {version} -d");
        let done = pip.words(&only).arg(&download).arg(REFERENCE).done();
        if !done.ok() {
            return Err(format!("pip download {REFERENCE}: {}", done.how()));
        }
    }
    file_in(&download, ".whl")
}

fn reference(interpreter: &Interpreter, wheel: Option<&Path>) -> Result<usize, String> {
    let venv = Venv::new(interpreter, "tests", wheel, TEST_PACKAGES)?;
    let site = venv.site()?;
    let package = reference_wheel(&venv)?;
    extract(venv.python(), &package, TESTS, &site)?;
    let run = venv.python().words("-m unittest discover -v -s").arg(site.join("greenlet/tests"));
    let done = run.arg("-t").arg(&site).done();
    // They must not lie there when our own package is looked at.
    let _ = fs::remove_dir_all(site.join("greenlet/tests"));
    let passed = closed(&done, results::unittest)?;
    let output = format!("{}\n{}", done.stdout, done.stderr);
    for (name, reason) in results::skipped(&output) {
        if !SKIPPED.iter().any(|(piece, on)| reason.contains(piece) && on(interpreter.name)) {
            return Err(format!("{name} was skipped: {reason}"));
        }
    }
    Ok(passed)
}

/// Where the reference's tests are in its wheel.
pub const TESTS: &str = "greenlet/tests/";

/// Puts what in a wheel begins with `what` into `site`.
pub fn extract(python: Run, package: &Path, what: &str, site: &Path) -> Result<(), String> {
    let extract = "import sys, zipfile\n\
        with zipfile.ZipFile(sys.argv[1]) as wheel:\n    \
        wheel.extractall(sys.argv[3], [n for n in wheel.namelist() if n.startswith(sys.argv[2])])";
    if !python.args(["-c", extract]).arg(package).arg(what).arg(site).done().ok() {
        return Err(format!("no {what} in {}", package.display()));
    }
    Ok(())
}

fn ours(interpreter: &Interpreter, wheel: Option<&Path>) -> Result<usize, String> {
    let venv = Venv::new(interpreter, "tests", wheel, TEST_PACKAGES)?;
    let reference = reference_wheel(&venv)?;
    venv.pytest("python/tests", |run| {
        let run = run.env("GREENLET_REFERENCE_WHEEL", &reference);
        // Where the interpreter checks itself, every switch does too.
        if has_assertions(interpreter.name) { run.env("GREENLET_DEBUG", "1") } else { run }
    })
}

fn programs(interpreter: &Interpreter, wheel: Option<&Path>) -> Result<usize, String> {
    Venv::new(interpreter, "programs", wheel, PROGRAM_PACKAGES)?
        .pytest("python/programs", |run| run)
}

/// The compiler is what `maturin` has built the wheel by: there is none where some interpreters live.
fn instruction_counts(interpreter: &Interpreter, wheel: Option<&Path>) -> Result<Outcome, String> {
    let venv = Venv::new(interpreter, "tests", wheel, TEST_PACKAGES)?;
    let run = venv.python().arg(root().join("python/benches/counts.py"));
    let run = run.arg(venv.path.join("bin/python")).words("--check --compiler");
    let done = run.arg(crate::counts::compiler()).done();
    let last = done.stdout.lines().last().unwrap_or("no output").to_string();
    let paths = done.stdout.lines().filter(|line| line.ends_with("  ok")).count();
    Ok(match (done.ok(), paths) {
        (true, 1..) => Outcome::Ok(paths),
        // Another compiler makes other code: nothing is recorded that it could be compared with.
        (true, 0) if last.contains("has nothing for") => Outcome::Skipped(last),
        (true, 0) => Outcome::Failed("nothing was compared".into()),
        (false, _) => Outcome::Failed(last),
    })
}

fn types(interpreter: &Interpreter, wheel: Option<&Path>) -> Result<usize, String> {
    let venv = Venv::new(interpreter, "types", wheel, TYPE_PACKAGES)?;
    let stubs = venv.python().words("-m mypy.stubtest greenlet greenlet._greenlet").done();
    if !stubs.ok() {
        return Err(format!("stubtest: {}", stubs.how()));
    }
    let strict = venv.python().words("-m mypy --strict").arg(root().join("python/typed")).done();
    if !strict.ok() {
        return Err(format!("mypy: {}", strict.how()));
    }
    Ok(2)
}

/// What a user does: `pip install .` in a clean clone, and the same of the source distribution.
fn source(interpreter: &Interpreter) -> Result<usize, String> {
    let work = folder().join("source");
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work).map_err(|error| error.to_string())?;
    let clone = work.join("clone");
    let cloned = Run::new("git").words("clone -q --no-hardlinks").arg(root()).arg(&clone).done();
    if !cloned.ok() {
        return Err(format!("git clone: {}", cloned.how()));
    }
    let sdist = Run::new(wheel::maturin()?).words("sdist -o").arg(&work).directory(&clone).done();
    if !sdist.ok() {
        return Err(format!("maturin sdist: {}", sdist.how()));
    }
    let first = "import greenlet\n\
        main = greenlet.getcurrent()\n\
        g = greenlet.greenlet(lambda x: main.switch(x + 1) * 2)\n\
        assert (g.switch(1), g.switch(4)) == (2, 8) and g.dead\n\
        import os, importlib.metadata\n\
        assert importlib.metadata.version('greenlet') == greenlet.__version__\n\
        folder = os.path.dirname(greenlet.__file__)\n\
        assert {'greenlet.h', 'py.typed', '__init__.pyi'} <= set(os.listdir(folder))";
    for what in [clone, file_in(&work, ".tar.gz")?] {
        let _ =
            fs::remove_dir_all(folder().join("venvs").join(format!("{}-source", interpreter.name)));
        let venv = Venv::new(interpreter, "source", None, &[])?;
        let pip = venv.python().words("-m pip install --no-cache-dir --disable-pip-version-check");
        let installed = pip.arg(&what).env("CARGO_TARGET_DIR", folder().join("cargo")).done();
        if !installed.ok() {
            return Err(format!("pip install {}: {}", what.display(), installed.how()));
        }
        let done = venv.python().args(["-c", first]).done();
        if !done.ok() {
            return Err(format!("a first program: {}", done.how()));
        }
    }
    Ok(2)
}

/// The 12 of `3.12-dbg`.
fn minor(version: &str) -> u32 {
    let minor = version.split(['.', '-']).nth(1);
    minor.and_then(|minor| minor.parse().ok()).unwrap_or(0)
}
