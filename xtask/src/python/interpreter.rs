//! The interpreters: which there are, and where each comes from. It must never know what is done with them.
//!
//! In order of preference: pyenv's; one on the path that has its headers; Debian's own, where its release has that
//! version; one in a root directory of a newer Debian.

use super::debian::Release;
use crate::apt;
use crate::run::Run;
use std::path::{Path, PathBuf};

/// Debian 13: a late 3.13, whose thread state differs from that of 3.13.0.
pub const TRIXIE: Release = Release {
    name: "trixie",
    packages: "python3.13-dev,python3.13-venv,python3.13-dbg,gcc,g++,ca-certificates,valgrind,libc6-dbg",
};

/// Debian's next: what is newest. (3.14's build with assertions is there to be tried by hand: the rows have a build of
/// each kind of thread state, 3.13's and 3.15's.)
pub const SID: Release = Release {
    name: "sid",
    packages: "python3.14-dev,python3.14-venv,python3.14-dbg,\
        python3.15-dev,python3.15-venv,python3.15-dbg,gcc,g++,ca-certificates,valgrind,libc6-dbg",
};

/// A version of CPython that the package is for.
pub struct Version {
    /// `3.12`, or with what is special about the build: `3.15-dbg`.
    pub name: &'static str,
    /// Where it comes from if neither pyenv nor the path has it.
    debian: Debian,
    /// Never pyenv's or the path's.
    only_debian: bool,
}

/// What Debian has of a version.
enum Debian {
    Nothing,
    /// In the release that this machine is expected to run: the packages.
    Here(&'static [&'static str]),
    /// In another one: the program.
    Root(&'static Release, &'static str),
}

/// Every version.
pub const VERSIONS: &[Version] = &[
    Version { name: "3.10", debian: Debian::Nothing, only_debian: false },
    Version {
        name: "3.11",
        debian: Debian::Here(&["python3.11-dev", "python3.11-venv"]),
        only_debian: false,
    },
    Version { name: "3.12", debian: Debian::Nothing, only_debian: false },
    Version { name: "3.13", debian: Debian::Root(&TRIXIE, "python3.13"), only_debian: false },
    Version { name: "3.14", debian: Debian::Root(&SID, "python3.14"), only_debian: false },
    Version { name: "3.15", debian: Debian::Root(&SID, "python3.15"), only_debian: false },
    Version { name: "3.15-dbg", debian: Debian::Root(&SID, "python3.15-dbg"), only_debian: true },
    Version {
        name: "3.13-dbg",
        debian: Debian::Root(&TRIXIE, "python3.13-dbg"),
        only_debian: true,
    },
];

/// The late 3.13 that wheels of an early one have to run on.
pub const LATE_313: Version =
    Version { name: "3.13-late", debian: Debian::Root(&TRIXIE, "python3.13"), only_debian: true };

/// Whether the version of this name is a build with assertions.
pub fn has_assertions(name: &str) -> bool {
    name.ends_with("-dbg")
}

/// One that can be run, as far as can be said before what is missing has been installed.
pub struct Interpreter {
    /// The version's name.
    pub name: &'static str,
    /// The program: in its root directory, if it has one.
    pub program: PathBuf,
    /// Where it lives, if not here.
    pub root: Option<&'static Release>,
    /// Debian packages that it needs here.
    pub packages: Vec<&'static str>,
}

impl Version {
    /// The interpreter, or why there is none.
    pub fn find(&self) -> Result<Interpreter, String> {
        let here = |program, packages: &[&'static str]| Interpreter {
            name: self.name,
            program,
            root: None,
            packages: packages.to_vec(),
        };
        if !self.only_debian
            && let Some(program) = pyenvs(self.name).or_else(|| on_path(self.name))
        {
            return Ok(here(program, &[]));
        }
        match self.debian {
            Debian::Nothing => {
                Err(format!("there is no CPython {} here (pyenv install {0})", self.name))
            }
            Debian::Here(packages) => {
                Ok(here(Path::new("/usr/bin").join(format!("python{}", self.name)), packages))
            }
            Debian::Root(release, program) => Ok(Interpreter {
                name: self.name,
                program: Path::new("/usr/bin").join(program),
                root: Some(release),
                packages: Vec::new(),
            }),
        }
    }
}

impl Interpreter {
    /// A program that runs where it lives, in the folder of these tests, where no package of the checkout is in the way.
    pub fn run(&self, program: impl AsRef<Path>) -> Run {
        let run = match self.root {
            None => Run::new(program.as_ref()),
            Some(release) => release.run(program),
        };
        run.directory(super::folder())
    }

    /// Fetches what it needs, if that is allowed; else says what is missing.
    pub fn ready(&self, install: bool) -> Result<(), Unready> {
        match (self.root, install) {
            (None, _) => apt::lacks(&self.packages).map_or(Ok(()), |why| Err(Unready::Lacks(why))),
            (Some(release), false) => {
                release.lacks().map_or(Ok(()), |why| Err(Unready::Lacks(why)))
            }
            (Some(release), true) => release.make().map_err(Unready::Failed),
        }
    }
}

/// Why an interpreter cannot be used.
pub enum Unready {
    /// Something was not installed, and nobody asked for that.
    Lacks(String),
    /// It was asked for, and did not work.
    Failed(String),
}

/// The newest of pyenv's.
fn pyenvs(version: &str) -> Option<PathBuf> {
    let pyenv = std::env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv")))?;
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir(pyenv.join("versions"))
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let patch = name.to_str()?.strip_prefix(version)?.strip_prefix('.')?.parse().ok()?;
            let program = entry.path().join("bin").join(format!("python{version}"));
            program.exists().then_some((patch, program))
        })
        .collect();
    found.sort();
    found.pop().map(|(_, program)| program)
}

/// One on the path, with its headers and with what `venv` needs. pyenv's own scripts for all versions are passed over.
fn on_path(version: &str) -> Option<PathBuf> {
    const HAS_ALL: &str = "import os, sysconfig, venv, ensurepip\n\
        assert os.path.exists(os.path.join(sysconfig.get_path('include'), 'Python.h'))\n\
        assert not sysconfig.get_config_var('Py_GIL_DISABLED')";
    std::env::split_paths(&std::env::var_os("PATH")?)
        .filter(|folder| !folder.ends_with("shims"))
        .map(|folder| folder.join(format!("python{version}")))
        .filter(|program| program.exists())
        .find(|program| Run::new(program).args(["-c", HAS_ALL]).output().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_is_nowhere_says_so() {
        let none = Version { name: "3.99", debian: Debian::Nothing, only_debian: false };
        assert!(none.find().is_err_and(|why| why.contains("3.99")));
    }

    #[test]
    fn builds_for_debugging_come_from_debian_alone() {
        for version in VERSIONS.iter().filter(|version| has_assertions(version.name)) {
            assert!(version.find().is_ok_and(|found| found.root.is_some()), "{}", version.name);
        }
    }
}
