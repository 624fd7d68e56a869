//! The memory of an engine's program where there is an allocator and a large native stack: for the tests and the fuzz target. Boards have
//! statics. It must never know what a program does.

use crate::program::{self, BLOCKS, Failure, GREENLETS, Host, Op, World};
use std::mem::MaybeUninit;

const FIRST_STACK: usize = 512 << 10;
const BLOCK_SIZE: usize = 128 << 10;
const LEND_SIZE: usize = 8 << 10;

/// Everything is on the heap, and is used again by the next program.
pub struct Room {
    world: Box<MaybeUninit<World>>,
    /// Two stacks, the pool and what is lent.
    blocks: [Vec<u128>; 4],
    second_stack: usize,
}

impl Room {
    /// With a second stack of that size.
    pub fn new(second_stack: usize) -> Room {
        let sizes = [FIRST_STACK, second_stack, BLOCKS * BLOCK_SIZE, GREENLETS * LEND_SIZE];
        let blocks = sizes.map(|size| vec![0; size / size_of::<u128>()]);
        Room { world: Box::new(MaybeUninit::uninit()), blocks, second_stack }
    }

    /// What there is for a program.
    pub fn host(&mut self) -> Host {
        let [one, two, pool, lend] = self.blocks.each_mut().map(|block| block.as_mut_ptr().cast());
        let trace = std::env::var_os("GREENLET_TRACE").is_some();
        Host {
            stacks: [(one, FIRST_STACK), (two, self.second_stack)],
            native_bottom: 0,
            // SPARC's windows are spilled there, too (`spill_windows`).
            reserve: if cfg!(target_arch = "sparc64") { 20 << 10 } else { 12 << 10 },
            pool,
            block_size: BLOCK_SIZE,
            lend,
            lend_size: LEND_SIZE,
            trace: trace.then_some(|step, me, op| eprintln!("{step:4}: {me} runs: {op:?}")),
        }
    }

    /// Runs a program with what `host` has changed of [`Room::host`]. One at a time in a process.
    #[allow(dead_code, reason = "not everybody has lists")]
    pub fn run_list(&mut self, host: Host, ops: &[Op]) -> Result<usize, Failure> {
        // SAFETY: all is on the heap, and nobody else runs.
        unsafe { program::run_list(self.world.as_mut_ptr(), host, ops) }
    }

    /// Runs a program of the generator in `program.rs`.
    #[allow(dead_code, reason = "the fuzz target has no seeds")]
    pub fn run_random(&mut self, host: Host, seed: u32, count: usize) -> Result<usize, Failure> {
        // SAFETY: all is on the heap, and nobody else runs.
        unsafe { program::run_random(self.world.as_mut_ptr(), host, seed, count) }
    }
}
