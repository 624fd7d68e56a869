//! `cargo xtask python-foreign`: the package on machines that this one is not, with Debian 12's CPython for them, under qemu.
//! It takes an hour for each, so it is a command of its own and no row of `cargo xtask test`.
//!
//! The other machine's Debian is unpacked, not installed: nothing of it has to be run for that, and no chroot is needed. What
//! the tests compile is compiled by our cross compilers, which are scripts in front of everything else on the path.
//! It must never know what is in the tests.

use super::suites::{self, REFERENCE, SKIPPED, closed};
use super::{file_in, folder, results, wheel};
use crate::args::Args;
use crate::run::{Run, root};
use crate::table::{Outcome, Table};
use crate::targets::{TARGETS, Target};
use crate::toolchain::{self, Toolchain};
use crate::{apt, cross};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A machine that Debian has a CPython for.
struct Machine {
    /// As Debian calls it.
    name: &'static str,
    /// As the compilers and the emulator do.
    processor: &'static str,
    triple: &'static str,
    /// What is needed here besides what the target's own row needs.
    packages: &'static [&'static str],
}

const MACHINES: &[Machine] = &[
    Machine {
        name: "arm64",
        processor: "aarch64",
        triple: "aarch64-unknown-linux-gnu",
        packages: &["debootstrap", "debian-archive-keyring", "g++-aarch64-linux-gnu"],
    },
    Machine {
        name: "s390x",
        processor: "s390x",
        triple: "s390x-unknown-linux-gnu",
        packages: &["debootstrap", "debian-archive-keyring", "g++-s390x-linux-gnu"],
    },
];

const RELEASE: &str = "bookworm";
/// The version of CPython that this release has.
const MINOR: u32 = 11;
/// What is unpacked. The tests' packages are Debian's as well: on PyPI not all are there for every machine.
const INCLUDE: &str = "python3.11-dev,python3-pytest,python3-hypothesis,python3-psutil,python3-objgraph,\
    python3-setuptools,libstdc++6";

/// What the package has for C programs.
const HEADER: &str = "python/data/headers/greenlet.h";

/// The command.
pub fn command(args: Args) -> Result<bool, String> {
    let chosen: Vec<&'static Machine> = match &args.words[..] {
        [] => MACHINES.iter().collect(),
        words => words
            .iter()
            .map(|word| {
                let names = || MACHINES.iter().map(|m| m.name).collect::<Vec<_>>().join(", ");
                let machine = MACHINES.iter().find(|machine| machine.name == word);
                machine.ok_or_else(|| format!("there is no machine `{word}`: {}", names()))
            })
            .collect::<Result<_, _>>()?,
    };
    let only = args.option("--only").map(String::from);
    let mut table = Table::default();
    for machine in chosen {
        let prepared = machine.prepare(args.flag("--install"), only.clone());
        for (name, suite) in [
            ("our tests", Prepared::ours as fn(&Prepared) -> Result<usize, String>),
            ("the reference's tests", Prepared::reference),
        ] {
            table.row(&format!("python 3.{MINOR} {}: {name}", machine.name), || match &prepared {
                Err(NotReady::Lacks(why)) => Outcome::Skipped(why.clone()),
                Err(NotReady::Failed(why)) => Outcome::Failed(why.clone()),
                Ok(prepared) => match suite(prepared) {
                    Ok(tests) => Outcome::Ok(tests),
                    Err(why) => Outcome::Failed(why),
                },
            });
        }
    }
    Ok(table.finish())
}

enum NotReady {
    Lacks(String),
    Failed(String),
}

