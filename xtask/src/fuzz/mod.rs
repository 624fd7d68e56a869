//! `cargo xtask fuzz`: the fuzz targets of `fuzz/targets`, from their corpus, with the machine's own compiler.
//!
//! libFuzzer comes with the crate `libfuzzer-sys`, and what it wants of the compiler are plain LLVM options, so neither a
//! nightly compiler nor `cargo fuzz` is needed. What it finds new goes to `target/cross/fuzz` (`scratch`), and into the repository's corpus with
//! `--minimize`. It must never know what an input means.
//!
//! ```text
//! fuzz/corpus/T.txt ──unpack──► …/fuzz/seeds/T ─┐
//! fuzz/found.txt ────unpack───► …/fuzz/found/T ─┼─► run ──new inputs──► …/fuzz/work/T
//!                                               │    └──an input that fails──► …/fuzz/failed/T-…
//!         fuzz/corpus/T.txt ◄──pack── merge ◄───┘◄────── (--minimize)
//! ```

mod corpus;
mod coverage;
mod python;

use crate::apt;
use crate::args::Args;
use crate::run::{Done, Run, root};
use crate::sanitizer;
use crate::table::{Outcome, Table};
use crate::test::{Row, Work};
use crate::toolchain;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// libFuzzer is C++.
pub const PACKAGES: &[&str] = &["g++"];

/// Longer inputs find nothing that shorter ones do not: a program ends after so many operations.
const LONGEST: &str = "-max_len=600";

/// What each gets of the test command, and what a user gets who does not say otherwise.
const SECONDS: u64 = 60;

/// What `cargo fuzz` gives the compiler, less the sanitizer.
const COVERED: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0 -Ccodegen-units=1";

const SANITIZED_FOLDER: &str = "asan";

/// The target that looks at whole frames of others, red zones and all, and so is no program for the sanitizer.
const READS_FRAMES: &str = "engine";

/// How a target is built.
#[derive(Clone, Copy, PartialEq)]
enum Build {
    /// As fast as it gets.
    Plain,
    /// With AddressSanitizer, in the crate too.
    Sanitized,
    /// For LLVM's coverage.
    Coverage,
}

/// The command.
pub fn command(args: Args) -> Result<bool, String> {
    let seconds = match args.option("--seconds") {
        Some(text) => text.parse().map_err(|_| format!("--seconds {text}: not a number"))?,
        None => SECONDS,
    };
    let all = targets();
    if let Some(unknown) = args.words.iter().find(|word| !all.contains(word)) {
        return Err(format!("there is no fuzz target `{unknown}`; there are {}", all.join(", ")));
    }
    let chosen = if args.words.is_empty() { all } else { args.words.clone() };
    if args.flag("--install") {
        apt::install(
            &[PACKAGES, python::PACKAGES, sanitizer::PACKAGES, coverage::PACKAGES].concat(),
        )?;
        sanitizer::fetch()?;
    }
    if args.flag("--coverage") {
        // Of the crate's lines: the interpreter's extension is no part of it.
        let of_crate: Vec<String> =
            chosen.iter().filter(|target| *target != python::TARGET).cloned().collect();
        return coverage::report(&of_crate);
    }
    let asan = args.flag("--asan");
    let lacks = |target: &str| match (asan, target) {
        (true, _) => apt::lacks(sanitizer::PACKAGES).or_else(sanitizer::lacks),
        (false, python::TARGET) => apt::lacks(python::PACKAGES).or_else(python::lacks),
        (false, _) => apt::lacks(PACKAGES),
    };
    if let Some(why) = chosen.iter().find_map(|target| lacks(target)) {
        return Err(why);
    }
    let mut table = Table::default();
    for target in &chosen {
        if args.flag("--minimize") {
            table.row(&format!("minimize {target}"), || minimize(target));
        } else if !asan {
            table.row(&format!("fuzz: {target}"), || outcome(target, seconds, Build::Plain));
        } else if ![READS_FRAMES, python::TARGET].contains(&target.as_str()) {
            table.row(&format!("asan: {target}"), || outcome(target, seconds, Build::Sanitized));
        }
    }
    Ok(table.finish())
}

/// The rows of `cargo xtask test`: every target for a minute from its corpus, and a moment more with AddressSanitizer.
pub fn rows(install: bool) -> Vec<Row> {
    let row = |name: String, packages: &[&'static str], run: Work| Row {
        name,
        packages: packages.to_vec(),
        quick: false,
        run,
    };
    let mut rows = Vec::new();
    for target in targets() {
        let name = target.clone();
        let is_python = target == python::TARGET;
        let run = move || match python::lacks() {
            Some(why) if is_python => Outcome::Skipped(why),
            _ => outcome(&name, SECONDS, Build::Plain),
        };
        let packages = if is_python { python::PACKAGES } else { PACKAGES };
        rows.push(row(format!("fuzz: {target}"), packages, Box::new(run)));
        if !is_python && target != READS_FRAMES && cfg!(target_arch = "x86_64") {
            let name = target.clone();
            let run = move || match (
                if install { sanitizer::fetch() } else { Ok(()) },
                sanitizer::lacks(),
            ) {
                (Err(why), _) => Outcome::Failed(why),
                (Ok(()), Some(why)) => Outcome::Skipped(why),
                (Ok(()), None) => outcome(&name, SECONDS / 3, Build::Sanitized),
            };
            rows.push(row(format!("asan: {target}"), sanitizer::PACKAGES, Box::new(run)));
        }
    }
    rows
}

