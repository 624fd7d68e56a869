//! `cargo xtask test`: every test that this machine can run. To add a row, add it to `rows`.

use crate::args::Args;
use crate::cross::{self, test_run};
use crate::run::{Run, in_one_piece, root};
use crate::table::{Outcome, Table};
use crate::targets::TARGETS;
use crate::{apt, cfi, counts, fuzz, memcheck, mutate, python, vendoring};

/// One row: what it is called, what it needs, and how it is run.
pub struct Row {
    pub name: String,
    /// Debian packages that it needs here, installed or not.
    pub packages: Vec<&'static str>,
    /// Is it among those of `--quick`?
    pub quick: bool,
    pub run: Box<dyn Fn() -> Outcome>,
}

/// Arguments for the examples that want some. The others are run without.
const EXAMPLE_ARGUMENTS: &[(&str, &str)] = &[("million", "100000")];

/// Examples that are crates of their own, since they have dependencies: the crate, the program and its arguments.
const EXAMPLE_CRATES: &[(&str, &str, &str)] = &[("greenlet-examples-chat", "chat", "2000")];

/// Examples with a row of their own.
const OWN_ROW: &[&str] = &["abort"];

/// The command.
pub fn command(args: Args) -> Result<bool, String> {
    args.no_words()?;
    let quick = args.flag("--quick");
    let only = args.option("--only").unwrap_or("");
    let install = args.flag("--install");
    let wanted = |lane: &Lane| {
        let mut rows = lane(quick, install);
        rows.retain(|row| row.name.contains(only) && (row.quick || !quick));
        rows
    };
    let all: Vec<Vec<Row>> = LANES.iter().map(wanted).collect();
    let side_by_side = all.iter().filter(|rows| !rows.is_empty()).count() > 1;
    let packages: Vec<_> = all.into_iter().flatten().flat_map(|row| row.packages).collect();
    let installed = if install { apt::install(&packages) } else { Ok(()) };

    let mut table = Table::default();
    let lanes = std::thread::scope(|scope| {
        let run = |lane| {
            let mut table = Table::default();
            for row in wanted(lane) {
                let mut one = || table.row(&row.name, || outcome(&row, &installed));
                if side_by_side { in_one_piece(one) } else { one() }
            }
            table
        };
        let lanes: Vec<_> = LANES.iter().map(|lane| scope.spawn(move || run(lane))).collect();
        lanes.into_iter().map(|lane| lane.join().expect("no row panics")).collect::<Vec<_>>()
    });
    lanes.into_iter().for_each(|lane| table.append(lane));
    if table.is_empty() {
        return Err(format!("no row's name has `{only}` in it"));
    }
    Ok(table.finish())
}

/// Makes rows, in the order in which they run. Its arguments: quick ones only; what is missing may be fetched.
type Lane = fn(bool, bool) -> Vec<Row>;

/// Lanes run side by side: the second one's programs are single-threaded and wait a lot. The rows of one lane share
/// folders, and run one after the other.
const LANES: [Lane; 2] = [rows, |_, install| python::rows(install)];

fn outcome(row: &Row, installed: &Result<(), String>) -> Outcome {
    match (apt::lacks(&row.packages), installed) {
        // Who asked for it to be fetched is not told that all is well without it.
        (Some(_), Err(why)) => Outcome::Failed(why.clone()),
        (Some(why), Ok(())) => Outcome::Skipped(why),
        (None, _) => (row.run)(),
    }
}

/// Every row of the first lane.
fn rows(quick: bool, install: bool) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = |name: &str, quick: bool, run: Box<dyn Fn() -> Outcome>| {
        rows.push(Row { name: name.into(), packages: Vec::new(), quick, run });
    };
    let cargo_test = |words: &'static str| -> Box<dyn Fn() -> Outcome> {
        Box::new(move || {
            let run = Run::cargo().words("test --no-fail-fast").words(words);
            let cases = std::env::var_os("PROPTEST_CASES").is_some();
            test_run(&if quick && !cases { run.env("PROPTEST_CASES", "32") } else { run }.done())
        })
    };

    row("host", true, cargo_test("--workspace"));
    row("host, release", false, cargo_test("--workspace --release"));
    row("features: alloc", true, cargo_test("-p greenlet --no-default-features --features alloc"));
    row("features: none", true, cargo_test("-p greenlet --no-default-features"));

    if examples().iter().any(|name| name == "abort") {
        let run = || program(Run::cargo().words("run --profile abort --example abort"));
        row("panic = abort", false, Box::new(run));
    }
    for name in examples().into_iter().filter(|name| !OWN_ROW.contains(&name.as_str())) {
        let words = EXAMPLE_ARGUMENTS.iter().find(|(example, _)| *example == name);
        let words = words.map_or("", |(_, arguments)| arguments);
        let label = format!("example: {name} {words}");
        let run = move || {
            program(Run::cargo().words("run --release --example").arg(&name).arg("--").words(words))
        };
        row(label.trim_end(), false, Box::new(run));
    }

    for (package, name, arguments) in EXAMPLE_CRATES {
        let run = move || {
            let run = Run::cargo().words("run --release -p").arg(package).arg("--bin").arg(name);
            program(run.arg("--").words(arguments))
        };
        row(&format!("example: {name} {arguments}"), false, Box::new(run));
    }

    rows.extend(vendoring::rows());
    rows.extend(fuzz::rows(install));
    if cfg!(target_arch = "x86_64") {
        rows.push(Row {
            name: "memcheck".into(),
            packages: memcheck::PACKAGES.to_vec(),
            quick: false,
            run: Box::new(memcheck::outcome),
        });
        rows.push(Row {
            name: "instruction counts".into(),
            packages: counts::PACKAGES.to_vec(),
            quick: false,
            run: Box::new(counts::outcome),
        });
        if let Some(host) = TARGETS.iter().find(|target| target.is_host()) {
            rows.push(Row {
                name: "mutants of the arch file".into(),
                packages: mutate::packages(host),
                quick: false,
                run: Box::new(mutate::outcome),
            });
        }
    }

    let settled = || TARGETS.iter().filter(|target| target.settled);
    for target in settled().filter(|target| cfi::can(target)) {
        rows.push(Row {
            name: format!("cfi {}", target.name),
            packages: cfi::packages(target),
            quick: false,
            run: Box::new(move || cfi::outcome(target)),
        });
    }
    for target in settled().filter(|target| !target.is_host()) {
        rows.push(Row {
            name: format!("cross {}", target.name),
            packages: cross::packages(target),
            quick: false,
            run: Box::new(move || match if install { cross::set_up(target) } else { Ok(()) } {
                Ok(()) => cross::outcome(target, target.cases),
                Err(why) => Outcome::Failed(why),
            }),
        });
    }
    rows
}

/// A program that must end well and have something to say.
fn program(run: Run) -> Outcome {
    let done = run.done();
    if !done.ok() {
        Outcome::Failed(done.how())
    } else if done.stdout.trim().is_empty() {
        Outcome::Failed("printed nothing".into())
    } else {
        Outcome::Ok(1)
    }
}

/// The names of the examples, `examples/NAME.rs` and `examples/NAME/main.rs`, sorted.
fn examples() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(root().join("examples"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension().is_some_and(|extension| extension == "rs")
                || path.join("main.rs").exists()
        })
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_string()))
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rows_are_unique() {
        let names: Vec<String> =
            LANES.iter().flat_map(|lane| lane(false, false)).map(|row| row.name).collect();
        let mut unique = names.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), names.len());
    }
}
