//! Wheels: maturin, and building one for an interpreter. `cargo xtask wheel` builds them for all.

use super::interpreter::{Interpreter, Unready, VERSIONS};
use super::{file_in, folder};
use crate::apt;
use crate::args::Args;
use crate::run::{Run, root};
use crate::table::{Outcome, Table};
use std::fs;
use std::path::{Path, PathBuf};

/// The interpreter that runs maturin, whichever version that is, and the compilers.
pub const TOOL_PACKAGES: &[&str] = &["python3", "python3-venv", "gcc", "g++", "libc6-dev"];

/// What pip installs maturin by: as in pyproject.toml.
const MATURIN: &str = "maturin>=1.9,<2";

/// The command.
pub fn command(args: Args) -> Result<bool, String> {
    args.no_words()?;
    let install = args.flag("--install");
    let to = args.option("--to").map_or_else(|| root().join("target/wheels"), PathBuf::from);
    let to = std::path::absolute(to).map_err(|error| error.to_string())?;
    if install {
        apt::install(TOOL_PACKAGES)?;
    }
    let mut table = Table::default();
    for version in VERSIONS {
        let build = || {
            let interpreter = match version.find() {
                Ok(interpreter) => interpreter,
                Err(why) => return Outcome::Skipped(why),
            };
            if install && let Err(why) = apt::install(&interpreter.packages) {
                return Outcome::Failed(why);
            }
            match interpreter.ready(install) {
                Err(Unready::Lacks(why)) => return Outcome::Skipped(why),
                Err(Unready::Failed(why)) => return Outcome::Failed(why),
                Ok(()) => {}
            }
            match build(&interpreter, &to) {
                Ok(_) => Outcome::Ok(1),
                Err(why) => Outcome::Failed(why),
            }
        };
        table.row(&format!("wheel {}", version.name), build);
    }
    println!("\nthe wheels are in {}", to.display());
    Ok(table.finish())
}

/// maturin, in a virtual environment of the checkout's target folder.
pub fn maturin() -> Result<PathBuf, String> {
    let venv = folder().join("maturin");
    let program = venv.join("bin/maturin");
    if Run::new(&program).arg("--version").output().is_none() {
        let _ = fs::remove_dir_all(&venv);
        let made = Run::new("/usr/bin/python3").words("-m venv").arg(&venv).done();
        let pip = || Run::new(venv.join("bin/pip")).words("install -q --disable-pip-version-check");
        if !made.ok() || !pip().arg(MATURIN).done().ok() {
            return Err("maturin could not be installed".into());
        }
    }
    Ok(program)
}

/// Builds the wheel for one interpreter, into `to`.
pub fn build(interpreter: &Interpreter, to: &Path) -> Result<PathBuf, String> {
    let into = to.join(interpreter.name);
    let _ = fs::remove_dir_all(&into);
    let mut run = Run::new(maturin()?).words("build --release -o").arg(&into);
    match interpreter.root {
        None => run = run.arg("-i").arg(&interpreter.program),
        // Built here, by our compilers, against its headers: so no compiler for Rust is needed there.
        Some(release) => {
            let name = interpreter.program.file_name().and_then(|name| name.to_str());
            let script = release.script(name.unwrap_or_default())?;
            run = run.arg("-i").arg(script).env("GREENLET_PYTHON_ROOT", release.path());
        }
    }
    let done = run.env("CARGO_TARGET_DIR", folder().join("cargo")).done();
    if !done.ok() {
        return Err(format!("maturin: {}", done.how()));
    }
    file_in(&into, ".whl")
}
