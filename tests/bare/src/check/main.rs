//! The tests that run on a board: the register programs of `tests/registers.rs` and the random programs of
//! `tests/engine.rs`, with fixed seeds, each with slice buffers from a small allocator and again with static ones only.
//! The example to copy is `tasks.rs`; this program is about the engine's insides.

#![no_std]
#![no_main]

#[path = "../../../engine/program.rs"]
mod program;
mod random;
mod registers;

use greenlet_bare::{exit, say};

/// Memory for the one program that runs, aligned for stacks and buffers.
#[repr(C, align(16))]
struct Arena([u8; ARENA]);

const ARENA: usize = max(registers::MEMORY, random::MEMORY);
static mut ARENA_MEMORY: Arena = Arena([0; ARENA]);

const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

#[unsafe(no_mangle)]
extern "C" fn run() -> ! {
    let arena = (&raw mut ARENA_MEMORY).cast();
    // SAFETY: one after the other has the arena, which is large enough for each.
    unsafe {
        registers::run(arena);
        random::run(arena);
    }
    say!("bare: all passed");
    exit(0)
}