impl Machine {
    fn target(&self) -> &'static Target {
        TARGETS.iter().find(|target| target.name == self.triple).expect("it is in the list")
    }

    /// Everything that the tests need, made now if need be.
    fn prepare(&'static self, install: bool, only: Option<String>) -> Result<Prepared, NotReady> {
        let mut packages = cross::packages(self.target());
        packages.extend(self.packages.iter().chain(wheel::TOOL_PACKAGES));
        if install {
            apt::install(&packages).map_err(NotReady::Failed)?;
        } else if let Some(why) = apt::lacks(&packages) {
            return Err(NotReady::Lacks(why));
        }
        let key = toolchain::hash(&[RELEASE, INCLUDE]);
        let name = format!("{RELEASE}-{}-{key:016x}", self.name);
        let root = toolchain::cache().join("roots").join(name);
        if !root.exists() {
            if !install {
                let why = format!("needs Debian {RELEASE} for {}: --install, as root", self.name);
                return Err(NotReady::Lacks(why));
            }
            self.unpack(&root).map_err(NotReady::Failed)?;
        }
        let work = folder().join("foreign").join(self.name);
        let prepared = Prepared { machine: self, root, work, only };
        prepared.make().map_err(NotReady::Failed)?;
        Ok(prepared)
    }

    /// Unpacks Debian for it.
    fn unpack(&self, to: &Path) -> Result<(), String> {
        let work = to.with_extension(format!("building-{}", std::process::id()));
        fs::create_dir_all(&work).map_err(|error| error.to_string())?;
        let fetched = Run::new("debootstrap")
            .words("--foreign --variant=minbase")
            .arg(format!("--arch={}", self.name))
            .arg(format!("--include={INCLUDE}"))
            .arg(RELEASE)
            .arg(&work)
            .done();
        let archives = work.join("var/cache/apt/archives");
        let entries = fs::read_dir(&archives).into_iter().flatten().flatten();
        let debs = entries.map(|entry| entry.path());
        let mut done = fetched.ok();
        for deb in debs.filter(|path| path.extension().is_some_and(|end| end == "deb")) {
            done &= Run::new("dpkg-deb").arg("-x").arg(deb).arg(&work).quiet().done().ok();
        }
        let _ = fs::remove_dir_all(archives);
        // Complete or not there at all: another run may be doing the same.
        if done && (fs::rename(&work, to).is_ok() || to.exists()) {
            return Ok(());
        }
        let _ = fs::remove_dir_all(&work);
        Err(format!("Debian {RELEASE} for {} could not be unpacked", self.name))
    }
}

/// A machine with all that the tests need.
///
/// ```text
///   work/bin/    python: the interpreter under the emulator; gcc, g++ and whatever else the interpreter calls its compilers
///   work/site/   the package, and while they are run the reference's tests
/// ```
struct Prepared {
    machine: &'static Machine,
    root: PathBuf,
    work: PathBuf,
    /// Run only the tests with this in their names.
    only: Option<String>,
}

impl Prepared {
    fn make(&self) -> Result<(), String> {
        let _ = fs::remove_dir_all(&self.work);
        let bin = self.work.join("bin");
        fs::create_dir_all(&bin).map_err(|error| error.to_string())?;
        let (processor, root) = (self.machine.processor, self.root.display());
        let python = format!(
            "PYTHONHOME='{root}/usr' exec qemu-{processor} -L '{root}' -0 \"$0\" '{root}/usr/bin/python3.{MINOR}' \"$@\""
        );
        script(&bin.join("python"), &python)?;
        for (name, compiler) in [("cc", "gcc"), ("gcc", "gcc"), ("g++", "g++")] {
            // The interpreter's own headers lie in two folders, of which it names one.
            let compiler = format!("/usr/bin/{processor}-linux-gnu-{compiler}");
            let text = format!("exec {compiler} -idirafter '{root}/usr/include' \"$@\"");
            script(&bin.join(name), &text)?;
            script(&bin.join(format!("{processor}-linux-gnu-{name}")), &text)?;
        }
        let built = self.build()?;
        let package = self.work.join("site/greenlet");
        let copied = Run::new("cp").arg("-r").arg(root_of("python/greenlet")).arg(&package);
        fs::create_dir_all(self.work.join("site")).map_err(|error| error.to_string())?;
        if !copied.done().ok() {
            return Err("the package could not be copied".into());
        }
        fs::copy(built, package.join(self.file_name("_greenlet")))
            .map_err(|error| error.to_string())?;
        // Where pip puts a package's headers.
        let headers = self.root.join(format!("usr/include/site/python3.{MINOR}/greenlet"));
        fs::create_dir_all(&headers)
            .and_then(|()| fs::copy(root_of(HEADER), headers.join("greenlet.h")))
            .map_err(|error| error.to_string())?;
        Ok(())
    }

    /// The file of an extension module.
    fn file_name(&self, module: &str) -> String {
        format!("{module}.cpython-3{MINOR}-{}-linux-gnu.so", self.machine.processor)
    }

    /// The extension, built as it is for everybody.
    fn build(&self) -> Result<PathBuf, String> {
        let triple = self.machine.triple;
        let (cargo, words) = Toolchain::aborting(self.machine.target())?;
        let target = folder().join("cross");
        let flags = format!("-idirafter {}/usr/include", self.root.display());
        let done = cargo
            .words("build --release --target")
            .arg(triple)
            .words(words)
            .directory(root_of("python"))
            .env("PYO3_CROSS", "1")
            .env("PYO3_CROSS_PYTHON_VERSION", format!("3.{MINOR}"))
            .env("PYO3_PYTHON", self.work.join("bin/python"))
            .env(format!("CFLAGS_{}", triple.replace('-', "_")), flags)
            .env("CARGO_TARGET_DIR", &target)
            .limit(Duration::from_secs(3600))
            .done();
        match done.ok() {
            true => Ok(target.join(triple).join("release/lib_greenlet.so")),
            false => Err(format!("building for {triple}: {}", done.how())),
        }
    }

