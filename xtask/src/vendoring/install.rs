//! `cargo xtask install-c PREFIX`: builds libgreenlet and puts library, header and pkg-config file below a prefix.

use super::must;
use crate::args::Args;
use crate::run::{Run, root};
use crate::targets::{self, Target};
use crate::toolchain::{Toolchain, target_directory};
use std::fs;
use std::path::{Path, PathBuf};

/// As in capi/build.rs.
const ABI: u32 = 0;

/// The command.
pub fn command(args: Args) -> Result<bool, String> {
    let [prefix] = args.words.as_slice() else {
        return Err(
            "install-c wants one folder: where to put lib/, include/ and lib/pkgconfig/".into()
        );
    };
    let target = match args.option("--target") {
        None => None,
        Some(name) => Some(targets::chosen(&[name.to_string()])?[0]),
    };
    let directory = std::env::current_dir().map_err(|error| error.to_string())?;
    install(&directory.join(prefix), target, args.flag("--asan"))?;
    Ok(true)
}

/// Builds and copies; `None` is this machine's own target. `asan`: for programs with AddressSanitizer in them.
pub fn install(prefix: &Path, target: Option<&'static Target>, asan: bool) -> Result<(), String> {
    let built = build(target, asan)?;
    let failed = |what: &Path, error: std::io::Error| format!("{}: {error}", what.display());
    let version = version()?;
    let (lib, include) = (prefix.join("lib"), prefix.join("include"));
    let pkgconfig = lib.join("pkgconfig");
    for directory in [&include, &pkgconfig] {
        fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
    }
    let shared = format!("libgreenlet.so.{version}");
    for (from, to) in [
        (built.join("libgreenlet_capi.a"), lib.join("libgreenlet.a")),
        (built.join("libgreenlet_capi.so"), lib.join(&shared)),
        (root().join("capi/include/libgreenlet.h"), include.join("libgreenlet.h")),
    ] {
        fs::copy(&from, &to).map_err(|error| failed(&from, error))?;
    }
    for (name, leads_to) in
        [(format!("libgreenlet.so.{ABI}"), &shared), ("libgreenlet.so".to_string(), &shared)]
    {
        let link = lib.join(name);
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(leads_to, &link).map_err(|error| failed(&link, error))?;
    }
    let pc = pkgconfig.join("libgreenlet.pc");
    fs::write(&pc, description(prefix, &version)).map_err(|error| failed(&pc, error))?;
    println!("installed libgreenlet {version} in {}", prefix.display());
    Ok(())
}

/// The folder with what cargo made.
fn build(target: Option<&'static Target>, asan: bool) -> Result<PathBuf, String> {
    let words = match asan {
        true => "build --package greenlet-capi --profile capi --features asan",
        false => "build --package greenlet-capi --profile capi",
    };
    let Some(target) = target.filter(|target| !target.is_host()) else {
        must(Run::cargo().words(words))?;
        return Ok(target_directory().parent().unwrap_or(&root()).join("capi"));
    };
    // A library that we have built has no bitcode to optimize together with ours, and unwinds. Ours still lets no panic out.
    let cargo = Toolchain::new(target)?.cargo().env("CARGO_PROFILE_CAPI_LTO", "off");
    let cargo = cargo.env("CARGO_PROFILE_CAPI_PANIC", "unwind");
    must(cargo.words(words).arg("--target").arg(target.triple))?;
    Ok(target_directory().join(target.triple).join("capi"))
}

/// The crate's.
fn version() -> Result<String, String> {
    let manifest = fs::read_to_string(root().join("capi/Cargo.toml"))
        .map_err(|error| format!("capi/Cargo.toml: {error}"))?;
    let line = manifest.lines().find_map(|line| line.strip_prefix("version = "));
    Ok(line.ok_or("capi/Cargo.toml has no version")?.trim_matches('"').to_string())
}

fn description(prefix: &Path, version: &str) -> String {
    format!(
        "prefix={}
libdir=${{prefix}}/lib
includedir=${{prefix}}/include

Name: libgreenlet
Description: Coroutines that share one machine stack
Version: {version}
Libs: -L${{libdir}} -lgreenlet
Cflags: -I${{includedir}}
",
        prefix.display()
    )
}
