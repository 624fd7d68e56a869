//! The server, as clients see it that know nothing of greenlets: sockets of `std`, each blocking its thread.
#![cfg(unix)]

use greenlet_examples_chat::server::{Limits, Report, serve};
use greenlet_examples_chat::{limit, load};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

/// A server on a thread of its own.
struct Server {
    address: SocketAddr,
    stop: UnixStream,
    thread: JoinHandle<std::io::Result<Report>>,
}

/// For tests that are not about it: as long as the machine may be busy.
const LONG: Duration = Duration::from_secs(3600);

fn patient() -> Limits {
    Limits { idle: LONG, grace: LONG, ..Limits::default() }
}

impl Server {
    fn new(limits: Limits) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = UnixStream::pair().unwrap();
        let thread = std::thread::spawn(move || serve(listener, stopped, limits));
        Server { address, stop, thread }
    }

    fn stop(self) -> Report {
        drop(self.stop);
        self.thread.join().unwrap().unwrap()
    }
}

struct Person(BufReader<TcpStream>);

impl Person {
    /// Says its name, and waits until it is welcome.
    fn new(address: SocketAddr, name: &str) -> Person {
        let mut person = Person::stranger(address);
        person.say(name);
        person.hears(&format!("* welcome, {name}"));
        person
    }

    fn stranger(address: SocketAddr) -> Person {
        Person(BufReader::new(TcpStream::connect(address).unwrap()))
    }

