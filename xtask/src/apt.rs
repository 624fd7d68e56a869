//! Debian packages: which are missing, and fetching them. Nothing is installed unless the user said
//! `--install`. A name that begins with `unpacked:` is that of a folder of `debs`.

use crate::debs;
use crate::run::Run;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

/// Those of `packages` that are not installed.
pub fn missing(packages: &[&'static str]) -> Vec<&'static str> {
    let installed = |package: &str| {
        Run::new("dpkg-query")
            .args(["-W", "-f", "${db:Status-Status}", package])
            .output()
            .is_some_and(|status| status.split_whitespace().any(|word| word == "installed"))
    };
    let is_here = |package: &str| match package.strip_prefix(debs::PREFIX) {
        Some(folder) => debs::is_there(folder),
        None => installed(package),
    };
    packages.iter().copied().filter(|package| !is_here(package)).collect()
}

/// Why something cannot run here: the packages that it lacks. `None` if it lacks none.
pub fn lacks(packages: &[&'static str]) -> Option<String> {
    let missing = missing(packages);
    (!missing.is_empty()).then(|| format!("needs apt packages: {}", missing.join(" ")))
}

/// Fetches what is missing. Packages are never removed for it: a machine's own must stay.
pub fn install(packages: &[&'static str]) -> Result<(), String> {
    let mut missing = missing(packages);
    missing.sort_unstable();
    missing.dedup();
    if !missing.is_empty() && !Path::new("/usr/bin/apt-get").exists() {
        return Err(format!("there is no apt-get here to fetch {}", missing.join(" ")));
    }
    let (folders, missing): (Vec<_>, Vec<_>) =
        missing.into_iter().partition(|package| package.starts_with(debs::PREFIX));
    if !missing.is_empty() {
        fetch(&missing)?;
    }
    // After the packages, since what these bring along need not be unpacked.
    folders.iter().try_for_each(|folder| debs::unpack(&folder[debs::PREFIX.len()..]))
}

fn fetch(missing: &[&str]) -> Result<(), String> {
    println!("fetching {}", missing.join(" "));
    // A mirror that is being updated fails for a minute or two.
    for nap in [0, 10, 30] {
        sleep(Duration::from_secs(nap));
        if apt_get("update").done().ok()
            && apt_get("install")
                .args(missing)
                .words("--yes --no-install-recommends --no-remove")
                .done()
                .ok()
        {
            return Ok(());
        }
    }
    Err(format!("apt-get could not install {}", missing.join(" ")))
}

fn apt_get(verb: &str) -> Run {
    Run::new("apt-get")
        .arg(verb)
        .words("-qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0")
        .env("DEBIAN_FRONTEND", "noninteractive")
}
