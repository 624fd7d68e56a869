//! `cargo xtask mutate`: are the tests good enough to notice each single mistake in an arch file?
//!
//! Every instruction in turn is deleted or altered, and the tests run; a mutant that passes them all
//! has survived. The crate is built once. A mutant is then the same test programs with the bytes of
//! one instruction replaced, which is what a build from the changed source would give:
//!
//! ```text
//! arch file ──labels at each instruction──► object: where each line's bytes are
//!     └─ one line altered ──same command──► object of the same length: which bytes differ
//!                                                   └──► copies of the test programs, patched
//! ```
//!
//! What survives must say why, with a comment `survives: reason` on its line of the arch file.
//!
//! A mutant is dead as soon as one test fails, so those that are about the assembly run first, and with few cases before they
//! run with all. The rest of the test-suite is built only if one survives these that has no reason to.
//!
//! This file runs things and counts. What can be altered is in `lines`, bytes are in `code`.

mod code;
mod lines;

use crate::args::Args;
use crate::run::{Run, root, tests_in};
use crate::targets::{self, How, Target};
use crate::toolchain::{self, Toolchain};
use crate::{apt, cfi, cross};
use code::{Patch, Source};
use lines::Line;
use std::fs;
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `PROPTEST_CASES` for a mutant, natively. Most die at once; those that do not are run to the end.
const CASES: u32 = 64;

/// What most die of, and with so few cases.
const QUICK: (&[&str], u32) = (&["registers", "engine"], 4);

/// The tests that are about the assembly.
const FIRST: &str = "--test registers --test engine --test entries --test unwinding --test bti --test windows --test windows_unwind";

/// The command: for the target that was named, or this machine's.
pub fn command(args: Args) -> Result<bool, String> {
    let name = args.words.first().map_or(targets::host(), String::as_str);
    let target = targets::chosen(&[name.to_string()])?[0];
    if args.flag("--install") {
        let cfi = if cfi::can(target) { cfi::packages(target) } else { Vec::new() };
        apt::install(&[cross::packages(target), cfi].concat())?;
        cross::set_up(target)?;
    }
    if let Some(why) = cross::lacks(target) {
        return Err(why);
    }
    if matches!(target.how, How::Assembled(_)) {
        return Err(format!("{} runs nothing", target.name));
    }
    let directory = toolchain::target_directory().join("mutate").join(target.name);
    fs::create_dir_all(&directory).map_err(|error| error.to_string())?;

    let toolchain = Toolchain::new(target)?;
    let lines = args.option("--lines").map(line_numbers).transpose()?;
    let hosted = !matches!(target.how, How::Board(_));
    let mut what = vec![if hosted {
        format!("test --package greenlet --no-run {FIRST}")
    } else {
        "build --manifest-path tests/bare/Cargo.toml".into()
    }];
    if cfi::can(target) && apt::lacks(&cfi::packages(target)).is_none() {
        what.push("build --package xtask --example cfi_probe".into());
    }
    let programs = build(target, &toolchain, &directory, &what)?;
    let assemble = assembler_command(&directory.join("target").join(target.triple), target)?;
    let source = Source::new(root().join("arch").join(target.arch), assemble, directory.clone())?;

    let mut judge = Judge { target, source, directory, lines, dead: 0, explained: 0, skipped: 0 };
    let mut killers = judge.killers(programs.clone())?;
    if killers.is_empty() {
        return Err("there is no test to run".into());
    }
    let mut survivors = judge.all(&killers);
    if hosted && !survivors.is_empty() {
        let what = ["test --package greenlet --no-run --tests".to_string()];
        let mut rest = build(target, &toolchain, &judge.directory, &what)?;
        rest.retain(|program| !programs.contains(program));
        killers = judge.killers(rest)?;
        survivors = judge.rest(survivors, &killers);
    }
    Ok(judge.verdict(&survivors))
}

/// `A-B`, or one line.
fn line_numbers(text: &str) -> Result<RangeInclusive<usize>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse().map_err(|_| format!("--lines: {text} is no number"));
    Ok(number(first)?..=number(last)?)
}

/// What it takes to run mutants, and what became of them so far.
struct Judge {
    target: &'static Target,
    source: Source,
    directory: PathBuf,
    lines: Option<RangeInclusive<usize>>,
    dead: usize,
    explained: usize,
    skipped: usize,
}

