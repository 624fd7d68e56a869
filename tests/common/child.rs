//! A test that needs a process of its own: to end it, or to read what it prints.
//!
//! The test binary runs itself with the test's name, and the variable below tells the test that it is the child.
//! Under an emulator of qemu's user mode the child is started by the same emulator.

use std::ffi::OsString;
use std::process::{Command, ExitStatus};

const VARIABLE: &str = "GREENLET_TEST_CHILD";

/// How a child ended, and what it printed.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// The exit code; `None` if a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Whether the process was ended by a fault or an abort, rather than by its own exit or a panic of its main thread.
    pub fn crashed(&self) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::process::ExitStatusExt;
            // ABRT, BUS (7 on Linux, 10 elsewhere and on MIPS), SEGV.
            matches!(self.status.signal(), Some(6 | 7 | 10 | 11))
        }
        #[cfg(windows)]
        {
            // STATUS_…: access violation, stack overflow, fail fast; an abort of the C library.
            matches!(
                self.status.code().map(|c| c as u32),
                Some(0xc000_0005 | 0xc000_00fd | 0xc000_0409 | 3)
            )
        }
    }
}

/// In the test's own process: runs the test once more in a child, and says how that ended. In the child: runs `body`,
/// and exits with code 0 if it returns.
pub fn run(test: &str, body: impl FnOnce()) -> Ended {
    run_with(test, &[], body)
}

/// The same, with variables in the child's environment.
pub fn run_with(test: &str, environment: &[(&str, &str)], body: impl FnOnce()) -> Ended {
    let emulator = emulator().unwrap_or_default();
    start(&emulator, test, environment, body)
}

/// The same, where the child is run by another program: the command, to which that of the child is added.
pub fn run_under(command: &[&str], test: &str, body: impl FnOnce()) -> Ended {
    let command: Vec<OsString> = command.iter().map(OsString::from).collect();
    start(&command, test, &[], body)
}

fn start(
    runner: &[OsString],
    test: &str,
    environment: &[(&str, &str)],
    body: impl FnOnce(),
) -> Ended {
    if std::env::var_os(VARIABLE).is_some_and(|name| name == test) {
        body();
        std::process::exit(0);
    }
    let program = std::env::current_exe().expect("the test binary has a path");
    let mut command = match runner {
        [first, more @ ..] => {
            let mut command = Command::new(first);
            command.args(more).arg(program);
            command
        }
        [] => Command::new(program),
    };
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(VARIABLE, test).env("RUST_BACKTRACE", "0").env_remove("RUST_TEST_THREADS");
    command.envs(environment.iter().copied());
    let output = command.output().expect("the test binary can be run once more");
    Ended {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The command that emulates this process, without the program and its arguments; `None` on the real machine.
///
/// qemu's user mode shows the guest its own command line in `/proc/self`, but not in `/proc/thread-self`.
pub fn emulator() -> Option<Vec<OsString>> {
    let words = |path| -> Option<Vec<String>> {
        let text = std::fs::read(path).ok()?;
        let text = text.strip_suffix(b"\0").unwrap_or(&text);
        let words = text.split(|byte| *byte == 0);
        Some(words.map(|word| String::from_utf8_lossy(word).into_owned()).collect())
    };
    let guest = words("/proc/self/cmdline")?;
    let host = words("/proc/thread-self/cmdline")?;
    let more = host.len().checked_sub(guest.len())?;
    (more > 0 && host[more..] == guest[..])
        .then(|| host[..more].iter().map(OsString::from).collect())
}
