//! The Python package beside the reference, on every interpreter that is here: pairs of virtual environments, in which
//! the scripts of `python/benches` are run. It must never know what they measure.

use super::interpreter::{Interpreter, Unready, VERSIONS, Version, has_assertions};
use super::suites::{REFERENCE, Venv};
use super::{Wheels, ready};
use crate::bench::outcome;
use crate::run::{Run, root};
use crate::table::{Outcome, Table};
use std::path::Path;

/// The version on which whole programs are compared.
const PROGRAMS_ON: &str = "3.12";
const PROGRAM_PACKAGES: &[&str] = &["gevent", "eventlet", "sqlalchemy", "aiosqlite"];
/// The versions whose interpreter maps a chunk for each call that crosses the end of one.
const DEPTH_ON: &[&str] = &["3.11", "3.12", "3.13"];
/// What is asked about instructions.
const COUNTED: &str = "switch_noarg,switch_value,switch_peers,throw,generator";

/// Adds the rows, of one version if `on` names one. Builds with assertions are not compared: nobody runs them to be fast.
pub fn rows(table: &mut Table, folder: &Path, on: Option<&str>, quick: bool, install: bool) {
    let wheels = Wheels::default();
    for version in VERSIONS.iter().filter(|version| !has_assertions(version.name)) {
        // One version says enough in a hurry.
        let wanted = on.or(quick.then_some(PROGRAMS_ON));
        if wanted.is_some_and(|wanted| wanted != version.name) {
            continue;
        }
        let name = version.name;
        let interpreter = match ready(version, install) {
            Ok(interpreter) => interpreter,
            Err(Unready::Lacks(why)) => {
                table.row(&format!("python {name}"), || Outcome::Skipped(why));
                continue;
            }
            Err(Unready::Failed(why)) => {
                table.row(&format!("python {name}"), || Outcome::Failed(why));
                continue;
            }
        };
        let pair = match Pair::new(version, &interpreter, &wheels) {
            Ok(pair) => pair,
            Err(why) => {
                table.row(&format!("python {name}"), || Outcome::Failed(why));
                continue;
            }
        };
        let mut row = |what: &str, script: &str, options: &str| {
            let file = folder.join(format!("{what}-{name}.json"));
            table.row(&format!("python {name}: {what}"), || {
                let run = pair.run(script).words(options).arg("--json").arg(&file);
                outcome(&run.done(), &file)
            });
        };
        row("time", "compare.py", if quick { "--turns 3" } else { "--turns 5" });
        if DEPTH_ON.contains(&name) {
            row("depth", "depth.py", if quick { "--runs 2" } else { "--runs 5" });
        }
        if name == PROGRAMS_ON {
            row("programs", "endtoend.py", if quick { "--turns 1" } else { "--turns 5" });
        }
        if quick {
            continue;
        }
        match pair.ours.python().words("-c").arg(HAS_VALGRIND).output() {
            Some(_) => {
                row("instructions", "compare.py", &format!("--instructions --only {COUNTED}"))
            }
            None => table.row(&format!("python {name}: instructions"), || {
                Outcome::Skipped("there is no valgrind where it lives".into())
            }),
        }
    }
}

const HAS_VALGRIND: &str = "import shutil, sys; sys.exit(not shutil.which('valgrind'))";

/// The same interpreter twice: with our wheel, and with the reference.
struct Pair<'a> {
    ours: Venv<'a>,
    reference: Venv<'a>,
}

impl<'a> Pair<'a> {
    fn new(
        version: &Version,
        interpreter: &'a Interpreter,
        wheels: &Wheels,
    ) -> Result<Pair<'a>, String> {
        let packages = if version.name == PROGRAMS_ON { PROGRAM_PACKAGES } else { &[] };
        let wheel = match wheels.get(interpreter) {
            Ok(wheel) => wheel,
            Err(Unready::Lacks(why) | Unready::Failed(why)) => return Err(why),
        };
        let ours = Venv::new(interpreter, "bench", Some(&wheel), packages)?;
        let theirs: Vec<&str> = [REFERENCE].iter().chain(packages).copied().collect();
        let reference = Venv::new(interpreter, "bench-reference", None, &theirs)?;
        Ok(Pair { ours, reference })
    }

    /// A script of `python/benches` with both; it runs where they live.
    fn run(&self, script: &str) -> Run {
        let run = self.ours.python().arg(root().join("python/benches").join(script));
        [&self.ours, &self.reference]
            .into_iter()
            .fold(run, |run, venv| run.arg(venv.path.join("bin/python")))
    }
}
