//! Bytes that a suspended one costs, and how many there can be: read from the process, in a process of its own.

use crate::ours::{self, Machine};
use crate::{peers, tasklets};
use greenlet::raw::{Greenlet as Record, Thread};
use std::ffi::c_void;
use std::io::Write;
use std::process::{Command, Stdio};

/// What one peer costs.
pub struct Footprint {
    pub peer: &'static str,
    /// Bytes resident for each suspended one.
    pub bytes: f64,
    /// How many were made, and whether there could have been more.
    pub count: usize,
    pub more: bool,
}

/// Everybody who is measured, and how many are tried.
const PEERS: [(&str, usize); 8] = [
    ("greenlet::raw", 1_000_000),
    ("Greenlet", 1_000_000),
    ("tasklet, paused", 1_000_000),
    ("tasklet, at a channel of its own", 1_000_000),
    ("corosensei", 50_000),
    ("generator", 50_000),
    ("wasmtime-fiber", 100_000),
    ("context", 50_000),
];

const CHILD: &str = "--memory-of";

/// Where a program that measures memory begins: does the child's part, if it is the child.
pub fn child() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, flag, peer, most] = &arguments[..] else { return };
    if flag == CHILD {
        measure(peer, most.parse().unwrap());
        std::process::exit(0);
    }
}

/// Measures all of them.
pub fn all() -> Vec<Footprint> {
    PEERS.iter().map(|&(peer, most)| one(peer, most)).collect()
}

fn one(peer: &'static str, most: usize) -> Footprint {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args([CHILD, peer, &most.to_string()])
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().rfind(|line| line.split(' ').count() == 2).unwrap_or("0 0");
    let (count, bytes) = last.split_once(' ').unwrap();
    let (count, bytes): (usize, f64) = (count.parse().unwrap(), bytes.parse().unwrap());
    Footprint { peer, bytes: bytes / count as f64, count, more: count == most }
}

/// In the child: makes up to `most`, and prints how many and how many bytes they take.
fn measure(peer: &str, most: usize) {
    let mut make: Box<dyn FnMut() -> bool> = match peer {
        "greenlet::raw" => raw(most),
        "Greenlet" => {
            let mut all = Vec::with_capacity(most);
            Box::new(move || {
                all.push(ours::suspended());
                true
            })
        }
        "tasklet, paused" => Box::new(|| {
            tasklets::paused();
            true
        }),
        "tasklet, at a channel of its own" => Box::new(|| {
            tasklets::waiting();
            true
        }),
        _ => peers::hoarder(peer).unwrap(),
    };
    assert!(make(), "not one"); // what is made once for all
    // A peer that panics when there are too many has told before how far it came. There is no memory for a backtrace.
    std::panic::set_hook(Box::new(|_| std::process::exit(0)));
    let before = resident();
    let mut out = std::io::stdout();
    let (mut made, mut told) = (0, 0);
    let mut tell = |made: usize| writeln!(out, "{made} {}", resident() - before).unwrap();
    while made < most && make() {
        made += 1;
        if made - told == 100 && peer == "generator" {
            told = made;
            tell(made);
        }
    }
    tell(made);
    // Nothing of this is to be unwound.
    std::mem::forget(make);
    std::process::exit(0);
}

/// Greenlets of the bare engine, each record in a block of its own.
fn raw(most: usize) -> Box<dyn FnMut() -> bool> {
    unsafe extern "C" fn body(word: *mut c_void) -> ! {
        let machine: *mut Machine = word.cast();
        // SAFETY: main is suspended, and the machine is in the heap.
        unsafe { Machine::leave(machine) };
        unreachable!()
    }
    let machine = Machine::new();
    let mut all: Vec<Box<Record>> = Vec::with_capacity(most);
    Box::new(move || {
        let mut record = Box::new(Record::new());
        // SAFETY: the record is in the heap for ever.
        unsafe { Machine::start(machine, &raw mut *record, body, machine.cast()) };
        all.push(record);
        true
    })
}

impl Machine {
    /// Suspends the running greenlet for main.
    ///
    /// # Safety
    ///
    /// Main is suspended.
    unsafe fn leave(this: *mut Machine) {
        // SAFETY: the caller's promise.
        unsafe {
            let main = Machine::main(this);
            Thread::switch(&raw mut (*this).thread, main, std::ptr::null_mut()).unwrap();
        }
    }
}

/// The resident set, in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}
