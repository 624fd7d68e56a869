//! The program that `cargo xtask cfi` watches with a debugger: a handful of greenlets on the bare
//! engine that leave and come back through every entry of the arch file, in every combination of
//! "suspended through this, resumed through that", refused switches among them.
//!
//! Before each switch it notes who leaves and who is to go on, for the debugger to read. Whoever is
//! suspended is so at an address of its own, and the first to begin does so on a stack of its own, so
//! that the debugger sees when the stack is switched.

use greenlet::raw::{Error, Greenlet, Memory, Stack, Thread};
use std::ffi::c_void;
use std::hint::black_box;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// Who leaves.
#[unsafe(no_mangle)]
static CFI_FROM: AtomicUsize = AtomicUsize::new(0);
/// Who is to go on.
#[unsafe(no_mangle)]
static CFI_TO: AtomicUsize = AtomicUsize::new(0);

/// Whether there is no memory at the moment.
static REFUSE: AtomicBool = AtomicBool::new(false);

const MAIN: usize = 0;
const A: usize = 1;
const B: usize = 2;
/// The one on a separate stack.
const S: usize = 3;

static mut THREAD: Thread = Thread::new(Memory { resize, ctx: ptr::null_mut() });
static mut GREENLETS: [Greenlet; 4] = [const { Greenlet::new() }; 4];
static mut SEPARATE: Stack = Stack::new();

/// What the one who runs does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Start(usize),
    Switch(usize),
    Inline(usize),
    /// Both kinds of switch, refused for want of memory.
    Refused(usize),
    Finish(usize),
    /// No more steps: main's last.
    End,
}
use Step::*;

/// The comment on each line: who runs.
const STEPS: &[Step] = &[
    Start(S),      // main
    Inline(MAIN),  // S; nothing to copy as long as it is alone there
    Inline(S),     // main
    Switch(MAIN),  // S
    Inline(S),     // main
    Inline(MAIN),  // S
    Switch(S),     // main
    Switch(MAIN),  // S
    Switch(S),     // main
    Start(A),      // S, on S's stack
    Switch(MAIN),  // A
    Switch(S),     // main: A is in the way
    Finish(A),     // S
    Finish(MAIN),  // A
    Start(A),      // main
    Refused(MAIN), // A, never saved yet
    Switch(MAIN),  // A
    Inline(A),     // main
    Inline(MAIN),  // A
    Switch(A),     // main
    Switch(MAIN),  // A
    Start(B),      // main, from deeper
    Switch(A),     // B
    Switch(B),     // A
    Inline(A),     // B
    Switch(B),     // A
    Switch(MAIN),  // B
    Inline(A),     // main
    Inline(B),     // A
    Inline(MAIN),  // B
    Switch(B),     // main
    Inline(MAIN),  // B
    Inline(A),     // main
    Finish(B),     // A
    Finish(MAIN),  // B
    End,           // main
];
static NEXT: AtomicUsize = AtomicUsize::new(0);

fn main() {
    // SAFETY: one thread uses the statics; no pointer into a frame is kept across a switch.
    unsafe {
        Thread::attach(&raw mut THREAD, &raw mut GREENLETS[MAIN]);
        let memory = Box::leak(vec![0_u8; 256 << 10].into_boxed_slice());
        let separate = &raw mut SEPARATE;
        (*separate).attach(&raw mut THREAD, memory.as_mut_ptr(), memory.len());
        steps(MAIN);
    }
    println!("cfi probe: {} steps", NEXT.load(Relaxed));
}

/// Does the steps that fall to `me`.
///
/// # Safety
///
/// `me` is the one that runs.
unsafe fn steps(me: usize) {
    let thread = &raw mut THREAD;
    let nothing = ptr::null_mut();
    CFI_FROM.store(me, Relaxed);
    loop {
        let step = STEPS[NEXT.fetch_add(1, Relaxed)];
        let (Start(to) | Switch(to) | Inline(to) | Refused(to) | Finish(to)) = step else {
            return;
        };
        CFI_FROM.store(me, Relaxed);
        CFI_TO.store(to, Relaxed);
        // SAFETY: as in `main`; `to` is in the state that the step is for.
        unsafe {
            let target = &raw mut GREENLETS[to];
            let done = match step {
                Start(B) => at_depth(4, &mut || start(B)),
                Start(to) => start(to),
                Switch(_) => Thread::switch(thread, target, nothing),
                Inline(_) => Thread::switch_inline(thread, target, nothing),
                Finish(_) => Err(Thread::finish(thread, target, nothing)),
                Refused(_) => {
                    REFUSE.store(true, Relaxed);
                    let switched = Thread::switch(thread, target, nothing);
                    let inlined = Thread::switch_inline(thread, target, nothing);
                    REFUSE.store(false, Relaxed);
                    assert_eq!((switched, inlined), (Err(Error::OutOfMemory), switched));
                    Ok(nothing)
                }
                End => return,
            };
            assert_eq!(done, Ok(nothing), "{step:?} by {me}");
        }
    }
}

/// Starts greenlet `to`: on the stack that runs, or on the separate one if it is `S`.
///
/// # Safety
///
/// It has not begun.
#[inline(never)]
unsafe fn start(to: usize) -> Result<*mut c_void, Error> {
    let thread = &raw mut THREAD;
    // SAFETY: as in `main`.
    unsafe {
        let running = Greenlet::stack(&*Thread::current(thread));
        let stack = if to == S { &raw mut SEPARATE } else { running };
        Thread::start(thread, &raw mut GREENLETS[to], stack, body, ptr::without_provenance_mut(to))
    }
}

unsafe extern "C" fn body(me: *mut c_void) -> ! {
    // SAFETY: this is the body of greenlet `me`, and there is not a float in this program.
    unsafe {
        round_as(me.addr());
        at_depth(1 + me.addr(), &mut || steps(me.addr()));
    }
    unreachable!("a greenlet's last step is to finish")
}

/// Gives each greenlet another rounding mode, so that an arch file that leaves out what is the same
/// on both sides has something to do. (Numbers of C's `fenv.h`, where we know them.)
///
/// # Safety
///
/// The caller computes nothing with floats.
unsafe fn round_as(me: usize) {
    unsafe extern "C" {
        safe fn fesetround(mode: i32) -> i32;
    }
    let step = if cfg!(target_arch = "x86_64") {
        0x400
    } else if cfg!(target_arch = "aarch64") {
        0x40_0000
    } else {
        0
    };
    assert_eq!(fesetround(step * me as i32), 0);
}

/// Calls `f` that many times 8 KiB further down the stack.
#[inline(never)]
fn at_depth<R>(depth: usize, f: &mut dyn FnMut() -> R) -> R {
    let pad = black_box([depth as u8; 8 << 10]);
    let result = if depth == 0 { f() } else { at_depth(depth - 1, f) };
    black_box(&pad);
    result
}

unsafe extern "C" fn resize(_: *mut c_void, block: *mut u8, old: usize, new: usize) -> *mut u8 {
    if REFUSE.load(Relaxed) {
        return ptr::null_mut();
    }
    // SAFETY: the engine passes a block that this gave, and its size.
    unsafe {
        match (Memory::GLOBAL.resize)(ptr::null_mut(), block, old, new) {
            block if new == 0 || !block.is_null() => block,
            _ => std::process::abort(),
        }
    }
}
