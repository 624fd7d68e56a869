//! Debian packages that are unpacked into a folder of the user's cache and not installed: what this
//! release of Debian has not, or what would push out something that the machine has. (Debian 12's
//! `qemu-system-*` and the `qemu-utils` of its backports exclude each other.)
//!
//! apt does the work, with sources, lists and a record of what is installed of our own; so no root is
//! needed, and nothing outside the folder changes:
//!
//! ```text
//! ~/.cache/greenlet/debs/<name>/usr/bin/…      the packages, and those they depend on that are not here
//! ```
//!
//! A row of `targets` names a folder among its packages, as `unpacked:NAME`. It must never know what
//! the packages are for.

use crate::run::Run;
use crate::toolchain::cache;
use std::fs;
use std::path::{Path, PathBuf};

/// What makes a package's name one of a folder.
pub const PREFIX: &str = "unpacked:";

/// One folder. Change its name when its packages change: whoever has the old one then gets the new one.
pub struct Folder {
    /// Its name in the cache.
    pub name: &'static str,
    /// The releases of Debian to take packages from. The last is preferred.
    pub suites: &'static [&'static str],
    /// The packages.
    pub packages: &'static [&'static str],
    /// What the names of the packages begin with that are taken for not installed, whatever the machine has.
    pub hide: &'static str,
}

/// Every folder that a row can name.
pub const FOLDERS: &[Folder] = &[
    // The emulators of boards. xtask/runners/board knows this folder.
    Folder {
        name: "boards-1",
        suites: &["bookworm", "bookworm-backports"],
        packages: &["qemu-system-arm", "qemu-system-riscv", "qemu-system-x86"],
        hide: "qemu",
    },
    // The emulator for LoongArch (7.2's dies of an illegal instruction) and that machine's C library and start
    // files. xtask/linkers/loongarch64 and xtask/runners/qemu-loongarch64 know this folder.
    Folder {
        name: "loong64-1",
        suites: &["trixie"],
        packages: &["qemu-user", "libc6-dev-loong64-cross", "libgcc-14-dev-loong64-cross"],
        hide: "qemu",
    },
];

/// Where a folder is, or will be.
pub fn path(name: &str) -> PathBuf {
    cache().join("debs").join(name)
}

/// Is it there? Only a complete one ever has its name.
pub fn is_there(name: &str) -> bool {
    path(name).exists()
}

/// Makes a folder, if it is not there.
pub fn unpack(name: &str) -> Result<(), String> {
    if is_there(name) {
        return Ok(());
    }
    let folder = FOLDERS.iter().find(|folder| folder.name == name);
    let folder = folder.ok_or_else(|| format!("no folder of packages is called `{name}`"))?;
    let work = path(&format!("unpacking-{name}-{}", std::process::id()));
    let result = unpack_into(folder, &work).and_then(|()| {
        // Another run may have done the same.
        match fs::rename(work.join("files"), path(name)) {
            Err(error) if !is_there(name) => Err(format!("{}: {error}", path(name).display())),
            _ => Ok(()),
        }
    });
    let _ = fs::remove_dir_all(&work);
    result
}

fn unpack_into(folder: &Folder, work: &Path) -> Result<(), String> {
    crate::run::say(&format!(
        "unpacking {} of {}",
        folder.packages.join(" "),
        folder.suites.join(", ")
    ));
    let failed = |error: std::io::Error| format!("{}: {error}", work.display());
    let files = work.join("files");
    for part in ["lists/partial", "cache/archives/partial", "files"] {
        fs::create_dir_all(work.join(part)).map_err(failed)?;
    }
    let mirror = mirror();
    let sources: String = folder.suites.iter().map(|suite| source(&mirror, suite)).collect();
    fs::write(work.join("sources.list"), sources).map_err(failed)?;
    let status = fs::read_to_string("/var/lib/dpkg/status").map_err(failed)?;
    fs::write(work.join("status"), without(&status, folder.hide)).map_err(failed)?;

    let apt_get = |verb: &str| {
        let ours = [
            ("Dir::Etc::SourceList", "sources.list"),
            ("Dir::State::Lists", "lists"),
            ("Dir::State::status", "status"),
            ("Dir::State::extended_states", "extended"),
            ("Dir::Cache", "cache"),
        ];
        let run = Run::new("apt-get").arg("-qq").env("DEBIAN_FRONTEND", "noninteractive");
        let run = ours.iter().fold(run, |run, (name, file)| {
            run.arg("-o").arg(format!("{name}={}", work.join(file).display()))
        });
        run.words("-o Dir::Etc::SourceParts=/dev/null -o Acquire::Languages=none")
            .words("-o Debug::NoLocking=true -o APT::Sandbox::User=root -o Acquire::Retries=3")
            .arg(verb)
    };
    let preferred = folder.suites.last().copied().unwrap_or_default();
    let fetched = apt_get("update").done().ok()
        && apt_get("install")
            .words("--yes --download-only --no-install-recommends --no-remove -t")
            .arg(preferred)
            .args(folder.packages)
            .done()
            .ok();
    if !fetched {
        return Err(format!("apt-get could not fetch {}", folder.packages.join(" ")));
    }
    for entry in fs::read_dir(work.join("cache/archives")).map_err(failed)?.flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "deb") {
            let unpacked = Run::new("dpkg-deb").arg("--extract").arg(entry.path()).arg(&files);
            if !unpacked.quiet().done().ok() {
                return Err(format!("{} could not be unpacked", entry.path().display()));
            }
        }
    }
    Ok(())
}

/// The mirror that this machine takes Debian from.
fn mirror() -> String {
    let format = "$(ORIGIN) $(REPO_URI)";
    let targets = Run::new("apt-get").args(["indextargets", "--format", format]).output();
    let targets = targets.unwrap_or_default();
    let mirror = targets.lines().find_map(|line| {
        let uri = line.strip_prefix("Debian ")?.trim_end_matches('/');
        (uri.ends_with("/debian") && uri.starts_with("http")).then(|| uri.to_string())
    });
    mirror.unwrap_or_else(|| "http://deb.debian.org/debian".into())
}

fn source(mirror: &str, suite: &str) -> String {
    let key = "/usr/share/keyrings/debian-archive-keyring.gpg";
    format!("deb [signed-by={key}] {mirror} {suite} main\n")
}

/// dpkg's status without the packages whose names begin with `hide`.
fn without(status: &str, hide: &str) -> String {
    let is_hidden = |paragraph: &str| {
        !hide.is_empty()
            && paragraph
                .lines()
                .any(|line| line.strip_prefix("Package: ").is_some_and(|p| p.starts_with(hide)))
    };
    let kept = status.split("\n\n").filter(|paragraph| !is_hidden(paragraph));
    kept.collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn only_the_packages_that_are_to_be_hidden_are() {
        let status = "Package: a\nDescription: x\n like Package: qemu\n\nPackage: qemu-utils\nA: b\n\nPackage: z\n";
        let left = "Package: a\nDescription: x\n like Package: qemu\n\nPackage: z\n";
        assert_eq!(without(status, "qemu"), left);
        assert_eq!(without(status, ""), status);
    }

    #[test]
    fn names_of_folders_are_unique() {
        let names: HashSet<&str> = FOLDERS.iter().map(|folder| folder.name).collect();
        assert_eq!(names.len(), FOLDERS.len());
        assert!(unpack("no such folder").is_err());
    }
}
