//! Tasklets and channels: a program out of bytes, against the model of the scheduler in `tests/tasklets`. Destructors and the trace hook
//! carry out operations of it, too, and requests for memory fail where it says so.
#![no_main]

#[path = "../../tests/common/allocator.rs"]
mod allocator;
#[path = "../../tests/tasklets/model.rs"]
mod model;
#[path = "../../tests/tasklets/real.rs"]
mod real;

use greenlet_fuzz::{Bytes, panics_of_programs_are_meant, run_without_leaks};
use libfuzzer_sys::fuzz_target;
use model::{Hook, Op, Side};

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

const MOST: usize = 160;

fn side(bytes: &mut Bytes) -> Side {
    if bytes.flag() { Side::Send } else { Side::Receive }
}

fn op(bytes: &mut Bytes) -> Op {
    match bytes.below(34) {
        0..3 => Op::Spawn { stubborn: bytes.flag() },
        3 | 4 => Op::Schedule,
        5 => Op::RunAll,
        6 => Op::Run(bytes.below(12)),
        7 => Op::Pause,
        8 => Op::Insert(bytes.below(12)),
        9 => Op::Remove(bytes.below(12)),
        10..15 => {
            Op::Channel { channel: bytes.below(12), side: side(bytes), waits: !bytes.once_in(5) }
        }
        15 => Op::ThrowThrough { channel: bytes.below(12) },
        16 => match bytes.below(2) {
            0 => Op::Close(bytes.below(12)),
            _ => Op::Open(bytes.below(12)),
        },
        17 => Op::Prefer(bytes.below(12), bytes.below(12)),
        18 | 19 => Op::Select {
            cases: (0..bytes.below(4)).map(|_| (bytes.below(12), side(bytes))).collect(),
            waits: !bytes.once_in(5),
        },
        20 => Op::Wait(bytes.below(12)),
        21 => Op::Kill(bytes.below(12)),
        22 => Op::ThrowInto(bytes.below(12)),
        23 => Op::ThrowLater(bytes.below(12)),
        24 => Op::DropHandle(bytes.below(12)),
        25 => Op::Return,
        26 => Op::Panic,
        27 => Op::Look,
        28 => Op::Keep,
        29 => Op::ThrowPast(bytes.below(12)),
        30 => Op::Trace(match bytes.below(3) {
            0 => Hook::None,
            1 => Hook::Looks,
            _ => Hook::Acts,
        }),
        _ => Op::Starve { after: bytes.below(4) / 2, for_ever: bytes.flag() },
    }
}

fuzz_target!(init: panics_of_programs_are_meant(), |data: &[u8]| {
    let mut bytes = Bytes::new(data);
    let mut ops = Vec::new();
    while bytes.more() && ops.len() < MOST {
        ops.push(op(&mut bytes));
    }
    run_without_leaks(allocator::live, || {
        let model = model::run(&ops);
        if let Some(difference) = real::difference(&model.steps, &model.log) {
            panic!("{difference}");
        }
    });
});
