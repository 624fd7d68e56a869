//! `cargo xtask test`: every test that this machine can run. To add a row, add it to `rows`.

use crate::args::Args;
use crate::cross::{self, test_run};
use crate::run::{Run, in_one_piece, root};
use crate::table::{Outcome, Table};
use crate::targets::{TARGETS, Target};
use crate::{apt, cfi, counts, fuzz, memcheck, mutate, python, races, vendoring};
use std::sync::Mutex;

/// One row: what it is called, what it needs, and how it is run.
pub struct Row {
    pub name: String,
    /// Debian packages that it needs here, installed or not.
    pub packages: Vec<&'static str>,
    /// Is it among those of `--quick`?
    pub quick: bool,
    pub run: Work,
}

/// What a row does, on whichever lane.
pub type Work = Box<dyn Fn() -> Outcome + Send>;

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
    let wanted = |mut rows: Vec<Row>| {
        rows.retain(|row| row.name.contains(only) && (row.quick || !quick));
        rows
    };
    let lanes = [rows(quick, install), python::rows(install)].map(wanted);
    let shared = by_folder(wanted(cross_rows(install)));
    let side_by_side = lanes.iter().filter(|rows| !rows.is_empty()).count() + shared.len() > 1;
    let packages = lanes.iter().chain(&shared).flatten().flat_map(|row| &row.packages);
    let packages: Vec<_> = packages.copied().collect();
    let installed = if install { apt::install(&packages) } else { Ok(()) };

    // The second lane's programs are single-threaded and wait a lot, so the two run side by side. The rows of one lane share
    // folders, and run one after the other; at its end each lane takes from those of the other targets what is left of them.
    let run = |rows: Vec<Row>| {
        let mut table = Table::default();
        for row in rows {
            let mut one = || table.row(&row.name, || outcome(&row, &installed));
            if side_by_side { in_one_piece(one) } else { one() }
        }
        table
    };
    let shared = Mutex::new(shared.into_iter().enumerate());
    let next = || shared.lock().expect("no row runs with the lock").next();
    let work = |(lane, rows): (usize, Vec<Row>)| {
        let mut tables = vec![((0, lane), run(rows))];
        while let Some((at, rows)) = next() {
            tables.push(((1, at), run(rows)));
        }
        tables
    };
    let mut tables = std::thread::scope(|scope| {
        let lanes = lanes.into_iter().enumerate().map(|lane| scope.spawn(move || work(lane)));
        let lanes: Vec<_> = lanes.collect();
        lanes.into_iter().flat_map(|lane| lane.join().expect("no row panics")).collect::<Vec<_>>()
    });
    tables.sort_by_key(|(place, _)| *place);
    let mut table = Table::default();
    tables.into_iter().for_each(|(_, part)| table.append(part));
    if table.is_empty() {
        return Err(format!("no row's name has `{only}` in it"));
    }
    Ok(table.finish())
}

/// Those of one triple together, whatever stands after its `+`: they are built in the same folder.
fn by_folder(rows: Vec<Row>) -> Vec<Vec<Row>> {
    let folder = |row: &Row| row.name.split('+').next().map(str::to_string);
    let mut groups: Vec<Vec<Row>> = Vec::new();
    for row in rows {
        match groups.iter_mut().find(|group| folder(&group[0]) == folder(&row)) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups
}

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
    let mut row = |name: &str, quick: bool, run: Work| {
        rows.push(Row { name: name.into(), packages: Vec::new(), quick, run });
    };
    let cargo_test = |words: &'static str| -> Work {
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
    #[cfg(target_arch = "x86_64")]
    row("compiled for AVX", false, Box::new(compiled_for_avx));

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
            name: "thread sanitizer".into(),
            packages: races::packages(),
            quick: false,
            run: Box::new(move || races::outcome(install)),
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
    rows
}

/// The engine's copies, where the compiler uses the same registers as their assembly. Optimized, since else it keeps nothing in them.
#[cfg(target_arch = "x86_64")]
fn compiled_for_avx() -> Outcome {
    if !std::arch::is_x86_feature_detected!("avx") {
        return Outcome::Skipped("this CPU has no AVX".into());
    }
    let run = Run::cargo().words("test --release -p greenlet --lib");
    let run = run.env("RUSTFLAGS", "-Ctarget-feature=+avx");
    test_run(&run.env("CARGO_TARGET_DIR", root().join("target/avx")).done())
}

/// The rows of other targets, which either lane takes.
fn cross_rows(install: bool) -> Vec<Row> {
    let settled = TARGETS.iter().filter(|target| target.settled && !target.is_host());
    let row = |target: &'static Target| Row {
        name: format!("cross {}", target.name),
        packages: cross::packages(target),
        quick: false,
        run: Box::new(move || match if install { cross::set_up(target) } else { Ok(()) } {
            Ok(()) => cross::outcome(target, target.cases),
            Err(why) => Outcome::Failed(why),
        }),
    };
    settled.map(row).collect()
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
        let all = [rows(false, false), python::rows(false), cross_rows(false)];
        let names: Vec<String> = all.into_iter().flatten().map(|row| row.name).collect();
        let mut unique = names.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), names.len());
    }

    #[test]
    fn rows_that_are_built_in_one_folder_are_never_side_by_side() {
        let row = |name: &str| Row {
            name: name.into(),
            packages: Vec::new(),
            quick: false,
            run: Box::new(|| Outcome::Ok(1)),
        };
        let groups = by_folder(["cross a", "cross b", "cross a+x"].map(row).into());
        let names: Vec<Vec<&str>> =
            groups.iter().map(|group| group.iter().map(|row| &*row.name).collect()).collect();
        assert_eq!(names, [vec!["cross a", "cross a+x"], vec!["cross b"]]);
    }
}
