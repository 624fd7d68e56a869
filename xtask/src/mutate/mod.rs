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
//! run with all. The rest of the test-suite is built only if one survives these that has no reason to (and not with `--quick`).
//!
//! This file says what is run, and counts. What can be altered is in `lines`, bytes are in `code`, running is in `program`.

mod code;
mod lines;
mod program;

use crate::args::Args;
use crate::run::{root, say};
use crate::table::Outcome;
use crate::targets::{self, How, Target};
use crate::toolchain::{self, Toolchain};
use crate::{apt, cfi, cross};
use code::{Patch, Source};
use lines::Line;
use program::Test;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// `PROPTEST_CASES` for a mutant, natively. Most die at once; those that do not are run to the end.
const CASES: u32 = 64;

/// What most die of, and with so few cases.
const QUICK: (&[&str], u32) = (&["registers", "engine"], 4);

/// The tests that are about the assembly.
const FIRST: &str = "--test registers --test engine --test entries --test traps --test unwinding --test bti --test windows --test windows_unwind";

/// The command: for the target that was named, or this machine's.
pub fn command(args: Args) -> Result<bool, String> {
    let name = args.words.first().map_or(targets::host(), String::as_str);
    let target = targets::chosen(&[name.to_string()])?[0];
    if args.flag("--install") {
        apt::install(&packages(target))?;
        cross::set_up(target)?;
    }
    let lines = args.option("--lines").map(line_numbers).transpose()?;
    Ok(run(target, lines, args.flag("--quick"))?.is_clean())
}

/// The same for `cargo xtask test`, of this machine's target.
pub fn outcome() -> Outcome {
    let verdict = targets::chosen(&[targets::host().into()]).and_then(|t| run(t[0], None, false));
    match verdict {
        Ok(verdict) if verdict.is_clean() => Outcome::Ok(verdict.dead + verdict.explained),
        Ok(verdict) => Outcome::Failed(format!("{} survive", verdict.survivors.len())),
        Err(why) => Outcome::Failed(why),
    }
}

/// The Debian packages that it needs here.
pub fn packages(target: &Target) -> Vec<&'static str> {
    let cfi = if cfi::can(target) { cfi::packages(target) } else { Vec::new() };
    [cross::packages(target), cfi].concat()
}

fn run(
    target: &'static Target,
    lines: Option<RangeInclusive<usize>>,
    quick: bool,
) -> Result<Judge, String> {
    if let Some(why) = cross::lacks(target) {
        return Err(why);
    }
    if matches!(target.how, How::Assembled(_)) {
        return Err(format!("{} runs nothing", target.name));
    }
    let directory = toolchain::target_directory().join("mutate").join(target.name);
    fs::create_dir_all(&directory).map_err(|error| error.to_string())?;

    let toolchain = Toolchain::new(target)?;
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

    let mut judge = Judge {
        target,
        source,
        directory,
        lines,
        dead: 0,
        explained: 0,
        skipped: 0,
        survivors: Vec::new(),
    };
    let killers = judge.killers(programs.clone())?;
    if killers.is_empty() {
        return Err("there is no test to run".into());
    }
    judge.all(&killers);
    if hosted && !judge.survivors.is_empty() && !quick {
        let what = ["test --package greenlet --no-run --tests".to_string()];
        let mut rest = build(target, &toolchain, &judge.directory, &what)?;
        rest.retain(|program| !programs.contains(program));
        let killers = judge.killers(rest)?;
        judge.the_rest(&killers);
    }
    judge.print();
    Ok(judge)
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
    /// Those without a reason: what was done, and how to do it.
    survivors: Vec<(String, Vec<Patch>)>,
}

impl Judge {
    /// Those of the programs that have the arch file in them and pass unaltered, the ones to run first in front.
    fn killers(&self, programs: Vec<PathBuf>) -> Result<Vec<Test>, String> {
        let all = if self.target.is_host() { CASES } else { CASES.min(self.target.cases) };
        let mut killers = Vec::new();
        for program in programs {
            let Some(place) = self.source.find_in(&program)? else {
                say(&format!("{}: does not have the arch file in it", program.display()));
                continue;
            };
            let test = Test::new(self.target, program, place, &self.directory);
            let quick = QUICK.0.contains(&test.name()).then_some(QUICK.1);
            for cases in quick.into_iter().chain([all]) {
                let mut test = test.with(cases);
                if test.baseline(&self.source)? {
                    killers.push(test);
                }
            }
        }
        // The quick ones first; the one with the debugger last.
        killers.sort_by(|a, b| a.is_cfi().cmp(&b.is_cfi()).then(a.seconds.total_cmp(&b.seconds)));
        Ok(killers)
    }

    /// Runs every mutant.
    fn all(&mut self, killers: &[Test]) {
        let wanted = |line: &&Line| self.lines.as_ref().is_none_or(|l| l.contains(&line.number));
        for line in self.source.lines().filter(wanted) {
            for mutant in self.source.mutants(line) {
                let Some(patches) = mutant.patches else {
                    self.skipped += 1;
                    continue;
                };
                let what = format!("{}:{}: {}", self.target.arch, line.number, mutant.what);
                if let Some(how) = killers.iter().find_map(|test| test.kills(&patches)) {
                    self.dead += 1;
                    say(&format!("dead      {what}    [{how}]"));
                } else if let Some(why) = &line.survives {
                    self.explained += 1;
                    say(&format!("explained {what}: {why}"));
                } else {
                    say(&format!("SURVIVES  {what}"));
                    self.survivors.push((what, patches));
                }
            }
        }
    }

    /// Runs those again that survived the first tests, with others.
    fn the_rest(&mut self, killers: &[Test]) {
        for (what, patches) in std::mem::take(&mut self.survivors) {
            if let Some(how) = killers.iter().find_map(|test| test.kills(&patches)) {
                self.dead += 1;
                say(&format!("dead      {what}    [{how}]"));
            } else {
                self.survivors.push((what, patches));
            }
        }
    }

    fn is_clean(&self) -> bool {
        self.survivors.is_empty() && self.dead > 0
    }

    fn print(&self) {
        let (name, dead, explained) = (self.target.name, self.dead, self.explained);
        let skipped = self.skipped;
        say(&format!(
            "\n{name}: {dead} mutants dead, {explained} survive as explained, {skipped} cannot be assembled"
        ));
        for (what, _) in &self.survivors {
            say(&format!("survives without a reason: {what}"));
        }
        say(&format!("{} passed, {} failed", dead + explained, self.survivors.len()));
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
    say(&format!("building the tests for {}", target.name));
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
