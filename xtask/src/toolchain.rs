//! Which cargo and which library build for a target.
//!
//! In order of preference: rustup's prebuilt library for the target; a library that we build once
//! from the sources that rustup has (component `rust-src`); the same with Debian's `rustc-web`,
//! whose sources are a package.
//!
//! A library that we build goes into the user's cache folder as a *sysroot*, laid out as rustup
//! would lay it out, so that everything after it is a plain `cargo test --target T`:
//!
//! ```text
//! ~/.cache/greenlet/sysroots/<target>-<hash>/lib/rustlib/<target>/lib/lib{core,std,test,…}.rlib
//! ```
//!
//! The hash covers the compiler, the library's sources, the flags and this recipe. Nothing but the
//! library is ever in there: what is made from a checkout stays in that checkout's `target/`, so no
//! clone can run what another one has built. It must never know what is being tested.

use crate::apt;
use crate::run::Run;
use crate::targets::{How, Target};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Debian's own compiler, with the library's sources.
pub const DEBIAN: &[&str] = &["rustc-web", "cargo-web", "rust-web-src"];

/// Change this when the way that a library is built changes, so that older ones are not used.
const RECIPE: &str = "1";

/// What builds for one target.
pub struct Toolchain {
    cargo: Compiler,
    sysroot: Option<PathBuf>,
    target: &'static Target,
}

/// A compiler and the cargo that goes with it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Compiler {
    /// The one on the path; rustup's, as a rule.
    OnPath,
    /// Debian's.
    Debian,
}

impl Compiler {
    fn cargo(self) -> Run {
        match self {
            Compiler::OnPath => Run::cargo(),
            Compiler::Debian => Run::new("/usr/bin/cargo")
                .env("RUSTC", "/usr/bin/rustc")
                .env("RUSTDOC", "/usr/bin/rustdoc"),
        }
    }

    fn rustc(self) -> Run {
        Run::new(match self {
            Compiler::OnPath => "rustc",
            Compiler::Debian => "/usr/bin/rustc",
        })
    }

    fn sysroot(self) -> Option<PathBuf> {
        let path = self.rustc().words("--print sysroot").output()?;
        Some(PathBuf::from(path.trim()))
    }

    /// The library's sources, if this compiler has them.
    fn library(self) -> Option<PathBuf> {
        let library = self.sysroot()?.join("lib/rustlib/src/rust/library");
        library.join("Cargo.lock").exists().then_some(library)
    }

    /// Debian 12 as released has one that is too old; its security suite has a newer one.
    fn is_new_enough(self) -> Result<(), String> {
        let version = self.rustc().arg("-V").output().ok_or("rustc does not run")?;
        let version = version.split_whitespace().nth(1).unwrap_or_default();
        let manifest = fs::read_to_string(crate::run::root().join("Cargo.toml"))
            .map_err(|error| format!("Cargo.toml: {error}"))?;
        let needed = manifest.lines().find_map(|line| line.strip_prefix("rust-version = "));
        let needed = needed.unwrap_or_default().trim_matches('"');
        match minor(version) >= minor(needed) {
            true => Ok(()),
            false => Err(format!(
                "rustc is {version}, the crate needs {needed}: apt-get update, upgrade {}",
                DEBIAN.join(" ")
            )),
        }
    }

    fn has_library_for(self, triple: &str) -> bool {
        let Some(sysroot) = self.sysroot() else { return false };
        let lib = sysroot.join("lib/rustlib").join(triple).join("lib");
        fs::read_dir(lib).is_ok_and(|entries| {
            entries.flatten().any(|e| e.file_name().to_string_lossy().starts_with("libcore-"))
        })
    }
}

/// The packages that a target's compiler needs on this machine.
pub fn packages(target: &Target) -> &'static [&'static str] {
    match choose(target) {
        Choice::Ready(_) | Choice::Build(Compiler::OnPath) => &[],
        Choice::Build(Compiler::Debian) => DEBIAN,
    }
}

enum Choice {
    /// This compiler has a library for the target.
    Ready(Compiler),
    /// This one has (or, Debian's, can be given) the sources.
    Build(Compiler),
}

fn choose(target: &Target) -> Choice {
    // Flags that change the calling of functions need a library built with them.
    let prebuilt_will_do = target.rustflags.is_empty();
    if prebuilt_will_do && Compiler::OnPath.has_library_for(target.triple) {
        Choice::Ready(Compiler::OnPath)
    } else if Compiler::OnPath.library().is_some() {
        Choice::Build(Compiler::OnPath)
    } else {
        Choice::Build(Compiler::Debian)
    }
}

