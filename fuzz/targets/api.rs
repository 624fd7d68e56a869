//! The Rust API: a program of greenlets, generators and bridges out of bytes, against the model of `tests/property`, on up to three
//! threads at a time, each with a program of its own. Requests for memory fail where the program says so.
#![no_main]

#[path = "../../tests/common/allocator.rs"]
mod allocator;
#[path = "../../tests/property/model.rs"]
#[allow(dead_code, reason = "the property tests shrink with the rest")]
mod model;
#[path = "../../tests/property/real.rs"]
mod real;

use greenlet_fuzz::{Bytes, NO_LEAKS, panics_of_programs_are_meant, run_without_leaks};
use libfuzzer_sys::fuzz_target;
use model::{Op, Style, Ty};

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

/// As long as the property tests' programs, and half as long again.
const MOST: usize = 120;

fn ty(bytes: &mut Bytes) -> Ty {
    if bytes.once_in(5) { Ty::Large } else { Ty::Small }
}

fn style(bytes: &mut Bytes) -> Style {
    if bytes.flag() { Style::Try } else { Style::Raise }
}

fn op(bytes: &mut Bytes) -> Op {
    let rarely = |bytes: &mut Bytes| bytes.once_in(12);
    match bytes.below(36) {
        0..4 => Op::Create {
            parent: bytes.flag().then(|| bytes.below(16)),
            takes: ty(bytes),
            gives: ty(bytes),
            // A greenlet that never begins, and whose closure has a handle to its own child, is a cycle, which leaks as one of `Rc`s does.
            captures: bytes.once_in(6).then(|| bytes.below(16)).filter(|_| !*NO_LEAKS),
        },
        4..10 => Op::Switch {
            to: bytes.below(16),
            want: ty(bytes),
            style: style(bytes),
            odd: rarely(bytes),
        },
        10 => Op::Throw {
            to: bytes.below(16),
            want: ty(bytes),
            style: style(bytes),
            odd: rarely(bytes),
        },
        11 => Op::Kill { whom: bytes.below(16), odd: rarely(bytes) },
        12 => Op::CloneHandle(bytes.below(16)),
        13 | 14 => Op::DropHandle(bytes.below(16)),
        15 => Op::KeepHandle(bytes.below(16)),
        16 => Op::KeepGuard,
        17 => Op::SetParent { of: bytes.below(16), to: bytes.below(16) },
        18 => Op::Return,
        19 => Op::Panic,
        20 => Op::Deeper { size: bytes.below(4), catches: bytes.flag() },
        21 => Op::Shallower,
        22 => Op::NewGenerator { values: bytes.below(5), depth: bytes.below(4) },
        23 => Op::Next(bytes.below(16)),
        24 => match bytes.below(2) {
            0 => Op::DropGenerator(bytes.below(16)),
            _ => Op::KeepGenerator(bytes.below(16)),
        },
        25 => Op::Look,
        26 => Op::NewBridge {
            panics: bytes.once_in(4),
            waits: (0..bytes.below(4)).map(|_| bytes.below(3)).collect(),
        },
        27..30 => Op::Poll(bytes.below(16)),
        30 => match bytes.below(2) {
            0 => Op::DropBridge(bytes.below(16)),
            _ => Op::KeepBridge(bytes.below(16)),
        },
        31 => Op::Trace(bytes.flag()),
        // Where the last switch of a greenlet has found no memory, and there still is none as the error arrives, the frames of what nobody
        // can reach any more are given up.
        _ => Op::Starve { after: bytes.below(4) / 2, for_ever: bytes.flag() && !*NO_LEAKS },
    }
}

fn check(ops: &[Op]) {
    let model = model::run(ops);
    if let Some(difference) = real::difference(&model.steps, &model.log) {
        panic!("{difference}");
    }
}

/// Runs one program on each of as many threads as there are.
fn run(programs: &[Vec<Op>]) {
    let (first, others) = programs.split_first().expect("there is one thread at least");
    std::thread::scope(|scope| {
        let others: Vec<_> = others.iter().map(|ops| scope.spawn(|| check(ops))).collect();
        check(first);
        for other in others {
            // Its panic has been printed if that was asked for; this one ends the process.
            other.join().unwrap_or_else(|payload| {
                panic!("{}", payload.downcast_ref::<String>().map_or("a thread panicked", |s| s))
            });
        }
    });
}

fuzz_target!(init: panics_of_programs_are_meant(), |data: &[u8]| {
    let mut bytes = Bytes::new(data);
    let threads = match bytes.below(8) {
        0 => 3,
        1 => 2,
        _ => 1,
    };
    let mut programs = vec![Vec::new(); threads];
    for i in 0..MOST {
        if !bytes.more() {
            break;
        }
        programs[i % threads].push(op(&mut bytes));
    }
    run_without_leaks(allocator::live, || run(&programs));
});
