//! `cargo xtask cross`: the crate's test-suite on other targets, each under what runs it here.
//! It must never hold a list of its own: `targets` has it.

use crate::args::Args;
use crate::run::{Done, Run, root, tests_in};
use crate::table::{Outcome, Table};
use crate::targets::{self, Board, CProgram, How, Target};
use crate::toolchain::{self, Toolchain};
use crate::{apt, assembled};
use std::time::Duration;

/// The command.
pub fn command(args: Args) -> Result<bool, String> {
    let chosen = targets::chosen(&args.words)?;
    if args.flag("--list") {
        for target in &chosen {
            let lacks = lacks(target).map_or("ready".into(), |why| format!("not here: {why}"));
            let (name, arch) = (target.name, target.arch);
            println!("{name}: {arch}, {}, {}; {lacks}", target.how_in_words(), target.state());
        }
        return Ok(true);
    }
    let mut table = Table::default();
    if args.flag("--install") {
        let packages: Vec<_> = chosen.iter().flat_map(|target| packages(target)).collect();
        apt::install(&packages)?;
        chosen.iter().map(|target| set_up(target)).fold(Ok(()), Result::and)?;
    }
    for target in chosen {
        table.row(&format!("cross {}", target.name), || outcome(target, target.cases));
    }
    Ok(table.finish())
}

/// The Debian packages that a target's row needs on this machine, installed or not.
pub fn packages(target: &Target) -> Vec<&'static str> {
    if target.is_host() || skips_whatever_is_installed(target).is_some() {
        return Vec::new();
    }
    let compiler = match target.how {
        How::C(_) => &[],
        _ => toolchain::packages(target),
    };
    compiler.iter().chain(target.packages).copied().collect()
}

/// Runs the row's own script that prepares what is not a package, if the row has one and its packages are there.
pub fn set_up(target: &Target) -> Result<(), String> {
    let Some(script) = target.setup.filter(|_| apt::lacks(&packages(target)).is_none()) else {
        return Ok(());
    };
    let (script, arguments) = script.split_once(' ').unwrap_or((script, ""));
    let done = Run::new(root().join("xtask/runners").join(script)).words(arguments).done();
    if done.ok() { Ok(()) } else { Err(format!("{script}: {}", done.how())) }
}

/// What the row's script says that is missing.
fn is_not_set_up(target: &Target) -> Option<String> {
    let (script, arguments) = target.setup?.split_once(' ').or(Some((target.setup?, "")))?;
    let run = Run::new(root().join("xtask/runners").join(script)).arg("--check").words(arguments);
    let missing = run.output().unwrap_or_else(|| format!("{script} --check fails"));
    Some(missing.trim().to_string()).filter(|missing| !missing.is_empty())
}

/// Why a row cannot run on this machine as it is.
pub fn lacks(target: &Target) -> Option<String> {
    skips_whatever_is_installed(target)
        .or_else(|| apt::lacks(&packages(target)))
        .or_else(|| is_not_set_up(target))
}

fn skips_whatever_is_installed(target: &Target) -> Option<String> {
    // Which C library is another matter: only the machine and its system must be the same.
    let machine = |triple: &'static str| triple.rsplit_once('-').map(|(machine, _)| machine);
    let host = targets::host();
    let elsewhere = matches!(target.how, How::Natively) && machine(target.triple) != machine(host);
    elsewhere.then(|| format!("runs on such a machine only; this one is {host}"))
}

/// Builds for a target and runs what there is to run.
pub fn outcome(target: &'static Target, cases: u32) -> Outcome {
    if let Some(why) = lacks(target) {
        return Outcome::Skipped(why);
    }
    if let How::C(program) = &target.how {
        return in_c(target, program);
    }
    let toolchain = match Toolchain::new(target) {
        Ok(toolchain) => toolchain,
        Err(why) => return Outcome::Failed(why),
    };
    match &target.how {
        How::Board(board) => on_board(target, board, &toolchain),
        How::Assembled(expected) => assembled::outcome(target, expected, &toolchain),
        _ => {
            // Optimised, since that is where a register that was not kept shows; with the checks of
            // a debug build, since an emulator is slow enough to run the suite once only.
            let left_out = match target.how {
                How::Qemu(cpu, _) => not_emulated(cpu),
                _ => "",
            };
            let cargo = |what: &str| {
                let cargo =
                    toolchain.cargo().words("test --package greenlet --release").words(what);
                cargo
                    .words("--no-fail-fast --target")
                    .arg(target.triple)
                    .env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true")
                    .env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true")
                    // Half the time of the build, which is most of the row's.
                    .env("CARGO_PROFILE_RELEASE_LTO", "off")
                    .env("PROPTEST_CASES", cases.to_string())
                    .words(left_out)
                    .limit(Duration::from_secs(2400))
                    .done()
            };
            // All but the examples, which are programs for readers and would be built only.
            match (test_run(&cargo("--lib --tests")), test_run(&cargo("--doc"))) {
                (Outcome::Ok(tests), Outcome::Ok(documentation)) => {
                    Outcome::Ok(tests + documentation)
                }
                (Outcome::Ok(_), other) | (other, _) => other,
            }
        }
    }
}

