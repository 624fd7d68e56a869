//! Root directories with another release of Debian, for the interpreters that this one has not: made once by
//! debootstrap, kept in the user's cache folder. It must never know what is run in them.

use crate::apt;
use crate::run::{Run, root as checkout};
use crate::toolchain;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// What has to be installed here to make one.
pub const PACKAGES: &[&str] = &["debootstrap", "debian-archive-keyring"];

/// A release of Debian, and what of it is wanted.
#[derive(Debug, PartialEq)]
pub struct Release {
    /// Its name.
    pub name: &'static str,
    /// The packages besides what debootstrap calls minimal, with commas between.
    pub packages: &'static str,
}

impl Release {
    /// Where it is, or will be. The packages are part of the name: with others it is another one.
    pub fn path(&self) -> PathBuf {
        let key = toolchain::hash(&[self.name, self.packages]);
        toolchain::cache().join("roots").join(format!("{}-{key:016x}", self.name))
    }

    /// Is it there?
    pub fn exists(&self) -> bool {
        self.path().exists()
    }

    /// Why nothing can run in it now; `None` if it can.
    pub fn lacks(&self) -> Option<String> {
        match self.exists() {
            true => None,
            false => Some(format!(
                "needs a root directory with Debian {}: --install, as root",
                self.name
            )),
        }
    }

    /// Makes it, unless it is there.
    pub fn make(&self) -> Result<(), String> {
        let path = self.path();
        if path.exists() {
            return Ok(());
        }
        apt::install(PACKAGES)?;
        let work = path.with_extension(format!("building-{}", std::process::id()));
        fs::create_dir_all(path.parent().unwrap_or(&path)).map_err(|e| e.to_string())?;
        // A mirror that is being updated fails for a minute or two.
        for nap in [0, 20, 60] {
            sleep(Duration::from_secs(nap));
            // In a namespace of its own, as in xtask/runners/root: what it mounts goes when it ends.
            let done = Run::new("unshare")
                .words("--mount debootstrap --variant=minbase")
                .arg(format!("--include={}", self.packages))
                .arg(self.name)
                .arg(&work)
                .env("DEBIAN_FRONTEND", "noninteractive")
                .done();
            if done.ok() {
                let _ = fs::remove_dir_all(work.join("var/cache/apt/archives"));
                // Complete or not there at all: another run may be doing the same.
                return match fs::rename(&work, &path) {
                    Err(error) if !path.exists() => Err(error.to_string()),
                    _ => Ok(()),
                };
            }
            let _ = fs::remove_dir_all(&work);
        }
        Err(format!("debootstrap could not make a Debian {}", self.name))
    }

    /// A program of it, to be run in it. The checkout lies there at its own path.
    pub fn run(&self, program: impl AsRef<Path>) -> Run {
        Run::new(checkout().join("xtask/runners/root"))
            .arg(self.path())
            .arg(checkout())
            .arg(program.as_ref())
            .shown_as(program.as_ref())
    }

    /// A script that runs a program of it as if it were one of ours, for tools that start it themselves. The program
    /// sees itself at the script's path.
    pub fn script(&self, program: &str) -> Result<PathBuf, String> {
        let script = self.path().with_extension("bin").join(program);
        let text = format!(
            "#!/bin/sh\nexec '{}' '{}' \"$PWD\" '{}' \"$@\"\n",
            checkout().join("xtask/runners/root").display(),
            self.path().display(),
            script.display(),
        );
        let write = || -> std::io::Result<()> {
            let inside = self.path().join(script.strip_prefix("/").unwrap_or(&script));
            for file in [&script, &inside] {
                fs::create_dir_all(file.parent().unwrap_or(file))?;
            }
            if fs::symlink_metadata(&inside).is_err() {
                symlink(Path::new("/usr/bin").join(program), &inside)?;
            }
            let new = script.with_extension(std::process::id().to_string());
            fs::write(&new, text)?;
            fs::set_permissions(&new, fs::Permissions::from_mode(0o755))?;
            fs::rename(&new, &script)
        };
        write().map_err(|error| format!("{}: {error}", script.display()))?;
        Ok(script)
    }
}
