//! `chat [CONNECTIONS]`: a server and so many clients, in two threads. `chat serve ADDRESS`, `chat load ADDRESS …`: one of the two.

use greenlet_examples_chat::load::{Load, load};
use greenlet_examples_chat::server::{Limits, serve};
use greenlet_examples_chat::{limit, server};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "\
usage: chat [CONNECTIONS]
       chat serve ADDRESS [--most CONNECTIONS] [--idle SECONDS]   until SIGINT or SIGTERM
       chat load ADDRESS [CONNECTIONS [ROOM [MESSAGES]]]";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match &words[..] {
        [] => both(Load::default().connections),
        ["serve", address, options @ ..] => alone(address, options),
        ["load", address, numbers @ ..] if numbers.len() <= 3 => clients(address, numbers),
        [number] => parsed(number).and_then(both),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("chat: {why}");
            ExitCode::FAILURE
        }
    }
}

fn parsed<T: std::str::FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("`{word}`?\n{USAGE}"))
}

fn told<T>(result: std::io::Result<T>) -> Result<T, String> {
    result.map_err(|why| why.to_string())
}

/// The server on one thread, the clients on another.
fn both(connections: usize) -> Result<(), String> {
    limit::allow(2 * connections as u64)?;
    let listener = told(TcpListener::bind("127.0.0.1:0"))?;
    let address = told(listener.local_addr())?;
    let (stop, stopped) = told(UnixStream::pair())?;
    // The clients are as slow as the machine is busy.
    let limits = Limits { idle: Duration::from_secs(3600), ..Limits::default() };
    let server = std::thread::spawn(move || serve(listener, stopped, limits));
    let begin = Instant::now();
    let tally = load(address, Load { connections, ..Load::default() });
    let time = begin.elapsed();
    drop(stop);
    let report = told(server.join().expect("the server does not panic"))?;
    let tally = told(tally)?;
    show(&report);
    println!(
        "{} clients sent {} lines and checked {}, in {time:.1?}",
        tally.connections, tally.sent, tally.checked
    );
    let load = Load { connections, ..Load::default() };
    let full = connections - connections % load.room;
    let last = connections % load.room;
    let expected = (full * load.room + last * last) * load.messages;
    if tally.checked != expected as u64 || report.most_at_once != connections {
        return Err(format!("{expected} lines on {connections} connections at once were expected"));
    }
    Ok(())
}

fn show(report: &server::Report) {
    println!(
        "served {} connections on one thread, {} of them at once: {} lines received, {} delivered",
        report.connections, report.most_at_once, report.received, report.delivered
    );
}

fn alone(address: &str, options: &[&str]) -> Result<(), String> {
    let (mut most, mut limits) = (10_000, Limits::default());
    for option in options.chunks(2) {
        match option {
            ["--most", number] => most = parsed(number)?,
            ["--idle", seconds] => limits.idle = Duration::from_secs(parsed(seconds)?),
            _ => return Err(USAGE.into()),
        }
    }
    limit::allow(most)?;
    let listener = told(TcpListener::bind(address))?;
    // A signal writes a byte; the server waits for it as for any other.
    let (signal, stop) = told(UnixStream::pair())?;
    for number in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let signal = told(signal.try_clone())?;
        told(signal_hook::low_level::pipe::register(number, signal))?;
    }
    println!("listening on {}", told(listener.local_addr())?);
    told(std::io::stdout().flush())?;
    let report = told(serve(listener, stop, limits))?;
    show(&report);
    Ok(())
}

fn clients(address: &str, numbers: &[&str]) -> Result<(), String> {
    let address: SocketAddr = parsed(address)?;
    let mut numbers = numbers.iter().map(|number| parsed::<usize>(number));
    let mut next = |default| numbers.next().unwrap_or(Ok(default));
    let all = Load::default();
    let connections = next(all.connections)?;
    let (room, messages) = (next(all.room)?.max(1), next(all.messages)?);
    limit::allow(connections as u64)?;
    let begin = Instant::now();
    let tally = told(load(address, Load { connections, room, messages, ..all }))?;
    println!(
        "{} clients sent {} lines and checked {}, in {:.1?}",
        tally.connections,
        tally.sent,
        tally.checked,
        begin.elapsed()
    );
    Ok(())
}