/// The names of the targets, sorted: `fuzz/targets/NAME.rs`.
fn targets() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(root().join("fuzz/targets"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some(entry.path().file_stem()?.to_str()?.to_string()))
        .collect();
    names.sort();
    names
}

/// Where everything goes that is not in the repository.
fn scratch() -> PathBuf {
    toolchain::target_directory().join("fuzz")
}

/// Builds one target, in a target directory of that kind of build.
fn build(target: &str, how: Build) -> Result<PathBuf, String> {
    let (directory, flags) = match how {
        Build::Plain => ("build", COVERED.to_string()),
        Build::Sanitized => {
            (SANITIZED_FOLDER, format!("{COVERED} {}", sanitizer::flags("address")))
        }
        Build::Coverage => ("coverage", "--cfg fuzzing -Cinstrument-coverage".to_string()),
    };
    let directory = scratch().join(directory);
    // With a `--target`, so that build scripts are not instrumented.
    let mut cargo = Run::cargo()
        .words("build --release --manifest-path fuzz/Cargo.toml --target")
        .arg(crate::targets::host())
        .args(["--bin", target])
        .env("RUSTFLAGS", flags)
        .env("CARGO_TARGET_DIR", &directory);
    if how == Build::Sanitized {
        cargo = cargo.env("RUSTC_BOOTSTRAP", "1");
    }
    let done = cargo.done();
    match done.ok() {
        true => Ok(directory.join(crate::targets::host()).join("release").join(target)),
        false => Err(format!("building it: {}", done.how())),
    }
}

/// Every input that ever failed, then the corpus, then new inputs for so long.
fn outcome(target: &str, seconds: u64, how: Build) -> Outcome {
    let run = || -> Result<Outcome, String> {
        let program = prepare(target, how)?;
        let found = corpus::unpack_found(target, &scratch().join("found").join(target))?;
        let (seeds, inputs) = corpus::unpack(target, &scratch().join("seeds").join(target))?;
        for input in found {
            let done = program.fuzzer().arg(&input).done();
            if !done.ok() {
                return Ok(Outcome::Failed(format!("{} failed again", input.display())));
            }
        }
        let work = corpus::folder(&scratch().join("work").join(target))?;
        let done = program
            .fuzzer()
            .arg(format!("-max_total_time={seconds}"))
            .arg("-print_final_stats=1")
            .args([work, seeds])
            .limit(Duration::from_secs(seconds + 600))
            .done();
        Ok(match verdict(&done, inputs) {
            Outcome::Failed(why) => Outcome::Failed(format!("{why}; {}", failed_input(target))),
            well => well,
        })
    };
    run().unwrap_or_else(Outcome::Failed)
}

/// libFuzzer says at its end how many programs it has run: more than the corpus, else it has fuzzed nothing.
fn verdict(done: &Done, inputs: usize) -> Outcome {
    let runs = done
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
        .and_then(|count| count.trim().parse().ok());
    match runs {
        _ if !done.ok() => Outcome::Failed(done.how()),
        Some(runs) if runs > inputs => Outcome::Ok(runs),
        Some(runs) => Outcome::Failed(format!("{runs} programs run of a corpus of {inputs}")),
        None => Outcome::Failed("it does not say how many programs it has run".into()),
    }
}

/// A target that is ready to be run.
struct Program {
    target: String,
    path: PathBuf,
    environment: Vec<(&'static str, String)>,
}

/// Builds all that the target needs.
fn prepare(target: &str, how: Build) -> Result<Program, String> {
    let path = build(target, how)?;
    let environment = match (target, how) {
        (python::TARGET, _) => python::environment()?,
        // Else nobody looks for leaks, and programs may make what leaks by design.
        (_, Build::Sanitized) => vec![("GREENLET_NO_LEAKS", "1".into())],
        _ => Vec::new(),
    };
    Ok(Program { target: target.into(), path, environment })
}

impl Program {
    /// The program, and what holds for all of its runs.
    fn fuzzer(&self) -> Run {
        let failed = scratch().join("failed").join(&self.target);
        let _ = fs::create_dir_all(&failed);
        let run = self
            .environment
            .iter()
            .fold(Run::new(&self.path), |run, (name, value)| run.env(name, value));
        let failed = format!("-artifact_prefix={}/", failed.display());
        run.args([LONGEST, "-timeout=60", "-rss_limit_mb=4096", "-verbosity=0", &failed])
    }
}

/// Where the input lies that failed, and what to do with it.
fn failed_input(target: &str) -> String {
    let folder = scratch().join("failed").join(target);
    let files = fs::read_dir(&folder).into_iter().flatten().flatten();
    let newest = files.max_by_key(|file| file.metadata().and_then(|data| data.modified()).ok());
    match newest {
        Some(file) => {
            format!("the input is {}, and should be added to fuzz/found.txt", file.path().display())
        }
        None => "it left no input".into(),
    }
}

/// Replaces the corpus by the smallest part of it, and of what was found since, that covers as much.
fn minimize(target: &str) -> Outcome {
    let run = || -> Result<usize, String> {
        let program = prepare(target, Build::Plain)?;
        let (seeds, _) = corpus::unpack(target, &scratch().join("seeds").join(target))?;
        let work = corpus::folder(&scratch().join("work").join(target))?;
        let merged = scratch().join("merged").join(target);
        let _ = fs::remove_dir_all(&merged);
        let merged = corpus::folder(&merged)?;
        let done = program.fuzzer().arg("-merge=1").args([&merged, &seeds, &work]).done();
        if !done.ok() {
            return Err(done.how());
        }
        corpus::pack(target, &merged)
    };
    run().map_or_else(Outcome::Failed, Outcome::Ok)
}