/// What does not run under one of qemu's user-mode emulators: storms of signals (`tests/signals.rs`), but where they have passed. After a
/// signal `qemu-i386` 7.2 gives a thread the thread-local storage of the youngest one; for 64-bit MIPS the crate `libc` (0.2.191) has other
/// machines' numbers of signals.
fn not_emulated(cpu: &str) -> &'static str {
    const WEATHERS_STORMS: &[&str] = &[
        "aarch64", "arm", "mips", "mipsel", "ppc", "ppc64", "ppc64le", "riscv64", "s390x",
        "sparc64",
    ];
    if WEATHERS_STORMS.contains(&cpu) { "" } else { "-- --skip handlers_on_" }
}

/// What a run of `cargo test` comes to: its status, and the lines that it must have printed.
pub fn test_run(done: &Done) -> Outcome {
    let tests = tests_in(&done.stdout);
    if !tests.failed.is_empty() {
        return Outcome::Failed(format!(
            "{} failed: {}",
            tests.failed.len(),
            tests.failed.join(" ")
        ));
    }
    if !done.ok() {
        return Outcome::Failed(done.how());
    }
    if tests.results_failed > 0 || tests.results_ok == 0 {
        return Outcome::Failed("no `test result: ok` line".into());
    }
    if tests.passed == 0 {
        return Outcome::Failed("not one test ran".into());
    }
    // Some emulators exit with 0 when they could not run the program at all.
    let started = done.stderr.lines().filter(|line| line.starts_with("     Running ")).count();
    let ended = tests.results_ok - tests.of_docs;
    if ended < started {
        return Outcome::Failed(format!("{started} programs started, {ended} printed a result"));
    }
    Outcome::Ok(tests.passed)
}

/// What every program on a board prints at last, if all is well.
const CLOSING_LINE: &str = "bare: all passed";

/// The programs of `tests/bare`: the tests, which say best what is wrong, and the example.
const PROGRAMS: &[&str] = &["check", "tasks"];

fn on_board(target: &Target, board: &Board, toolchain: &Toolchain) -> Outcome {
    for program in PROGRAMS {
        let done = toolchain
            .cargo()
            .words("run --release --manifest-path tests/bare/Cargo.toml --target")
            .args([target.triple, "--bin", program])
            .limit(Duration::from_secs(600))
            .done();
        if let Some(why) = is_amiss(&done, board.status) {
            return Outcome::Failed(format!("{program}: {why}"));
        }
    }
    Outcome::Ok(PROGRAMS.len())
}

/// Why a run on a board does not count as passed: emulators end with status 0 in many ways, and a
/// program can say its line and then fail.
pub fn is_amiss(done: &Done, status: i32) -> Option<String> {
    if done.timed_out || done.status != Some(status) {
        return Some(format!("{}, expected {status}", done.how()));
    }
    match done.stdout.lines().last().map(str::trim_end) {
        Some(CLOSING_LINE) => None,
        _ => Some(format!("the last line is not `{CLOSING_LINE}`")),
    }
}

/// The arch file, its probe and a program in C.
fn in_c(target: &Target, program: &CProgram) -> Outcome {
    let directory = toolchain::target_directory().join("c");
    if let Err(error) = std::fs::create_dir_all(&directory) {
        return Outcome::Failed(error.to_string());
    }
    let executable = directory.join(target.name);
    let (arch, probe) = (root().join("arch"), root().join("probe/arch"));
    let mut words = program.compiler.split_whitespace();
    let done = Run::new(words.next().unwrap_or_default())
        .args(words)
        .arg(root().join(program.source))
        .args([arch.join(target.arch), probe.join(target.arch)])
        .arg("-o")
        .arg(&executable)
        .done();
    if !done.ok() {
        return Outcome::Failed(format!("the compiler: {}", done.how()));
    }
    let mut words = program.emulator.split_whitespace();
    let done = Run::new(words.next().unwrap_or_default()).args(words).arg(&executable).done();
    if !done.ok() {
        return Outcome::Failed(done.how());
    }
    match done.stdout.lines().any(|line| line.ends_with(program.says)) {
        true => Outcome::Ok(1),
        false => Outcome::Failed(format!("no line that ends with `{}`", program.says)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(status: i32, stdout: &str) -> Done {
        let (stdout, stderr) = (stdout.to_string(), String::new());
        Done { status: Some(status), timed_out: false, stdout, stderr, seconds: 1.0 }
    }

    #[test]
    fn a_run_that_printed_no_result_has_failed_whatever_its_status() {
        assert!(matches!(test_run(&done(0, "")), Outcome::Failed(_)));
        let none = "test result: ok. 0 passed; 0 failed; 0 ignored";
        assert!(matches!(test_run(&done(0, none)), Outcome::Failed(_)));
        let some = "test result: ok. 2 passed; 0 failed; 0 ignored";
        assert_eq!(test_run(&done(0, some)), Outcome::Ok(2));
        assert!(matches!(test_run(&done(101, some)), Outcome::Failed(_)));
        let two = "     Running tests/a.rs\n     Running tests/b.rs\n";
        let of_one = Done { stderr: two.into(), ..done(0, some) };
        assert!(matches!(test_run(&of_one), Outcome::Failed(_)));
        let of_two = Done { stderr: two.into(), ..done(0, &format!("{some}\n{some}")) };
        assert_eq!(test_run(&of_two), Outcome::Ok(4));
    }

    #[test]
    fn a_run_on_a_board_needs_its_status_and_its_closing_line() {
        let well = "more\nbare: all passed\n";
        assert_eq!(is_amiss(&done(33, well), 33), None);
        assert!(is_amiss(&done(0, well), 33).is_some());
        assert!(is_amiss(&done(33, ""), 33).is_some());
        assert!(is_amiss(&done(33, "bare: all passed\nand then a panic\n"), 33).is_some());
    }
}