    /// Its python, with the package and the compilers.
    fn python(&self) -> Run {
        let path = std::env::var("PATH").unwrap_or_default();
        Run::new(self.work.join("bin/python"))
            .directory(&self.work)
            .env("PATH", format!("{}:{path}", self.work.join("bin").display()))
            .env("PYTHONPATH", self.work.join("site"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONFAULTHANDLER", "1")
            .env("HYPOTHESIS_STORAGE_DIRECTORY", folder().join("hypothesis"))
            .limit(Duration::from_secs(4 * 3600))
    }

    /// A run of the tests that were asked for.
    fn chosen(&self, run: Run) -> Run {
        match &self.only {
            Some(pattern) => run.arg("-k").arg(pattern),
            None => run,
        }
    }

    fn ours(&self) -> Result<usize, String> {
        let run = self
            .python()
            .words("-m pytest -q -rfEsx -p no:cacheprovider")
            .env("GREENLET_REFERENCE_WHEEL", reference_wheel()?);
        closed(&self.chosen(run).arg(root_of("python/tests")).done(), results::pytest)
    }

    fn reference(&self) -> Result<usize, String> {
        let site = self.work.join("site");
        let tests = site.join("greenlet/tests");
        let _ = fs::remove_dir_all(&tests);
        // Its module in C++ includes this header of its own, for the compilers that it knows.
        let compat = "greenlet/greenlet_compiler_compat.hpp";
        for what in [suites::TESTS, compat] {
            suites::extract(self.python(), &reference_wheel()?, what, &site)?;
        }
        // Its own modules in C and C++ are this machine's: they are compiled for the other one, against our header.
        let others = fs::read_dir(&tests).map_err(|error| error.to_string())?.flatten();
        for path in others.map(|entry| entry.path()) {
            if path.extension().is_some_and(|end| end == "so") {
                fs::remove_file(&path).map_err(|error| error.to_string())?;
            }
        }
        for (compiler, source, module) in [
            ("gcc", "_test_extension.c", "_test_extension"),
            ("g++", "_test_extension_cpp.cpp", "_test_extension_cpp"),
        ] {
            let include = self.root.join(format!("usr/include/python3.{MINOR}"));
            let done = Run::new(self.work.join("bin").join(compiler))
                .words("-shared -fPIC -O2 -w -I")
                .arg(include)
                .arg("-I")
                .arg(site.join("greenlet"))
                .arg(tests.join(source))
                .arg("-o")
                .arg(tests.join(self.file_name(module)))
                .done();
            if !done.ok() {
                return Err(format!("{source}: {}", done.how()));
            }
        }
        let run = self.python().words("-m unittest discover -v -s").arg(&tests);
        let done = self.chosen(run.arg("-t").arg(&site)).done();
        let _ = fs::remove_dir_all(&tests).and_then(|()| fs::remove_file(site.join(compat)));
        let passed = closed(&done, results::unittest)?;
        let output = format!("{}\n{}", done.stdout, done.stderr);
        for (name, reason) in results::skipped(&output) {
            let version = format!("3.{MINOR}");
            if !SKIPPED.iter().any(|(piece, on)| reason.contains(piece) && on(&version)) {
                return Err(format!("{name} was skipped: {reason}"));
            }
        }
        Ok(passed)
    }
}

/// The reference's wheel for this machine: of it only what is the same for all is used.
fn reference_wheel() -> Result<PathBuf, String> {
    let download = folder().join("reference").join("any");
    if file_in(&download, ".whl").is_err() {
        let pip = wheel::maturin()?.with_file_name("pip");
        let words = "download -q --disable-pip-version-check --no-deps --only-binary=:all: -d";
        let done = Run::new(pip).words(words).arg(&download).arg(REFERENCE).done();
        if !done.ok() {
            return Err(format!("pip download {REFERENCE}: {}", done.how()));
        }
    }
    file_in(&download, ".whl")
}

/// A program of `sh`.
fn script(path: &Path, text: &str) -> Result<(), String> {
    let write = || {
        fs::write(path, format!("#!/bin/sh\n{text}\n"))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))
    };
    write().map_err(|error: std::io::Error| format!("{}: {error}", path.display()))
}

/// A path in the checkout.
fn root_of(path: &str) -> PathBuf {
    root().join(path)
}
