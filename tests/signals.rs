//! Signal handlers that run on a stack whose slices are being moved, and on one of their own.
//!
//! The kernel puts a handler's frame below the stack pointer, at any instruction. Below it nothing may lie that is needed: not
//! while a slice is saved, nor while one is restored, nor between. A storm of signals hits the random programs of
//! `engine/program.rs`, which look at every frame of everybody after each step.
#![cfg(all(feature = "std", unix))]

#[path = "engine/program.rs"]
#[allow(dead_code, reason = "the programs are made by the generator in it")]
mod program;
#[path = "engine/room.rs"]
mod room;

use room::Room;
use std::hint::black_box;
use std::mem::zeroed;
use std::ptr::{null_mut, write_volatile};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// What the deepest program leaves for handlers: a signal's frame has all vector registers in it, 11 KiB on some processors.
const RESERVE: usize = 48 << 10;
const SECOND_STACK: usize = 128 << 10;

/// Programs go on until so many signals have come.
const SIGNALS: usize = 300;

static HANDLED: AtomicUsize = AtomicUsize::new(0);

/// Writes over everything below the stack pointer that it can get.
extern "C" fn handler(_: libc::c_int) {
    let mut room = [0u8; 4096];
    for byte in &mut room {
        // SAFETY: an own variable's.
        unsafe { write_volatile(byte, 0xa5) };
    }
    black_box(&room);
    HANDLED.fetch_add(1, Relaxed);
}

/// A program's state is one static, and so is the handler: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Runs programs while signals come, and answers how many came.
fn storm(flags: libc::c_int) -> usize {
    // SAFETY: all zeros is a value of the type; the handler only does what a handler may.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = flags | libc::SA_RESTART;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &action, null_mut()), 0);
    }
    // SAFETY: it has no precondition.
    let target = unsafe { libc::pthread_self() } as usize;
    let over = AtomicBool::new(false);
    let before = HANDLED.load(Relaxed);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                // SAFETY: the thread is the one that waits for this one at the end of the scope.
                unsafe { libc::pthread_kill(target as libc::pthread_t, libc::SIGUSR1) };
                std::thread::sleep(Duration::from_micros(20));
            }
        });
        let mut room = Room::new(SECOND_STACK);
        let mut arrivals = 0;
        let mut seed = 1;
        while HANDLED.load(Relaxed) - before < SIGNALS || seed < 20 {
            arrivals += program(&mut room, seed);
            seed += 1;
        }
        over.store(true, Relaxed);
        assert!(arrivals > 2000, "only {arrivals} arrivals");
    });
    HANDLED.load(Relaxed) - before
}

/// One random program on the thread's own stack and two separate ones. Everything is on the heap.
fn program(room: &mut Room, seed: u32) -> usize {
    let host = program::Host { reserve: RESERVE, ..room.host() };
    room.run_random(host, seed, 400).unwrap_or_else(|failure| panic!("seed {seed}: {failure:#?}"))
}

#[test]
fn handlers_on_the_running_stack_disturb_no_frame() {
    let _alone = alone();
    assert!(storm(0) >= SIGNALS);
}

#[test]
fn handlers_on_an_alternate_stack_disturb_no_frame() {
    let _alone = alone();
    const SIZE: usize = 128 << 10;
    let mut memory = vec![0u128; SIZE / size_of::<u128>()];
    // SAFETY: all zeros is a value of the type.
    let mut before: libc::stack_t = unsafe { zeroed() };
    let stack = libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: 0, ss_size: SIZE };
    // SAFETY: the memory is there until the old one is back.
    unsafe { assert_eq!(libc::sigaltstack(&stack, &mut before), 0) };
    assert!(storm(libc::SA_ONSTACK) >= SIGNALS);
    assert!(memory.iter().any(|word| *word != 0), "no handler ran on it");
    // SAFETY: as the thread had it.
    unsafe { assert_eq!(libc::sigaltstack(&before, null_mut()), 0) };
}
