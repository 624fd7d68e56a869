//! Greenlets load every register that the ABI preserves, switch to each other in an order from a fixed seed, from random
//! depths, and compare: on the native stack and on a separate one.

use core::ffi::c_void;
use core::hint::black_box;
use core::ptr;
use greenlet::raw::{Greenlet, HAS_JUMP_ENTRY, Memory, Stack, Thread};
use greenlet_bare::say;
use greenlet_probe::{Image, probe, registers, scribble};

const GREENLETS: usize = 3;
const STEPS: usize = 400;
const DEPTH: usize = 3;
/// What a slice needs at most, on the largest of the ABIs.
const BUFFER: usize = match size_of::<usize>() {
    4 if cfg!(little_memory) => 1792,
    4 => 2048,
    _ => 6144,
};
const STACK: usize = if size_of::<usize>() == 4 { 3072 } else { 8192 };

/// What [`run`] needs.
pub const MEMORY: usize = STACK + (GREENLETS + 1) * BUFFER;

struct World {
    thread: Thread,
    separate: Stack,
    /// The separate stack, and then a buffer for each.
    arena: *mut u8,
    greenlets: [Greenlet; GREENLETS + 1],
    current: usize,
    target: usize,
    on_separate: bool,
    inline: bool,
    step: usize,
    random: u64,
    compared: usize,
    most: usize,
}

static mut WORLD: World = World {
    thread: Thread::new(Memory::NONE),
    separate: Stack::new(),
    arena: ptr::null_mut(),
    greenlets: [const { Greenlet::new() }; GREENLETS + 1],
    current: 0,
    target: 0,
    on_separate: false,
    inline: false,
    step: 0,
    random: 0,
    compared: 0,
    most: 0,
};

/// The buffer of that number.
fn buffer(index: usize) -> *mut u8 {
    // SAFETY: `run` was given as much.
    unsafe { WORLD.arena.add(STACK + index * BUFFER) }
}

/// An allocator of one size: the same static blocks, given out and taken back.
static mut TAKEN: [bool; GREENLETS + 1] = [false; GREENLETS + 1];

unsafe extern "C" fn resize(_: *mut c_void, block: *mut u8, _: usize, new: usize) -> *mut u8 {
    // SAFETY: there is one thread, and it is not in here twice.
    unsafe {
        if !block.is_null() {
            if new == 0 {
                let index = (block.addr() - buffer(0).addr()) / BUFFER;
                TAKEN[index] = false;
            }
            return if new <= BUFFER { block } else { ptr::null_mut() };
        }
        for index in 0..=GREENLETS {
            if new <= BUFFER && !TAKEN[index] {
                TAKEN[index] = true;
                return buffer(index);
            }
        }
        ptr::null_mut()
    }
}

fn word() -> u64 {
    // SAFETY: one thread, and no reference to the world is alive here.
    unsafe {
        let random = &raw mut WORLD.random;
        *random = (*random)
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        *random ^ (*random >> 33)
    }
}

fn below(n: usize) -> usize {
    (word() >> 40) as usize % n
}

unsafe extern "C" fn body(_: *mut c_void) -> ! {
    loop {
        step();
    }
}

fn step() {
    // SAFETY: as in `word`.
    unsafe {
        WORLD.step += 1;
        WORLD.target = if WORLD.step < STEPS { below(GREENLETS + 1) } else { 0 };
        WORLD.inline = below(2) == 0;
        deep(below(DEPTH));
    }
}

#[inline(never)]
fn deep(depth: usize) {
    let frame = black_box([depth; 8]);
    if depth == 0 {
        switch();
    } else {
        deep(depth - 1);
    }
    assert!(black_box(frame).iter().all(|&word| word == depth), "a frame was damaged");
}

#[inline(never)]
fn switch() {
    // SAFETY: as in `word`; the greenlets' frames are reached by nobody else.
    unsafe {
        let who = WORLD.current;
        WORLD.current = WORLD.target;
        let mut load = Image::random(word);
        if HAS_JUMP_ENTRY {
            load = load.with_default_controls();
        }
        let mut store = Image::zeroed();
        let result = probe(&load, &mut store, transfer, [ptr::null_mut(); 3]);
        assert!(result.addr() == 1, "the word of the switch");
        assert!(WORLD.current == who, "somebody else came back");
        for lost in load.lost(&store) {
            panic!("greenlet {who}: {lost}");
        }
        WORLD.compared += 1;
    }
}

