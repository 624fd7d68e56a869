//! What the fuzz target `python` needs besides its program: the extension, built with counters in its Rust and in its C, where an
//! interpreter that lives in a library finds it. It must never know what a program of greenlets is.

use super::{COVERED, scratch};
use crate::python::embedded;
use crate::run::{Run, root};
use std::fs;
use std::path::PathBuf;

/// The target's name.
pub const TARGET: &str = "python";

/// Clang counts in C what the Rust compiler counts in Rust.
pub const PACKAGES: &[&str] = &["g++", "clang-22"];

const COUNTED_C: &str = "-fsanitize-coverage=inline-8bit-counters,pc-table,trace-cmp -g1";

/// Why it cannot be done here.
pub fn lacks() -> Option<String> {
    embedded().err()
}

/// Builds the extension: the variables with which the target finds it, and the interpreter.
pub fn environment() -> Result<Vec<(&'static str, String)>, String> {
    let python = embedded()?;
    let target = scratch().join("extension");
    let done = Run::cargo()
        .words("build --release --manifest-path python/Cargo.toml --target")
        .arg(crate::targets::host())
        // Else the counters of what is inlined are lost; and the checks that are left out of a release are wanted.
        .args(["--config", "profile.release.lto=false"])
        .args(["--config", "profile.release.debug-assertions=true"])
        .args(["--config", "profile.release.overflow-checks=true"])
        .env("RUSTFLAGS", COVERED)
        .env("CC", "clang-22")
        .env("CFLAGS", COUNTED_C)
        .env("PYO3_PYTHON", &python.program)
        .env("PYO3_BUILD_EXTENSION_MODULE", "1")
        .env("CARGO_TARGET_DIR", &target)
        .done();
    if !done.ok() {
        return Err(format!("building the extension: {}", done.how()));
    }
    let built = target.join(crate::targets::host()).join("release/lib_greenlet.so");
    let package = package(&built).map_err(|error| format!("{}: {error}", built.display()))?;
    let tests = root().join("python/tests");
    let ours = root().join("fuzz/python");
    let path = [package, tests, ours].map(|path| path.display().to_string()).join(":");
    Ok(vec![
        ("GREENLET_FUZZ_PYTHON", python.library.display().to_string()),
        ("PYTHONHOME", python.home.display().to_string()),
        ("PYTHONPATH", path),
        ("PYTHONDONTWRITEBYTECODE", "1".into()),
        ("PYTHONNOUSERSITE", "1".into()),
    ])
}

/// A folder with the package in it, and the extension that was built.
fn package(built: &PathBuf) -> std::io::Result<PathBuf> {
    let folder = scratch().join("package");
    let to = folder.join("greenlet");
    fs::create_dir_all(&to)?;
    for entry in fs::read_dir(root().join("python/greenlet"))?.flatten() {
        if entry.path().extension().is_some_and(|end| end == "py") {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    // Not over one that another run may have mapped.
    let new = to.join(format!("_greenlet.{}", std::process::id()));
    fs::copy(built, &new)?;
    fs::rename(new, to.join("_greenlet.so"))?;
    Ok(folder)
}
