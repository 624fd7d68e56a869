//! Lines on the terminal, and numbers as people read them.

use std::io::{self, Write};
use std::time::Duration;

/// A line. Nobody reads on (`tour | head`): then there is no more to do.
pub fn say(text: &str) {
    if writeln!(io::stdout(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// A line about something that took so long.
pub fn line(time: Duration, text: &str) {
    say(&format!("   {:>9}  {text}", span(time)));
}

/// A line about something of which the time says nothing.
pub fn note(text: &str) {
    say(&format!("   {:>9}  {text}", ""));
}

pub fn span(time: Duration) -> String {
    let ns = time.as_nanos() as f64;
    match ns {
        ns if ns < 1e3 => format!("{ns:.0} ns"),
        ns if ns < 1e6 => format!("{:.1} µs", ns / 1e3),
        ns if ns < 1e9 => format!("{:.1} ms", ns / 1e6),
        ns => format!("{:.2} s", ns / 1e9),
    }
}