    fn say(&mut self, text: &str) {
        self.0.get_mut().write_all(format!("{text}\n").as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    fn hears(&mut self, expected: &str) {
        assert_eq!(self.line(), format!("{expected}\n"));
    }

    fn hears_the_end(&mut self) {
        assert_eq!(self.line(), "");
    }
}

#[test]
fn two_thousand_connections_on_one_thread_and_every_line_arrives() {
    let what = load::Load { connections: 2000, ..Default::default() };
    limit::allow(2 * what.connections as u64).unwrap();
    let server = Server::new(patient());
    let tally = load::load(server.address, what).unwrap();
    assert_eq!(tally, load::Tally { connections: 2000, sent: 10_000, checked: 200_000 });
    let report = server.stop();
    assert_eq!((report.connections, report.most_at_once), (2000, 2000));
    assert_eq!(report.received, 2000 * (1 + 1 + 5 + 1), "a name, a room, five messages, /quit");
    assert_eq!((report.too_slow, report.cut), (0, 0));
}

#[test]
fn a_room_hears_who_comes_speaks_and_goes() {
    let server = Server::new(patient());
    let mut ada = Person::new(server.address, "ada");
    ada.say("hello?");
    ada.hears("* /join a room first");
    ada.say("/join engines");
    ada.hears("* ada joins engines (1 here)");
    let mut bob = Person::new(server.address, "bob");
    bob.say("/join engines");
    for person in [&mut ada, &mut bob] {
        person.hears("* bob joins engines (2 here)");
    }
    let mut eve = Person::new(server.address, "eve");
    eve.say("/join gardens");
    eve.hears("* eve joins gardens (1 here)");

    ada.say("  note G \u{3bb}  ");
    for person in [&mut ada, &mut bob] {
        person.hears("ada:   note G \u{3bb}  ");
    }
    bob.say("/who");
    bob.hears("* here: ada, bob");
    bob.say("/dance");
    bob.hears("* /join ROOM, /who or /quit");
    bob.say("/join gardens");
    ada.hears("* bob leaves engines (1 here)");
    eve.hears("* bob joins gardens (2 here)");
    drop(bob); // without a word
    eve.hears("* bob leaves gardens (1 here)");
    ada.say("/quit");
    ada.hears("* bye");
    ada.hears_the_end();
    eve.say("still here");
    eve.hears("eve: still here");

    let report = server.stop();
    eve.hears("* the server stops");
    eve.hears_the_end();
    assert_eq!((report.connections, report.most_at_once, report.cut), (3, 3, 0));
}

#[test]
fn what_is_no_name_and_no_line_is_refused() {
    let server = Server::new(Limits { line: 100, ..patient() });
    let mut ada = Person::new(server.address, "ada");
    let mut other = Person::stranger(server.address);
    other.say("ada");
    other.hears("* that name is taken");
    for bad in ["", "two words", "a:b", "/join", "*"] {
        other.say(bad);
        other.hears("* a name is a word");
    }
    other.say("bob");
    other.hears("* welcome, bob");
    other.say(&"x".repeat(5000));
    other.hears("* a line has at most 100 bytes");
    other.hears_the_end();
    ada.0.get_mut().write_all(b"/join \xff\n").unwrap();
    ada.hears("* stream did not contain valid UTF-8");
    ada.hears_the_end();
    // Both names are free again.
    Person::new(server.address, "bob");
    Person::new(server.address, "ada");
    server.stop();
}

#[test]
fn who_says_nothing_for_too_long_is_sent_away() {
    let server = Server::new(Limits { idle: Duration::from_millis(200), ..patient() });
    let mut stranger = Person::stranger(server.address);
    let mut ada = Person::new(server.address, "ada");
    ada.hears("* you have said nothing for too long");
    ada.hears_the_end();
    stranger.hears_the_end();
    assert_eq!(server.stop().cut, 0);
}

#[test]
fn who_does_not_read_is_sent_away_and_the_others_go_on() {
    let server = Server::new(Limits { outbox: 64 << 10, ..patient() });
    let mut sloth = Person::new(server.address, "sloth");
    sloth.say("/join trees");
    sloth.hears("* sloth joins trees (1 here)");
    let mut ada = Person::new(server.address, "ada");
    ada.say("/join trees");
    ada.hears("* ada joins trees (2 here)");
    // Until what the kernel takes for the sloth is full, and then the outbox.
    let text = "z".repeat(8000);
    let mut gone = false;
    while !gone {
        ada.say(&text);
        let mut line = ada.line();
        if line == "* sloth leaves trees (1 here)\n" {
            gone = true;
            line = ada.line();
        }
        assert_eq!(line, format!("ada: {text}\n"));
    }
    ada.say("/who");
    ada.hears("* here: ada");
    assert_eq!(server.stop().too_slow, 1);
    drop(sloth);
}

#[test]
fn who_does_not_read_is_cut_off_when_the_server_stops() {
    let grace = Duration::from_millis(200);
    let server = Server::new(Limits { outbox: 64 << 20, grace, ..patient() });
    let mut sloth = Person::new(server.address, "sloth");
    sloth.say("/join trees");
    sloth.hears("* sloth joins trees (1 here)");
    let mut ada = Person::new(server.address, "ada");
    ada.say("/join trees");
    ada.hears("* ada joins trees (2 here)");
    // More than the kernel takes (at most some megabytes for each direction), less than the outbox.
    let text = "z".repeat(8000);
    for _ in 0..4000 {
        ada.say(&text);
        ada.hears(&format!("ada: {text}"));
    }
    let report = server.stop();
    assert_eq!((report.cut, report.too_slow), (1, 0));
    ada.hears("* the server stops");
    ada.hears_the_end();
    drop(sloth);
}

/// The program, as a server in a process of its own.
struct Process(Child, SocketAddr);

impl Process {
    fn new(before: &str, options: &str) -> Process {
        let script = format!("{before} exec \"$0\" serve 127.0.0.1:0 {options}");
        let mut child = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_chat")])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = Vec::new();
        let stdout = child.stdout.as_mut().unwrap();
        while line.last() != Some(&b'\n') {
            let mut byte = [0];
            stdout.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        let line = String::from_utf8(line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap().parse().unwrap();
        Process(child, address)
    }

    /// What it has said, in all, when it has ended well.
    fn interrupt(self) -> (String, String) {
        let number = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(number, rustix::process::Signal::INT).unwrap();
        let output = self.0.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr))
    }
}

#[test]
fn a_signal_stops_the_program_and_nobody_loses_a_line() {
    let server = Process::new("", "");
    let mut ada = Person::new(server.1, "ada");
    ada.say("/join r");
    ada.say("one");
    ada.hears("* ada joins r (1 here)");
    ada.hears("ada: one");
    let (out, err) = server.interrupt();
    assert!(out.starts_with("served 1 connections on one thread"), "{out}");
    assert_eq!(err, "");
    ada.hears("* the server stops");
    ada.hears_the_end();
}

#[test]
fn without_a_descriptor_left_those_who_come_wait_until_others_leave() {
    let server = Process::new("ulimit -n 40;", "--most 8");
    let mut people: Vec<_> = (0..60).map(|_| Person::stranger(server.1)).collect();
    people.iter_mut().enumerate().for_each(|(number, person)| person.say(&format!("p{number}")));
    let mut number = 0;
    while !people.is_empty() {
        // Those who came first are in, some twenty at least, and the others are when they have left.
        let rest = people.split_off(people.len().min(20));
        for person in &mut people {
            person.hears(&format!("* welcome, p{number}"));
            number += 1;
        }
        people = rest;
    }
    let (_, err) = server.interrupt();
    assert!(err.starts_with("chat: cannot accept now: "), "{err}");
}

#[test]
fn more_connections_than_the_process_may_have_are_refused_with_a_sentence() {
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 100; exec \"$0\" 1000", env!("CARGO_BIN_EXE_chat")])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let err = String::from_utf8(output.stderr).unwrap();
    let start =
        "chat: 2000 connections need 2032 file descriptors, and this process may have 100: ";
    assert!(err.starts_with(start), "{err}");
}
