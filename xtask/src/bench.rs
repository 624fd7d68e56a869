//! `cargo xtask bench`: everything that is measured, in one go; the numbers as a file, the tables and the figure made from it.
//!
//! This file knows the order of the measurements and where their numbers go. How something is measured is the business
//! of `benches/` and `python/benches/`, what is made of the numbers that of `benches/report.py`.

use crate::args::Args;
use crate::run::{Done, Run, root};
use crate::table::{Outcome, Table};
use crate::{apt, counts, python};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// What it needs here, besides the interpreters.
const PACKAGES: &[&str] = &["valgrind", "python3", "python3-venv", "gcc", "g++", "libc6-dev"];

/// The command.
pub fn command(args: Args) -> Result<bool, String> {
    args.no_words()?;
    let (quick, install) = (args.flag("--quick"), args.flag("--install"));
    if install {
        apt::install(PACKAGES)?;
    }
    let folder = root().join("target/bench");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut table = Table::default();
    let on = args.option("--on");
    if on.is_none() {
        table.row("the crate and its peers", || the_crate(&folder, quick));
        if !quick {
            table.row("criterion", || criterion(&folder));
            table.row("instruction counts", counts::outcome);
        }
    }
    python::bench::rows(&mut table, &folder, on, quick, install);
    table.row("tables and figure", || report(&folder, quick || on.is_some()));
    println!("\nthe numbers and the figure are in {}", folder.display());
    Ok(table.finish())
}

fn the_crate(folder: &Path, quick: bool) -> Outcome {
    let run = Run::cargo().words("run -q --release -p greenlet-benches --bin compare --");
    let run = run.words(if quick { "--samples 41" } else { "--samples 201" });
    let done = run.arg("--json").arg(folder.join("crate.json")).done();
    if done.ok()
        && let Err(error) = fs::write(folder.join("crate.txt"), &done.stdout)
    {
        return Outcome::Failed(error.to_string());
    }
    outcome(&done, &folder.join("crate.json"))
}

/// All cases with criterion's statistics, as text: with short settings about two minutes.
fn criterion(folder: &Path) -> Outcome {
    let run = Run::cargo().words("bench -q -p greenlet-benches --bench speed --");
    let run = run.words("--warm-up-time 0.1 --measurement-time 0.5 --sample-size 20 --noplot");
    let done = run.limit(Duration::from_secs(900)).done();
    let text = folder.join("criterion.txt");
    match fs::write(&text, &done.stdout) {
        Ok(()) if done.ok() => {
            match done.stdout.lines().filter(|line| line.contains("time:")).count() {
                0 => Outcome::Failed("criterion has measured nothing".into()),
                measured => Outcome::Ok(measured),
            }
        }
        Ok(()) => Outcome::Failed(done.how()),
        Err(error) => Outcome::Failed(format!("{}: {error}", text.display())),
    }
}

/// The committed files are written by a full run only: a part says less than what they say now.
fn report(folder: &Path, partial: bool) -> Outcome {
    let run = Run::new("python3").arg(root().join("benches/report.py")).arg(folder);
    let done = if partial { run.done() } else { run.arg("--write").done() };
    outcome(&done, &folder.join("comparison.svg"))
}

/// A measurement is there when it says so and has left its file.
pub fn outcome(done: &Done, file: &Path) -> Outcome {
    match (done.ok(), file.exists()) {
        (true, true) => Outcome::Ok(1),
        (true, false) => Outcome::Failed(format!("it has not written {}", file.display())),
        (false, _) => Outcome::Failed(done.how()),
    }
}
