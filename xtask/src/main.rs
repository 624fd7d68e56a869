//! `cargo xtask`: every check of this repository, one command each.
//!
//! This file only reads the command line. It must never know how a check is made: each command has
//! a file of its own, and what they share is in `run` (processes), `table` (results), `targets`
//! (the one list of targets), `toolchain` (which cargo builds for one), `apt` (what is missing) and `debs`
//! (packages that are unpacked, not installed).

mod apt;
mod args;
mod assembled;
mod bench;
mod cfi;
mod counts;
mod cross;
mod debs;
mod fuzz;
mod lint;
mod memcheck;
mod mutate;
mod python;
mod races;
mod readme;
mod run;
mod sanitizer;
mod table;
mod targets;
mod test;
mod toolchain;
mod vendoring;

use args::Args;
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  test [--install] [--quick] [--only PATTERN]   every test that this machine can run, one table at the end
  cross [TARGET…] [--install] [--list]          the test-suite on other targets, under emulators
  cfi [TARGET…] [--install]                     the unwind information of arch files, instruction by instruction
  wheel [--to FOLDER] [--install]                wheels of the CPython package, for every interpreter found
  bench [--quick] [--on VERSION] [--install]    all measurements: the tables of the READMEs and the figure; --on: of the package
                                                on one CPython, --quick: on one, in a few minutes; both write nothing that is committed
  python-foreign [arm64] [s390x] [--install] [--only PATTERN]
                                                the CPython package on other machines, under emulators: an hour each
  counts [--record]                             instructions of the hot paths beside what was recorded
  mutate [TARGET] [--install] [--lines A-B] [--quick]
                                                which single mistakes in an arch file no test notices
  fuzz [TARGET…] [--seconds N] [--install]      the fuzz targets, a minute each unless said otherwise; --asan: with AddressSanitizer;
                                                --minimize makes the corpus of what was found, --coverage shows the lines that it reaches
  install-c PREFIX [--target TARGET] [--asan]   libgreenlet: static and shared library, header, pkg-config file
  lint                                          rustfmt, clippy, rustdoc, dependencies, tables
  readme [--check]                              the parts of README.md and .cargo/config.toml made from the list of targets

--install fetches what is missing with apt-get (Debian 12, as root; some into ~/.cache/greenlet). Without it nothing is installed,
and what cannot run is listed as skipped, with the packages that it needs.
";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let rest: Vec<String> = words.collect();
    let result = match command.as_str() {
        "test" => Args::parse(rest, &["--install", "--quick"], &["--only"]).and_then(test::command),
        "cross" => Args::parse(rest, &["--install", "--list"], &[]).and_then(cross::command),
        "cfi" => Args::parse(rest, &["--install"], &[]).and_then(cfi::command),
        "bench" => Args::parse(rest, &["--quick", "--install"], &["--on"]).and_then(bench::command),
        "counts" => Args::parse(rest, &["--record"], &[]).and_then(counts::command),
        "mutate" => {
            Args::parse(rest, &["--install", "--quick"], &["--lines"]).and_then(mutate::command)
        }
        "fuzz" => {
            Args::parse(rest, &["--install", "--asan", "--minimize", "--coverage"], &["--seconds"])
                .and_then(fuzz::command)
        }
        "wheel" => Args::parse(rest, &["--install"], &["--to"]).and_then(python::wheel::command),
        "python-foreign" => {
            Args::parse(rest, &["--install"], &["--only"]).and_then(python::foreign::command)
        }
        "lint" => Args::parse(rest, &[], &[]).and_then(lint::command),
        "install-c" => {
            Args::parse(rest, &["--asan"], &["--target"]).and_then(vendoring::install::command)
        }
        "readme" => Args::parse(rest, &["--check"], &[]).and_then(readme::command),
        "" | "help" | "-h" | "--help" => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        other => Err(format!("there is no command `{other}`\n\n{HELP}")),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::from(2)
        }
    }
}
