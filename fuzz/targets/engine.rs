//! The engine's interface: a program out of bytes, against the model of `tests/engine`: who runs, how many bytes of whom are
//! saved, and every frame of everybody. Requests for memory fail where the program says so.
#![no_main]

#[path = "../../tests/engine/program.rs"]
mod program;
#[path = "../../tests/engine/room.rs"]
mod room;

use greenlet_fuzz::{Bytes, panics_of_programs_are_meant};
use libfuzzer_sys::fuzz_target;
use program::{GREENLETS, Misuse, Op, STACKS};
use room::Room;
use std::cell::RefCell;

const MOST: usize = 200;
/// So small that it is nearly full at times.
const SECOND_STACK: usize = 64 << 10;

fn op(bytes: &mut Bytes) -> Op {
    let who = |bytes: &mut Bytes| bytes.below(GREENLETS as u8);
    let on = |bytes: &mut Bytes| bytes.below(STACKS as u8);
    match bytes.below(16) {
        0 | 1 => Op::Deeper { size: bytes.below(4) },
        2 => Op::Shallower,
        3..8 => Op::Switch { who: who(bytes), inline: bytes.flag() },
        8..11 => Op::Start {
            who: who(bytes),
            on: on(bytes),
            lean: bytes.flag(),
            lend: if bytes.once_in(6) { 64 + bytes.below_u16(5936) } else { 0 },
        },
        11 => Op::Finish { who: who(bytes) },
        12 => match bytes.below(3) {
            0 => Op::FinishAbove,
            _ => Op::FinishAndStart { who: who(bytes), on: on(bytes) },
        },
        13 => Op::Release { who: who(bytes) },
        14 => Op::Starve { after: bytes.below(3), times: bytes.below(3) },
        _ => {
            let who = who(bytes);
            Op::Misuse(Misuse::of_kind(bytes.below(Misuse::KINDS), who))
        }
    }
}

thread_local! {
    /// Used again by each program: libFuzzer runs one after the other.
    static ROOM: RefCell<Room> = RefCell::new(Room::new(SECOND_STACK));
}

fuzz_target!(init: panics_of_programs_are_meant(), |data: &[u8]| {
    let mut bytes = Bytes::new(data);
    let allocator = !bytes.once_in(8);
    let mut ops = Vec::new();
    while bytes.more() && ops.len() < MOST {
        ops.push(op(&mut bytes));
    }
    ROOM.with_borrow_mut(|room| {
        let mut host = room.host();
        if !allocator {
            host.pool = std::ptr::null_mut();
        }
        if let Err(failure) = room.run_list(host, &ops) {
            panic!("{failure:#?}\nof {ops:#?}");
        }
    });
});