impl Toolchain {
    /// The toolchain for a target, its library built if need be. The error says what is missing.
    pub fn new(target: &'static Target) -> Result<Toolchain, String> {
        let (cargo, sysroot) = match choose(target) {
            Choice::Ready(compiler) => (compiler, None),
            Choice::Build(compiler) => {
                if compiler == Compiler::Debian
                    && let Some(reason) = apt::lacks(DEBIAN)
                {
                    return Err(reason);
                }
                compiler.is_new_enough()?;
                (compiler, Some(sysroot(compiler, target)?))
            }
        };
        Ok(Toolchain { cargo, sysroot, target })
    }

    /// A cargo for what ends the process when it panics, and what its builds need to be told: the libraries that we
    /// build here are for unwinding only, so that such a build makes its own.
    pub fn aborting(target: &'static Target) -> Result<(Run, &'static str), String> {
        let choice = choose(target);
        let (Choice::Ready(compiler) | Choice::Build(compiler)) = choice;
        compiler.is_new_enough()?;
        let mut cargo = compiler.cargo();
        let mut words = "";
        if let Choice::Build(_) = choice {
            cargo = cargo.env("RUSTC_BOOTSTRAP", "1");
            words = "-Zbuild-std=std,panic_abort";
        }
        for (name, value) in target.env {
            cargo = cargo.env(name, value);
        }
        Ok((cargo, words))
    }

    /// A cargo that builds for the target when it is given `--target`, into `target/cross`.
    pub fn cargo(&self) -> Run {
        let mut flags = self.target.rustflags.to_string();
        if let Some(sysroot) = &self.sysroot {
            flags = format!("--sysroot={} {flags}", sysroot.display());
        }
        let flags = flags.trim();
        let mut cargo = self.cargo.cargo();
        if !flags.is_empty() {
            cargo = cargo.env("RUSTFLAGS", flags).env("RUSTDOCFLAGS", flags);
        }
        // A row of its own kind needs another runner than the one in .cargo/config.toml.
        if let (Some(runner), true) = (self.target.runner(), self.target.name != self.target.triple)
        {
            let runner = if runner.starts_with("xtask/") {
                crate::run::root().join(runner).display().to_string()
            } else {
                runner
            };
            cargo = cargo.env(variable(self.target.triple, "RUNNER"), runner);
        }
        for (name, value) in self.target.env {
            cargo = cargo.env(name, value);
        }
        cargo.env("CARGO_TARGET_DIR", target_directory())
    }
}

/// Where all cross builds of this checkout go.
pub fn target_directory() -> PathBuf {
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => crate::run::root().join(directory),
        None => crate::run::root().join("target"),
    };
    target.join("cross")
}

/// `CARGO_TARGET_<TRIPLE>_<what>`.
pub fn variable(triple: &str, what: &str) -> String {
    format!("CARGO_TARGET_{}_{what}", triple.replace(['-', '.'], "_").to_uppercase())
}