impl Judge {
    /// Those of the programs that have the arch file in them and pass unaltered, the ones to run first in front.
    fn killers(&self, programs: Vec<PathBuf>) -> Result<Vec<Test>, String> {
        let all = if self.target.is_host() { CASES } else { CASES.min(self.target.cases) };
        let mut killers = Vec::new();
        for program in programs {
            let Some(place) = self.source.find_in(&program)? else {
                println!("{}: does not have the arch file in it", program.display());
                continue;
            };
            let test = Test::new(self.target, program, place, &self.directory);
            let quick = QUICK.0.contains(&test.name()).then_some(QUICK.1);
            for cases in quick.into_iter().chain([all]) {
                let mut test = Test { cases, ..test.clone() };
                if test.baseline(&self.source)? {
                    killers.push(test);
                }
            }
        }
        // The quick ones first; the one with the debugger last.
        killers.sort_by(|a, b| a.is_cfi().cmp(&b.is_cfi()).then(a.seconds.total_cmp(&b.seconds)));
        Ok(killers)
    }

    /// Runs every mutant. The answer is those that survive without a reason.
    fn all(&mut self, killers: &[Test]) -> Vec<(String, Vec<Patch>)> {
        let mut survivors = Vec::new();
        let wanted = |line: &&Line| self.lines.as_ref().is_none_or(|l| l.contains(&line.number));
        for line in self.source.lines().filter(wanted) {
            for mutant in self.source.mutants(line) {
                let Some(patches) = mutant.patches else {
                    self.skipped += 1;
                    continue;
                };
                let what = format!("{}:{}: {}", self.target.arch, line.number, mutant.what);
                match killers.iter().find_map(|test| test.kills(&patches)) {
                    Some(how) => {
                        self.dead += 1;
                        println!("dead      {what}    [{how}]");
                    }
                    None if line.survives.is_some() => {
                        self.explained += 1;
                        let why = line.survives.as_deref().unwrap_or_default();
                        println!("explained {what}: {why}");
                    }
                    None => {
                        println!("SURVIVES  {what}");
                        survivors.push((what, patches));
                    }
                }
            }
        }
        survivors
    }

    /// Runs those again that survived the first tests, with others. The answer is those that survive them too.
    fn rest(
        &mut self,
        survivors: Vec<(String, Vec<Patch>)>,
        killers: &[Test],
    ) -> Vec<(String, Vec<Patch>)> {
        let mut left = Vec::new();
        for (what, patches) in survivors {
            match killers.iter().find_map(|test| test.kills(&patches)) {
                Some(how) => {
                    self.dead += 1;
                    println!("dead      {what}    [{how}]");
                }
                None => left.push((what, patches)),
            }
        }
        left
    }

    /// Prints it.
    fn verdict(&self, survivors: &[(String, Vec<Patch>)]) -> bool {
        let (dead, explained) = (self.dead, self.explained);
        println!(
            "\n{}: {dead} mutants dead, {explained} survive as explained, {} cannot be assembled",
            self.target.name, self.skipped
        );
        for (what, _) in survivors {
            println!("survives without a reason: {what}");
        }
        println!("{} passed, {} failed", dead + explained, survivors.len());
        survivors.is_empty() && dead > 0
    }
}

/// Builds programs by these commands of cargo's.
fn build(
    target: &'static Target,
    toolchain: &Toolchain,
    directory: &Path,
    what: &[String],
) -> Result<Vec<PathBuf>, String> {
    let mut programs = Vec::new();
    // A target directory of its own: the build script's output is wanted, so it must run with this.
    let cargo = || {
        let cargo = toolchain.cargo().env("CC_ENABLE_DEBUG_OUTPUT", "1").quiet();
        let cargo = cargo.env("CARGO_TARGET_DIR", directory.join("target"));
        match target.how {
            How::Board(_) => cargo, // little memory
            _ => cargo
                .env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true")
                .env("CARGO_PROFILE_RELEASE_LTO", "off"), // as the rows of `cross`, and for the same reason
        }
    };
    println!("building the tests for {}", target.name);
    for words in what {
        let done = cargo()
            .words(words)
            .words("--release --message-format=json-render-diagnostics --target")
            .arg(target.triple)
            .done();
        if !done.ok() {
            eprint!("{}", done.stderr);
            return Err(format!("building the tests: {}", done.how()));
        }
        for line in done.stdout.lines() {
            if let Some((_, path)) = line.split_once("\"executable\":\"") {
                programs.push(PathBuf::from(path.split('"').next().unwrap_or_default()));
            }
        }
    }
    Ok(programs)
}

