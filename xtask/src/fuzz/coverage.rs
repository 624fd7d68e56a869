//! Which lines of the crate the corpus reaches: the targets built for LLVM's coverage, run over the corpus once, and
//! `llvm-cov`'s table of `src/`.

use super::{Build, corpus, prepare, scratch};
use crate::run::{Run, root};
use std::fs;

/// LLVM's tools of the compiler's own version.
pub const PACKAGES: &[&str] = &["llvm-22"];

/// Prints the table. True if all that had to run ran well.
pub fn report(targets: &[String]) -> Result<bool, String> {
    let profiles = scratch().join("profiles");
    let _ = fs::remove_dir_all(&profiles);
    corpus::folder(&profiles)?;
    let mut programs = Vec::new();
    for target in targets {
        let program = prepare(target, Build::Coverage)?;
        let (seeds, inputs) = corpus::unpack(target, &scratch().join("seeds").join(target))?;
        // Without instrumentation for libFuzzer it runs what it is given, and looks for nothing.
        let done = program
            .fuzzer()
            .arg("-runs=0")
            .arg(seeds)
            .env("LLVM_PROFILE_FILE", profiles.join(format!("{target}-%p.profraw")))
            .done();
        if !done.ok() || inputs == 0 {
            return Err(format!("{target}, {inputs} inputs: {}", done.how()));
        }
        programs.push(program.path);
    }
    let raw: Vec<_> = fs::read_dir(&profiles)
        .map_err(|error| error.to_string())?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    let merged = profiles.join("all.profdata");
    let done =
        Run::new(tool("llvm-profdata")).words("merge -sparse -o").arg(&merged).args(raw).done();
    if !done.ok() {
        return Err(format!("llvm-profdata: {}", done.how()));
    }
    let mut report = Run::new(tool("llvm-cov")).arg("report").arg(&programs[0]);
    for program in &programs[1..] {
        report = report.arg("-object").arg(program);
    }
    let profile = format!("-instr-profile={}", merged.display());
    let done =
        report.arg(profile).words("--show-branch-summary=false").arg(root().join("src")).done();
    Ok(done.ok())
}

/// The tool of the compiler's LLVM, where Debian has it, else whatever has that name.
fn tool(name: &str) -> String {
    let versioned = format!("{name}-22");
    match std::path::Path::new("/usr/bin").join(&versioned).exists() {
        true => versioned,
        false => name.into(),
    }
}