/// The folder with the library for a target, built now if it is not there yet.
fn sysroot(compiler: Compiler, target: &Target) -> Result<PathBuf, String> {
    let library = compiler.library().ok_or("the library's sources are not where they should be")?;
    let (crates, features) = match target.how {
        How::Board(_) => ("core,alloc,compiler_builtins", "compiler-builtins-mem"),
        How::Assembled(_) => ("std,panic_unwind", ""),
        _ => ("std,panic_abort,panic_unwind,proc_macro,test", ""),
    };
    // Where nothing is linked, what the compiler has to know of the library is enough, without its code.
    let (verb, kind, flags) = match target.how {
        How::Assembled(_) => ("check", ".rmeta", "-Zno-codegen"),
        _ => ("build", ".rlib", target.rustflags),
    };
    let version = compiler.rustc().arg("-vV").output().ok_or("rustc does not run")?;
    let lock = fs::read_to_string(library.join("Cargo.lock")).map_err(|e| e.to_string())?;
    let env = format!("{:?}", target.env);
    let key = hash(&[RECIPE, &version, &lock, crates, features, flags, &env]);
    let sysroots = cache().join("sysroots");
    let sysroot = sysroots.join(format!("{}-{key:016x}", target.triple));
    if sysroot.exists() {
        return Ok(sysroot);
    }

    crate::run::say(&format!("building the library for {}", target.name));
    let failed = |what: &str, error: std::io::Error| format!("{what}: {error}");
    let work = sysroots.join(format!("building-{}-{}", target.name, std::process::id()));
    let source = work.join("crate");
    fs::create_dir_all(source.join("src")).map_err(|e| failed("cache folder", e))?;
    let manifest = "[package]\nname = \"nothing\"\nedition = \"2021\"\n[workspace]\n";
    fs::write(source.join("Cargo.toml"), manifest).map_err(|e| failed("manifest", e))?;
    fs::write(source.join("src/lib.rs"), "#![no_std]\n").map_err(|e| failed("source", e))?;
    let mut cargo = compiler
        .cargo()
        .arg(verb)
        .words("--release --target")
        .arg(target.triple)
        .arg(format!("-Zbuild-std={crates}"))
        .directory(&source)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", work.join("target"))
        .env("CARGO_PROFILE_RELEASE_DEBUG", "line-tables-only")
        .env("RUSTFLAGS", flags)
        .limit(Duration::from_secs(2400));
    if !features.is_empty() {
        cargo = cargo.arg(format!("-Zbuild-std-features={features}"));
    }
    for (name, value) in target.env {
        cargo = cargo.env(name, value);
    }
    let done = cargo.done();
    if !done.ok() {
        let _ = fs::remove_dir_all(&work);
        return Err(format!("building the library for {}: {}", target.name, done.how()));
    }

    let made = work.join("target").join(target.triple).join("release/deps");
    let lib = work.join("sysroot/lib/rustlib").join(target.triple).join("lib");
    copy_libraries(&made, &lib, kind).map_err(|e| failed("copying the library", e))?;
    start_and_end(compiler, target, &library, &lib)?;
    // Complete or not there at all: another run may be doing the same.
    let renamed = fs::rename(work.join("sysroot"), &sysroot);
    let _ = fs::remove_dir_all(&work);
    match renamed {
        Err(error) if !sysroot.exists() => Err(failed("putting the library in place", error)),
        _ => Ok(sysroot),
    }
}

fn copy_libraries(from: &Path, to: &Path, kind: &str) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(kind) && !name.starts_with("libnothing-") {
            fs::copy(entry.path(), to.join(name))?;
        }
    }
    Ok(())
}

/// Makes the two objects that 32-bit Windows programs begin and end with: they hand their unwind information to the
/// unwinder. They are part of Rust's library, but no crate of it, so that `-Zbuild-std` does not make them.
fn start_and_end(
    compiler: Compiler,
    target: &Target,
    library: &Path,
    to: &Path,
) -> Result<(), String> {
    if target.triple != "i686-pc-windows-gnu" {
        return Ok(());
    }
    for name in ["rsbegin", "rsend"] {
        let done = compiler
            .rustc()
            .words("--crate-type lib --emit obj --target")
            .arg(target.triple)
            .arg(library.join("rtstartup").join(name).with_extension("rs"))
            .arg("-o")
            .arg(to.join(name).with_extension("o"))
            .env("RUSTC_BOOTSTRAP", "1")
            .done();
        if !done.ok() {
            return Err(format!("compiling {name}.rs: {}", done.how()));
        }
    }
    Ok(())
}

/// Our folder in the user's cache folder.
pub fn cache() -> PathBuf {
    let absolute = |name: &str| {
        std::env::var_os(name).map(PathBuf::from).filter(|directory| directory.is_absolute())
    };
    let cache = absolute("XDG_CACHE_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".cache")))
        .unwrap_or_else(|| crate::run::root().join("target/cache"));
    cache.join("greenlet")
}

/// The 96 of 1.96.0.
fn minor(version: &str) -> u32 {
    version.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or(0)
}

/// FNV-1a of the parts, each ended, so that no two lists of parts run together.
pub fn hash(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_key_counts() {
        assert_ne!(hash(&["a", "b"]), hash(&["ab", ""]));
        assert_ne!(hash(&["a", "b"]), hash(&["a", "c"]));
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(minor("1.100.0") > minor("1.96.0-nightly"));
        assert!(minor("1.96.0") > minor("1.9"));
    }

    #[test]
    fn cargos_variable_for_a_target() {
        assert_eq!(
            variable("thumbv7em-none-eabihf", "RUNNER"),
            "CARGO_TARGET_THUMBV7EM_NONE_EABIHF_RUNNER"
        );
    }
}
