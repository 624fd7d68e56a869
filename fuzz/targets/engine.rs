//! The engine's interface: a program out of bytes, against the model of `tests/engine`: who runs, how many bytes of whom are
//! saved, and every frame of everybody. Requests for memory fail where the program says so.
#![no_main]

#[path = "../../tests/engine/program.rs"]
mod program;

use greenlet_fuzz::{Bytes, panics_of_programs_are_meant};
use libfuzzer_sys::fuzz_target;
use program::{BLOCKS, GREENLETS, Host, Misuse, Op, STACKS, World};
use std::mem::MaybeUninit;

const MOST: usize = 200;
/// The second is so small that it is nearly full at times.
const STACK_SIZES: [usize; 2] = [512 << 10, 64 << 10];
const BLOCK_SIZE: usize = 128 << 10;
const LEND_SIZE: usize = 8 << 10;

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
        _ => Op::Misuse(misuse(who(bytes), bytes.below(13))),
    }
}

fn misuse(who: u8, what: u8) -> Misuse {
    match what {
        0 => Misuse::ReleaseSelf,
        1 => Misuse::ReleaseForeign,
        2 => Misuse::SwitchToForeign,
        3 => Misuse::SwitchToSelf,
        4 => Misuse::FinishIntoSelf,
        5 => Misuse::FinishIntoForeign,
        6 => Misuse::ReleaseInactive(who),
        7 => Misuse::StartActive(who),
        8 => Misuse::StartOnForeignStack(who),
        9 => Misuse::SwitchToInactive(who),
        10 => Misuse::FinishIntoInactive(who),
        11 => Misuse::FinishAndStartActive(who),
        _ => Misuse::FinishAndStartOnForeignStack(who),
    }
}

/// What a program needs of memory. It is used again by each: libFuzzer runs one after the other.
struct Room {
    world: Box<MaybeUninit<World>>,
    blocks: [Vec<u128>; 4],
}

impl Room {
    fn new() -> Room {
        let sizes = [STACK_SIZES[0], STACK_SIZES[1], BLOCKS * BLOCK_SIZE, GREENLETS * LEND_SIZE];
        let blocks = sizes.map(|size| vec![0; size / size_of::<u128>()]);
        Room { world: Box::new(MaybeUninit::uninit()), blocks }
    }

    fn host(&mut self, allocator: bool) -> Host {
        let [one, two, pool, lend] = self.blocks.each_mut().map(|block| block.as_mut_ptr().cast());
        Host {
            stacks: [(one, STACK_SIZES[0]), (two, STACK_SIZES[1])],
            native_bottom: 0,
            reserve: 12 << 10,
            pool: if allocator { pool } else { std::ptr::null_mut() },
            block_size: BLOCK_SIZE,
            lend,
            lend_size: LEND_SIZE,
            trace: None,
        }
    }
}

thread_local! {
    static ROOM: std::cell::RefCell<Room> = std::cell::RefCell::new(Room::new());
}

fuzz_target!(init: panics_of_programs_are_meant(), |data: &[u8]| {
    let mut bytes = Bytes::new(data);
    let allocator = !bytes.once_in(8);
    let mut ops = Vec::new();
    while bytes.more() && ops.len() < MOST {
        ops.push(op(&mut bytes));
    }
    ROOM.with_borrow_mut(|room| {
        let host = room.host(allocator);
        // SAFETY: all is on the heap, and nobody else runs.
        if let Err(failure) = unsafe { program::run_list(room.world.as_mut_ptr(), host, &ops) } {
            panic!("{failure:#?}\nof {ops:#?}");
        }
    });
});
