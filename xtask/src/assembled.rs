//! Targets that nothing here can run: the crate is compiled for them, its build script assembles the
//! arch file that it picks, and what came out is looked at with LLVM's tools. Nothing is linked and
//! nothing is run, and so no more than "assembled" is claimed. It must never know what an object
//! of a target has to have in it; the target's row says that.

use crate::run::Run;
use crate::table::Outcome;
use crate::targets::Target;
use crate::toolchain::Toolchain;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The tools, and what they are asked.
const QUESTIONS: &[(&str, &str)] = &[
    ("llvm-nm-22", "--defined-only"),
    ("llvm-readobj-22", "--file-headers --sections --unwind"),
    ("llvm-dwarfdump-22", "--eh-frame"),
];

/// Compiles the crate, and then that the tools say each of `expected` of the object.
pub fn outcome(target: &Target, expected: &[&str], toolchain: &Toolchain) -> Outcome {
    let done = toolchain
        .cargo()
        .words("build --package greenlet --message-format=json-render-diagnostics --target")
        .arg(target.triple)
        .limit(Duration::from_secs(600))
        .quiet()
        .done();
    if !done.ok() {
        eprint!("{}", done.stderr);
        return Outcome::Failed(format!("cargo build: {}", done.how()));
    }
    let Some(archive) = archive(&done.stdout) else {
        return Outcome::Failed("the build script has left no object".into());
    };
    let mut said = String::new();
    for (tool, arguments) in QUESTIONS {
        // Not every tool knows every format; what is expected shows whether the right ones did.
        said += &Run::new(tool).words(arguments).arg(&archive).quiet().done().stdout;
    }
    // The archive has one member, whose name is made from the file's.
    let stem = target.arch.trim_end_matches(".S");
    let member = format!("-{stem}.o");
    match missing(&said, expected.iter().copied().chain([member.as_str()])) {
        Some(what) => {
            println!("{said}");
            Outcome::Failed(format!("{} does not have in it: {what}", archive.display()))
        }
        None => {
            let said: Vec<&str> = expected.iter().map(|what| what.trim()).collect();
            println!("{}: {}", archive.display(), said.join("; "));
            Outcome::Ok(1)
        }
    }
}

/// The first of `expected` that was not said.
fn missing<'a>(said: &str, expected: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    expected.into_iter().find(|what| !said.contains(*what))
}

/// The library that the build script made, from what cargo said about it.
fn archive(messages: &str) -> Option<PathBuf> {
    let message = messages.lines().find(|line| {
        line.contains("\"reason\":\"build-script-executed\"") && line.contains("greenlet_arch")
    })?;
    let (_, rest) = message.split_once("\"out_dir\":\"")?;
    let archive = Path::new(rest.split('"').next()?).join("libgreenlet_arch.a");
    archive.exists().then_some(archive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_found() {
        let said = "Format: Mach-O arm64\n0000 T _greenlet_switch\n";
        assert_eq!(missing(said, ["Format: Mach-O arm64", " T _greenlet_switch\n"]), None);
        assert_eq!(missing(said, [" T greenlet_switch\n"]), Some(" T greenlet_switch\n"));
    }
}
