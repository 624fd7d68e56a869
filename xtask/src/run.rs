//! Runs other programs: shows what they print as they print it, keeps a copy, and ends them when
//! their time is up. It must never know what the programs are for; `tests_in` reads the one kind of
//! line that all of cargo's test runs have in common.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The repository's root: of the checkout in which `cargo xtask` was said, not of the one in which
/// this program was compiled, should two checkouts share one target directory.
pub fn root() -> PathBuf {
    let asked = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let asked = asked.filter(|directory| directory.ends_with("xtask"));
    let xtask = asked.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    xtask.parent().expect("xtask lies in the root").to_path_buf()
}

thread_local! {
    /// Where what this thread's programs print is shown; `None`: on the terminal, as it comes.
    static SHOWN: RefCell<Option<Arc<Mutex<Vec<u8>>>>> = const { RefCell::new(None) };
}

/// Runs `f`, and shows in one piece at its end what it says and what its programs print: for things that run side by
/// side, whose lines would be mixed otherwise.
pub fn in_one_piece<T>(f: impl FnOnce() -> T) -> T {
    let all = Arc::new(Mutex::new(Vec::new()));
    SHOWN.set(Some(all.clone()));
    let result = f();
    SHOWN.set(None);
    let all = std::mem::take(&mut *all.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
    let _ = std::io::stdout().lock().write_all(&all);
    result
}

/// A line for whoever watches.
pub fn say(line: &str) {
    let mut to = shown(std::io::stdout());
    let _ = to.write_all(format!("{line}\n").as_bytes());
    let _ = to.flush();
}

/// Where to show something of this thread's: in its one piece, or else there.
fn shown<W: Write + Send + 'static>(terminal: W) -> Box<dyn Write + Send> {
    struct Piece(Arc<Mutex<Vec<u8>>>);
    impl Write for Piece {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    match SHOWN.with_borrow(Clone::clone) {
        Some(piece) => Box::new(Piece(piece)),
        None => Box::new(terminal),
    }
}

/// A program about to be run, in the repository's root unless told otherwise.
pub struct Run {
    command: Command,
    shown: String,
    limit: Duration,
    quiet: bool,
}

/// What became of it.
pub struct Done {
    /// The exit status, `None` if a signal ended it.
    pub status: Option<i32>,
    /// It was ended because its time was up.
    pub timed_out: bool,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
    /// How long it took.
    pub seconds: f64,
}

impl Run {
    /// A program. Half an hour is the limit unless [`Run::limit`] says otherwise.
    pub fn new(program: impl AsRef<OsStr>) -> Run {
        let program = program.as_ref();
        let mut command = Command::new(program);
        command.current_dir(root()).stdin(Stdio::null());
        // `cargo xtask` was itself started by cargo: what that left in the environment is about
        // xtask, and would mislead another cargo.
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            if name_text == "CARGO" || is_about_this_package(&name_text) {
                command.env_remove(&name);
            }
        }
        match library_path_without_cargo() {
            Some(path) if !path.is_empty() => command.env("LD_LIBRARY_PATH", path),
            _ => command.env_remove("LD_LIBRARY_PATH"),
        };
        let shown = Path::new(program).file_name().unwrap_or(program).to_string_lossy().into();
        Run { command, shown, limit: Duration::from_secs(1800), quiet: false }
    }

    /// The `cargo` that is on the path.
    pub fn cargo() -> Run {
        Run::new("cargo")
    }

    /// Shows it as if it were another program, whatever its arguments are so far.
    pub fn shown_as(mut self, program: impl AsRef<OsStr>) -> Run {
        self.shown = program.as_ref().to_string_lossy().into();
        self
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Run {
        self.shown.push(' ');
        self.shown.push_str(&arg.as_ref().to_string_lossy());
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(self, args: impl IntoIterator<Item = A>) -> Run {
        args.into_iter().fold(self, Run::arg)
    }

    /// Adds arguments that are written as one text with spaces between.
    pub fn words(self, words: &str) -> Run {
        self.args(words.split_whitespace())
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Run {
        let text = value.as_ref().to_string_lossy();
        self.shown = format!("{}={text:?} {}", name.as_ref().to_string_lossy(), self.shown);
        self.command.env(name, value);
        self
    }

    /// Where to run it.
    pub fn directory(mut self, directory: impl AsRef<Path>) -> Run {
        self.command.current_dir(directory);
        self
    }

    /// How long it may take.
    pub fn limit(mut self, limit: Duration) -> Run {
        self.limit = limit;
        self
    }

    /// Keeps what it prints, and shows nothing.
    pub fn quiet(mut self) -> Run {
        self.quiet = true;
        self
    }

    /// Runs it to its end.
    pub fn done(mut self) -> Done {
        if !self.quiet {
            say(&format!("\n$ {}", self.shown));
        }
        let begin = Instant::now();
        let failed = |error: std::io::Error| Done {
            status: Some(127),
            timed_out: false,
            stdout: String::new(),
            stderr: format!("{}: {error}", self.shown),
            seconds: 0.0,
        };
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = match self.command.spawn() {
            Ok(child) => child,
            Err(error) => {
                let done = failed(error);
                say(&done.stderr);
                return done;
            }
        };
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let quiet = self.quiet;
        let (to_out, to_err) = (shown(std::io::stdout()), shown(std::io::stderr()));
        let out = thread::spawn(move || copy(out, (!quiet).then_some(to_out)));
        let err = thread::spawn(move || copy(err, (!quiet).then_some(to_err)));

        let mut timed_out = false;
        let mut nap = Duration::from_millis(1);
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status.code(),
                Ok(None) if !timed_out && begin.elapsed() > self.limit => {
                    timed_out = true;
                    say(&format!("xtask: {} s are up, ending it", self.limit.as_secs()));
                    end_with_children(child.id());
                    let _ = child.kill();
                }
                Ok(None) => thread::sleep(nap),
                Err(_) => break None,
            }
            nap = (nap * 2).min(Duration::from_millis(50));
        };
        Done {
            status,
            timed_out,
            stdout: out.join().unwrap_or_default(),
            stderr: err.join().unwrap_or_default(),
            seconds: begin.elapsed().as_secs_f64(),
        }
    }

    /// Runs it silently and answers its standard output, or `None` if it failed.
    pub fn output(self) -> Option<String> {
        let done = self.quiet().done();
        done.ok().then_some(done.stdout)
    }
}

impl Done {
    /// It ended by itself, with status 0.
    pub fn ok(&self) -> bool {
        self.status == Some(0) && !self.timed_out
    }

    /// How it ended, in words.
    pub fn how(&self) -> String {
        match self.status {
            _ if self.timed_out => format!("no end after {:.0} s", self.seconds),
            Some(status) => format!("exit status {status}"),
            None => "ended by a signal".into(),
        }
    }
}

/// Variables that cargo sets for the program that it runs, about that program's package.
fn is_about_this_package(name: &str) -> bool {
    name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_MANIFEST_")
        || ["CARGO_BIN_NAME", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE"].contains(&name)
}

/// The library path without what `cargo run` put in front of it: the toolchain's own libraries,
/// which another toolchain's compiler must not load.
fn library_path_without_cargo() -> Option<String> {
    let path = std::env::var("LD_LIBRARY_PATH").ok()?;
    let ours = std::env::current_exe().ok()?;
    let ours = ours.parent()?;
    let cargos = |entry: &str| {
        let entry = Path::new(entry);
        entry.starts_with(ours)
            || entry.ends_with("lib")
                && entry.parent().is_some_and(|p| p.join("bin/rustc").exists())
            || entry.components().any(|part| part.as_os_str() == "rustlib")
    };
    let kept: Vec<&str> =
        path.split(':').filter(|entry| !entry.is_empty() && !cargos(entry)).collect();
    Some(kept.join(":"))
}

/// Reads to the end, passing each line on.
fn copy(from: impl Read, to: Option<impl Write>) -> String {
    let (mut from, mut to) = (BufReader::new(from), to);
    let (mut all, mut line) = (Vec::new(), Vec::new());
    while matches!(from.read_until(b'\n', &mut line), Ok(n) if n > 0) {
        if let Some(to) = &mut to {
            let _ = to.write_all(&line);
            let _ = to.flush();
        }
        all.append(&mut line);
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// Ends a process and everything that it started. No process group: a `^C` at the terminal must
/// still reach them all.
fn end_with_children(process: u32) {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // "pid (name) state parent …", and the name may hold spaces and brackets.
        let after = stat.rsplit(')').next().unwrap_or_default();
        if let Some(parent) = after.split_whitespace().nth(1).and_then(|p| p.parse::<u32>().ok()) {
            parents.push((id, parent));
        }
    }
    let mut doomed = vec![process];
    let mut next = 0;
    while next < doomed.len() {
        let parent = doomed[next];
        doomed.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(id, _)| *id));
        next += 1;
    }
    let ids = doomed.iter().map(u32::to_string);
    let _ = Command::new("kill").arg("-KILL").args(ids).stderr(Stdio::null()).status();
}

/// What the `test result:` lines and the `test … FAILED` lines of a run say.
#[derive(Debug, Default, PartialEq)]
pub struct Tests {
    /// Lines that say `test result: ok`.
    pub results_ok: usize,
    /// Those of them that are about documentation: one such run can have several.
    pub of_docs: usize,
    /// Lines that say `test result: FAILED`.
    pub results_failed: usize,
    /// Tests that passed.
    pub passed: usize,
    /// Names of those that failed.
    pub failed: Vec<String>,
}

/// Reads them out of what a run printed.
pub fn tests_in(output: &str) -> Tests {
    let mut tests = Tests::default();
    let mut doc = false;
    for line in output.lines() {
        doc |= line.starts_with("test ") && line.contains(" - ") && line.contains("(line ");
        if let Some(result) = line.strip_prefix("test result: ") {
            match result.split('.').next() {
                Some("ok") => {
                    tests.results_ok += 1;
                    tests.of_docs += usize::from(std::mem::take(&mut doc));
                }
                _ => tests.results_failed += 1,
            }
            let passed = result.split(';').next().unwrap_or_default();
            let passed = passed.trim_end_matches(" passed").rsplit(' ').next();
            tests.passed += passed.and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
        } else if let Some(name) =
            line.strip_prefix("test ").and_then(|line| line.strip_suffix(" ... FAILED"))
        {
            tests.failed.push(name.to_string());
        }
    }
    tests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_results_are_counted() {
        let output = "running 3 tests\ntest a::b ... ok\ntest c ... FAILED\ntest d ... ignored\n\n\
            test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured\n\
            test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured\n";
        let expected = Tests {
            results_ok: 1,
            of_docs: 0,
            results_failed: 1,
            passed: 13,
            failed: vec!["c".into()],
        };
        assert_eq!(tests_in(output), expected);
    }

    #[test]
    fn results_about_documentation_are_told_apart() {
        let result = "test result: ok. 1 passed; 0 failed\n";
        let output =
            format!("test a ... ok\n{result}test src/lib.rs - a (line 3) ... ok\n{result}{result}");
        let tests = tests_in(&output);
        assert_eq!((tests.results_ok, tests.of_docs), (3, 1));
    }

    #[test]
    fn output_and_status_are_kept() {
        let done = Run::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]).quiet().done();
        assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("out\n", "err\n"));
        assert_eq!(done.status, Some(3));
        assert!(!done.ok());
    }

    #[test]
    fn a_program_that_does_not_end_is_ended_with_its_children() {
        let run = Run::new("sh").args(["-c", "sleep 60 & sleep 61; echo never"]).quiet();
        let done = run.limit(Duration::from_millis(100)).done();
        assert!(done.timed_out && !done.ok() && done.stdout.is_empty());
        assert!(done.seconds < 30.0);
    }

    #[test]
    fn in_one_piece_is_for_its_own_thread_only() {
        in_one_piece(|| {
            Run::new("echo").arg("kept").done();
            let other = thread::spawn(|| SHOWN.with_borrow(Option::is_none));
            assert!(other.join().unwrap());
            let all = SHOWN.with_borrow(|shown| shown.clone().unwrap());
            assert_eq!(String::from_utf8_lossy(&all.lock().unwrap()), "\n$ echo kept\nkept\n");
            all.lock().unwrap().clear();
        });
        assert!(SHOWN.with_borrow(Option::is_none));
    }

    #[test]
    fn a_program_that_is_not_there_is_a_failure() {
        assert!(!Run::new("/no/such/program").quiet().done().ok());
    }
}
