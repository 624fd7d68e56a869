//! The random programs of `tests/engine/program.rs` with the model that checks them, with fixed seeds, in static memory.

use crate::program::{BLOCKS, GREENLETS, Host, World, run_random};
use core::mem::MaybeUninit;
use core::ptr;
use greenlet_bare::say;

/// How many programs, and how many operations each has.
const PROGRAMS: u32 = 20;
const OPERATIONS: usize = 400;

/// Frames are as large as their words are.
const UNIT: usize = size_of::<usize>() / 4;
const STACKS: [usize; 2] =
    if cfg!(little_memory) { [3072, 2048] } else { [8192 * UNIT, 5120 * UNIT] };
/// What one level of recursion takes at most, with all that it calls.
const RESERVE: usize = if cfg!(little_memory) { 1792 } else { 2048 * UNIT };
/// All slice buffers together. With an allocator it has most of that, and some is lent; without, all is lent.
const BUFFERS: usize = if cfg!(little_memory) { 5120 } else { 24576 * UNIT };
const BLOCK: usize = BUFFERS / 10 & !15;
/// The lowest bytes of a stack, which must stay as they are: what goes deeper is a mistake of this program.
const GUARD: usize = 32;

/// What [`run`] needs: two stacks, and then the buffers.
pub const MEMORY: usize = STACKS[0] + STACKS[1] + BUFFERS;

static mut WORLD: MaybeUninit<World> = MaybeUninit::uninit();

/// Runs all of them: with the small allocator of `program.rs`, and then with lent buffers only.
///
/// # Safety
///
/// `arena` has [`MEMORY`] bytes, aligned to 16, that nobody else uses.
pub unsafe fn run(arena: *mut u8) {
    unsafe extern "C" {
        static mut _bss_end: u8;
    }
    let stacks = [(arena, STACKS[0]), (arena.wrapping_add(STACKS[0]), STACKS[1])];
    let buffers = arena.wrapping_add(STACKS[0] + STACKS[1]);
    // The native stack grows down to what lies at the end of the statics; Linux has one of its own.
    let has_bottom = cfg!(target_os = "none");
    let native = if has_bottom { (&raw mut _bss_end).cast() } else { arena };
    let native_bottom = if has_bottom { native.addr() } else { 0 };
    for allocator in [true, false] {
        let pool = if allocator { BLOCKS * BLOCK } else { 0 };
        let mut arrivals = 0;
        for seed in 1..=PROGRAMS {
            let host = Host {
                stacks,
                native_bottom,
                reserve: RESERVE,
                pool: if allocator { buffers } else { ptr::null_mut() },
                block_size: BLOCK,
                lend: buffers.wrapping_add(pool),
                lend_size: (BUFFERS - pool) / GREENLETS & !15,
                trace: None,
            };
            let guards = [stacks[0].0, stacks[1].0, native];
            // SAFETY: as the caller promises; the parts do not overlap; nobody else runs.
            let result = unsafe {
                guards.iter().for_each(|guard| guard.write_bytes(seed as u8, GUARD));
                run_random((&raw mut WORLD).cast(), host, seed, OPERATIONS)
            };
            for guard in guards {
                // SAFETY: as above.
                let intact =
                    (0..GUARD).all(|i| unsafe { guard.add(i).read_volatile() } == seed as u8);
                assert!(intact, "program {seed}: a stack is too small");
            }
            match result {
                Ok(checked) => arrivals += checked,
                Err(failure) => panic!("program {seed}, allocator: {allocator}: {failure:?}"),
            }
        }
        let with = if allocator { "a small allocator" } else { "static buffers only" };
        say!(
            "random programs: {PROGRAMS} of {OPERATIONS} operations with {with}, {arrivals} arrivals compared with the model"
        );
        assert!(arrivals > PROGRAMS as usize * OPERATIONS / 10, "too few");
    }
}