unsafe extern "C" fn transfer(_: *mut c_void, _: *mut c_void, _: *mut c_void) -> *mut c_void {
    let one = ptr::without_provenance_mut(1);
    // SAFETY: the world is static.
    unsafe {
        let thread = &raw mut WORLD.thread;
        let target = &raw mut WORLD.greenlets[WORLD.target];
        let done = if !(*target).is_active() {
            let stack =
                if WORLD.on_separate { &raw mut WORLD.separate } else { Thread::native(thread) };
            Thread::start(thread, target, stack, body, one)
        } else if WORLD.inline {
            Thread::switch_inline(thread, target, one)
        } else {
            Thread::switch(thread, target, one)
        };
        for index in 0..=GREENLETS {
            WORLD.most =
                WORLD.most.max((&raw const WORLD.greenlets[index]).as_ref().unwrap().saved());
        }
        done.unwrap_or_else(|error| panic!("{error}"))
    }
}

fn round(on_separate: bool, static_buffers: bool) {
    // SAFETY: nothing of an earlier round is left.
    unsafe {
        let world = &raw mut WORLD;
        let memory =
            if static_buffers { Memory::NONE } else { Memory { resize, ctx: ptr::null_mut() } };
        (*world).thread = Thread::new(memory);
        (*world).on_separate = on_separate;
        (*world).step = 0;
        (*world).current = 0;
        (*world).random = 0x1234_5678_9abc_def0 + on_separate as u64;
        for index in 0..=GREENLETS {
            (*world).greenlets[index] = Greenlet::new();
            if static_buffers {
                let greenlet = &raw mut (*world).greenlets[index];
                (*greenlet).lend_buffer(buffer(index), BUFFER);
            }
        }
        let thread = &raw mut (*world).thread;
        Thread::attach(thread, &raw mut (*world).greenlets[0]);
        let separate = &raw mut (*world).separate;
        (*separate).attach(thread, (*world).arena, STACK);
        while (*world).step < STEPS {
            step();
        }
        for index in 1..=GREENLETS {
            Thread::release(thread, &raw mut (*world).greenlets[index]).unwrap();
        }
        // Main's own buffer, where the allocator gave it one.
        TAKEN = [false; GREENLETS + 1];
    }
}

/// What the callbacks of [`alone`] note: the start, and whether `save` says no.
static mut START: usize = 0;
static mut REFUSE: bool = false;

unsafe extern "C" fn save(_: *mut c_void, sp: *mut c_void) -> *mut c_void {
    // SAFETY: one thread.
    unsafe {
        START = sp.addr();
        let target = black_box(if REFUSE { ptr::null_mut() } else { sp });
        scribble();
        target
    }
}

unsafe extern "C" fn restore(ctx: *mut c_void, sp: *mut c_void) -> *mut c_void {
    // SAFETY: one thread.
    assert!(sp.addr() == unsafe { START }, "restore is not given the target");
    ctx.wrapping_byte_add(1)
}

/// The assembly without the engine: switches to itself, and switches that are refused.
fn alone() {
    unsafe extern "C" {
        fn greenlet_switch(
            save: *mut c_void,
            restore: *mut c_void,
            ctx: *mut c_void,
        ) -> *mut c_void;
    }
    for round in 0..100 {
        let refuse = round % 2 == 1;
        let load = Image::random(word);
        let mut store = Image::zeroed();
        let ctx = ptr::without_provenance_mut(round * 16);
        let arguments = [save as *mut c_void, restore as *mut c_void, ctx];
        // SAFETY: one thread. The target of the switch is where it began, and nothing has to be copied.
        let result = unsafe {
            REFUSE = refuse;
            probe(&load, &mut store, greenlet_switch, arguments)
        };
        assert!(result.addr() == if refuse { 0 } else { round * 16 + 1 }, "what it returns");
        for lost in load.lost(&store) {
            panic!("alone, refused: {refuse}: {lost}");
        }
    }
}

/// Runs all of them.
///
/// # Safety
///
/// `arena` has [`MEMORY`] bytes, aligned to 16, that nobody else uses.
pub unsafe fn run(arena: *mut u8) {
    // SAFETY: as the caller promises; nobody else runs.
    unsafe { WORLD.arena = arena };
    alone();
    for on_separate in [false, true] {
        for static_buffers in [false, true] {
            round(on_separate, static_buffers);
        }
    }
    // SAFETY: nobody else runs any more.
    let (compared, most) = unsafe { (WORLD.compared, WORLD.most) };
    let count = registers().count();
    say!(
        "registers: {compared} switches compared, {count} registers each; largest slice {most} bytes"
    );
    assert!(compared > STEPS && count > 0, "too few");
}