/// What the `cc` crate ran, out of the newest output of the build script that has it.
fn assembler_command(target: &Path, row: &Target) -> Result<Vec<String>, String> {
    let mut newest = None;
    for entry in fs::read_dir(target.join("release/build")).into_iter().flatten().flatten() {
        let output = entry.path().join("output");
        let Ok(text) = fs::read_to_string(&output) else { continue };
        let wanted = format!("arch/{}\"", row.arch);
        let line =
            text.lines().rfind(|line| line.starts_with("running: ") && line.contains(&wanted));
        let time = fs::metadata(&output).and_then(|data| data.modified()).ok();
        if let Some(line) = line
            && newest.as_ref().is_none_or(|(before, _)| *before < time)
        {
            newest = Some((time, line.to_string()));
        }
    }
    let (_, line) = newest.ok_or("no build script has said how it assembled the arch file")?;
    // `running: "cc" "-O3" … "-o" "OBJECT" "-c" "arch/FILE"`, and the last two pairs are ours to give.
    let words: Vec<String> = line.split('"').skip(1).step_by(2).map(String::from).collect();
    let end = words.iter().position(|word| word == "-o").ok_or("no -o in the command")?;
    Ok(words[..end].to_vec())
}

/// One test program, and its copy that is patched.
#[derive(Clone)]
struct Test {
    program: PathBuf,
    copy: PathBuf,
    bytes: Vec<u8>,
    place: usize,
    runner: Vec<String>,
    target: &'static Target,
    cases: u32,
    seconds: f64,
}

impl Test {
    fn new(target: &'static Target, program: PathBuf, place: code::Place, dir: &Path) -> Test {
        let code::Place { bytes, at } = place;
        let copy = dir.join(program.file_name().unwrap_or_default());
        let runner = target.runner().unwrap_or_default();
        let runner = runner.split_whitespace().map(String::from).collect();
        Test { program, copy, bytes, place: at, runner, target, cases: 0, seconds: 0.0 }
    }

    /// A short name for the log.
    fn name(&self) -> &str {
        let name = self.program.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.split('-').next().unwrap_or_default()
    }

    fn is_cfi(&self) -> bool {
        self.name() == "cfi_probe"
    }

    /// Runs it as it is: it must pass, and shows how long that takes. False if it has no test.
    fn baseline(&mut self, source: &Source) -> Result<bool, String> {
        source.check(&self.bytes, self.place)?;
        self.seconds = 600.0;
        self.write(&[])?;
        let begin = std::time::Instant::now();
        let failure = self.failure();
        self.seconds = begin.elapsed().as_secs_f64();
        match failure {
            None => {
                println!(
                    "{}: passes unaltered in {:.1} s ({} cases)",
                    self.name(),
                    self.seconds,
                    self.cases
                );
                Ok(true)
            }
            Some(how) if how == NO_TEST => Ok(false),
            Some(how) => Err(format!("{} fails unaltered: {how}", self.name())),
        }
    }

    /// How the mutant died, or `None`.
    fn kills(&self, patches: &[Patch]) -> Option<String> {
        if let Err(error) = self.write(patches) {
            return Some(error);
        }
        self.failure().map(|how| format!("{}: {how}", self.name()))
    }

    fn write(&self, patches: &[Patch]) -> Result<(), String> {
        let mut bytes = self.bytes.clone();
        for patch in patches {
            let at = self.place + patch.at;
            bytes[at..at + patch.bytes.len()].copy_from_slice(&patch.bytes);
        }
        // A new file each time: the last one may still be running somewhere.
        let _ = fs::remove_file(&self.copy);
        fs::write(&self.copy, bytes)
            .and_then(|()| fs::set_permissions(&self.copy, fs::Permissions::from_mode(0o755)))
            .map_err(|error| format!("{}: {error}", self.copy.display()))
    }

    /// Runs the copy. What was wrong, or `None` if all was well.
    fn failure(&self) -> Option<String> {
        if self.is_cfi() {
            return cfi::mistake(self.target, &self.copy);
        }
        let limit = Duration::from_secs_f64(10.0 + 4.0 * self.seconds);
        // A mutant may do anything: it gets no core dump, and not all of the machine's memory.
        let shell = "ulimit -c 0; [ $# -gt 1 ] || ulimit -v 16000000; exec \"$@\"";
        let done = Run::new("sh")
            .args(["-c", shell, "sh"])
            .args(&self.runner)
            .arg(&self.copy)
            .env("PROPTEST_CASES", self.cases.to_string())
            .env("PROPTEST_MAX_SHRINK_ITERS", "0")
            .env("PROPTEST_FAILURE_PERSISTENCE", "off")
            .env("RUST_BACKTRACE", "0")
            .limit(limit)
            .quiet()
            .done();
        if let How::Board(board) = &self.target.how {
            return match cross::is_amiss(&done, board.status) {
                Some(_) if done.timed_out => Some("no end".into()),
                why => why,
            };
        }
        let tests = tests_in(&done.stdout);
        if done.timed_out {
            Some("no end".into())
        } else if done.ok() && tests.results_ok == 1 {
            (tests.passed == 0).then(|| NO_TEST.into())
        } else if let Some(name) = tests.failed.first() {
            Some(name.clone())
        } else {
            Some(done.how())
        }
    }
}

const NO_TEST: &str = "no test in it";
