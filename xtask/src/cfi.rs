//! `cargo xtask cfi`: checks the unwind information of a target's arch file at every instruction,
//! with gdb's unwinder. What is checked is in `cfi.py`, which runs inside gdb; the program that it
//! watches is `examples/cfi_probe.rs`. This file only brings the two together.

use crate::args::Args;
use crate::run::{Done, Run, root};
use crate::table::{Outcome, Table};
use crate::targets::{self, How, Target};
use crate::toolchain::Toolchain;
use crate::{apt, cross};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The command.
pub fn command(args: Args) -> Result<bool, String> {
    let chosen: Vec<_> = targets::chosen(&args.words)?.into_iter().filter(|t| can(t)).collect();
    if args.flag("--install") {
        let packages: Vec<_> = chosen.iter().flat_map(|target| packages(target)).collect();
        apt::install(&packages)?;
    }
    let mut table = Table::default();
    for target in chosen {
        table.row(&format!("cfi {}", target.name), || outcome(target));
    }
    Ok(table.finish())
}

/// One target for each arch file of which `cfi.py` knows the calling convention.
const KNOWN: &[&str] = &[
    "x86_64-unknown-linux-gnu",
    "i686-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "armv7-unknown-linux-gnueabihf",
    "riscv64gc-unknown-linux-gnu",
    "powerpc-unknown-linux-gnu",
    "powerpc64-unknown-linux-gnu",
    "powerpc64le-unknown-linux-gnu",
    "s390x-unknown-linux-gnu",
    "mips-unknown-linux-gnu",
    "mips64el-unknown-linux-gnuabi64",
];

/// Can gdb watch programs of this target here?
pub fn can(target: &Target) -> bool {
    KNOWN.contains(&target.name) && (target.is_host() || matches!(target.how, How::Qemu(..)))
}

/// The Debian packages that the check needs here.
pub fn packages(target: &Target) -> Vec<&'static str> {
    let mut packages = cross::packages(target);
    packages.push(if target.is_host() { "gdb" } else { "gdb-multiarch" });
    packages.push("binutils"); // readelf, for symbols of any target
    packages
}

/// Builds the program for a target and has it watched.
pub fn outcome(target: &'static Target) -> Outcome {
    if let Some(why) = apt::lacks(&packages(target)) {
        return Outcome::Skipped(why);
    }
    match probe(target).and_then(|program| watch(target, &program)) {
        Ok(done) => verdict(&done),
        Err(why) => Outcome::Failed(why),
    }
}

/// What is wrong with a probe that is there already, or `None`. Says nothing itself.
pub fn mistake(target: &Target, program: &Path) -> Option<String> {
    match watch(target, program) {
        Ok(done) => said(&done).err(),
        Err(why) => Some(why),
    }
}

fn probe(target: &'static Target) -> Result<PathBuf, String> {
    let done = Toolchain::new(target)?
        .cargo()
        .words("build --package xtask --example cfi_probe --release --message-format=json-render-diagnostics --target")
        .arg(target.triple)
        .quiet()
        .done();
    if !done.ok() {
        eprint!("{}", done.stderr);
        return Err(format!("building the probe: {}", done.how()));
    }
    // The last `"executable":"PATH"` is the example's: nothing else that is built here has one.
    let (_, path) = done.stdout.rsplit_once("\"executable\":\"").ok_or("cargo named no program")?;
    Ok(PathBuf::from(path.split('"').next().unwrap_or_default()))
}

fn watch(target: &Target, program: &Path) -> Result<Done, String> {
    let gdb = if target.is_host() { "gdb" } else { "gdb-multiarch" };
    let gdb = Run::new(gdb)
        .words("-nx -q -batch -x xtask/cfi.py")
        .env("CFI_PROGRAM", program)
        .limit(Duration::from_secs(600));
    let How::Qemu(cpu, arguments) = target.how else {
        return Ok(gdb.quiet().done());
    };
    // qemu waits for gdb on a socket in the file system: no port to be taken by somebody else.
    let socket = std::env::temp_dir().join(format!("greenlet-cfi-{}", std::process::id()));
    let emulator = Command::new(format!("qemu-{cpu}"))
        .args(arguments.split_whitespace())
        .arg("-g")
        .arg(&socket)
        .arg(program)
        .current_dir(root())
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| format!("qemu-{cpu}: {error}"))?;
    let _emulator = Ended(emulator, socket.clone());
    for _ in 0..200 {
        if socket.exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let sysroot = arguments.split_whitespace().skip_while(|word| *word != "-L").nth(1);
    let gdb = gdb.env("CFI_REMOTE", &socket).env("CFI_SYSROOT", sysroot.unwrap_or("/"));
    Ok(gdb.quiet().done())
}

/// The emulator, which does not outlive the check, and its socket.
struct Ended(Child, PathBuf);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = std::fs::remove_file(&self.1);
    }
}

/// gdb's own chatter is shown only where something went wrong.
fn verdict(done: &Done) -> Outcome {
    match said(done) {
        Ok(checks) => {
            println!("{}", ours(done).collect::<Vec<_>>().join("\n"));
            Outcome::Ok(checks)
        }
        Err(mistake) => {
            print!("{}", done.stdout);
            eprint!("{}", done.stderr);
            Outcome::Failed(mistake)
        }
    }
}

/// The lines of the script, as against gdb's and the program's.
fn ours(done: &Done) -> impl Iterator<Item = &str> {
    done.stdout.lines().filter(|line| line.starts_with("cfi: "))
}

/// What the script said: how many checks it made, or the first mistake.
fn said(done: &Done) -> Result<usize, String> {
    match ours(done).find_map(checked) {
        Some(checks) if ours(done).any(|line| line == "cfi: ok") && done.ok() => Ok(checks),
        _ => {
            let mistake = |mark| ours(done).find_map(|line: &str| line.strip_prefix(mark));
            let mistake = mistake("cfi: MISTAKE: ").or_else(|| mistake("cfi: FAILED: "));
            Err(mistake.map_or_else(|| done.how(), String::from))
        }
    }
}

/// The number in `cfi: 51 instructions in …, checked 1029 times in …`.
fn checked(line: &str) -> Option<usize> {
    let (_, rest) = line.split_once(", checked ")?;
    rest.split_once(" times")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(status: i32, stdout: &str) -> Done {
        let (stdout, stderr) = (stdout.to_string(), String::new());
        Done { status: Some(status), timed_out: false, stdout, stderr, seconds: 1.0 }
    }

    #[test]
    fn every_known_target_is_in_the_list() {
        for name in KNOWN {
            assert!(targets::TARGETS.iter().any(|target| target.name == *name), "{name}");
        }
    }

    #[test]
    fn only_a_run_that_says_ok_is_ok() {
        let counted =
            "cfi: 51 instructions in f, checked 1029 times in 36 activations: 0 mistakes\n";
        assert_eq!(verdict(&done(0, &format!("{counted}cfi: ok\n"))), Outcome::Ok(1029));
        assert!(matches!(verdict(&done(0, counted)), Outcome::Failed(_)));
        assert!(matches!(verdict(&done(0, "cfi: ok\n")), Outcome::Failed(_)));
        assert!(matches!(verdict(&done(1, &format!("{counted}cfi: ok\n"))), Outcome::Failed(_)));
    }
}
