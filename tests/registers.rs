//! Every register that the ABI preserves is preserved across a switch, whoever ran meanwhile and
//! whatever was on the stack.
//!
//! Greenlets load all of those registers with random values, switch to each other in a random order,
//! and compare when they are back (`greenlet-probe` has the assembly). Two ways:
//!
//! - `assembly_alone`: the probe calls `greenlet_switch` itself, with a small save and restore of
//!   this file, so no compiled function between the two keeps a register in the assembly's stead;
//! - `engine`: through `raw::Thread`, on the native stack and on a separate one.

use greenlet::raw::{Greenlet, HAS_JUMP_ENTRY, Memory, Stack, Thread};
use greenlet_probe::{AREA, Callbacks, Image, probe, scribble};
use proptest::prelude::*;
use std::ffi::c_void;
use std::hint::black_box;
use std::ptr;

/// How many greenlets there are beside main, which is number 0.
const GREENLETS: usize = 4;

const STACK_SIZE: usize = 256 * 1024;

/// Whoever runs switches to `to`, from `depth` more frames down.
#[derive(Clone, Debug)]
struct Step {
    to: usize,
    depth: usize,
    inline: bool,
    /// `save` says no (`assembly_alone`).
    refused: bool,
}

#[derive(Clone, Debug)]
struct Program {
    separate_stack: bool,
    seed: u64,
    steps: Vec<Step>,
}

fn program() -> impl Strategy<Value = Program> {
    let step = (0..=GREENLETS, 0..12usize, any::<bool>(), 0..8)
        .prop_map(|(to, depth, inline, no)| Step { to, depth, inline, refused: no == 7 });
    (any::<bool>(), any::<u64>(), prop::collection::vec(step, 1..40))
        .prop_map(|(separate_stack, seed, steps)| Program { separate_stack, seed, steps })
}

/// What both ways share: the program that is run, and what went wrong.
struct Script {
    program: Program,
    at: usize,
    random: u64,
    wrong: Vec<String>,
    probed: usize,
}

impl Script {
    fn new(program: &Program) -> Script {
        let random = program.seed;
        Script { program: program.clone(), at: 0, random, wrong: Vec::new(), probed: 0 }
    }

    /// The next step; at the end of the program everybody goes to main.
    fn next(&mut self) -> Step {
        let step = self.program.steps.get(self.at).cloned();
        self.at += 1;
        step.unwrap_or(Step { to: 0, depth: 0, inline: false, refused: false })
    }

    fn done(&self) -> bool {
        self.at >= self.program.steps.len()
    }

    /// Splitmix64: a word of random bits.
    fn word(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn compare(&mut self, who: usize, loaded: &Image, stored: &Image) {
        self.probed += 1;
        let step = self.at;
        for lost in loaded.lost(stored) {
            self.wrong.push(format!("greenlet {who}, back at step {step}: {lost}"));
        }
    }

    fn verdict(self) {
        assert!(self.wrong.is_empty(), "{:#?}", self.wrong);
        assert!(self.probed > 0, "nothing was probed");
    }
}

/// Calls `f(ctx)` from `depth` frames further down, and checks that those frames came back whole.
#[inline(never)]
unsafe fn deep(depth: usize, ctx: *mut c_void, f: unsafe fn(*mut c_void)) {
    let frame = black_box([depth; 24]);
    // SAFETY: the caller's promise about `f` and `ctx`.
    unsafe {
        if depth == 0 {
            f(ctx);
        } else {
            deep(depth - 1, ctx, f);
        }
    }
    assert!(black_box(frame).iter().all(|&word| word == depth), "a frame was damaged");
}

/// `assembly_alone`: greenlets with a save and a restore of their own.
mod alone {
    use super::*;

    unsafe extern "C" {
        /// Hidden, but the same link: the test's executable contains the engine.
        fn greenlet_switch(
            save: *mut c_void,
            restore: *mut c_void,
            ctx: *mut c_void,
        ) -> *mut c_void;
    }

    #[derive(Default)]
    struct Flow {
        start: usize,
        begun: bool,
        slice: Vec<u8>,
    }

    /// Begins with the callbacks that the probe's assembly forwards to on ABIs with an area above a callee's frame.
    #[repr(C)]
    struct World {
        callbacks: Callbacks,
        script: Script,
        flows: Vec<Flow>,
        current: usize,
        target: usize,
        /// The next `save` is to answer null.
        refuse: bool,
        /// Where all greenlets begin: their stack stop. Main's start at its first switch, or a separate stack's top.
        stop: usize,
    }

    /// Saves the whole stretch, and writes over it: whatever is not restored is lost.
    unsafe extern "C" fn save(ctx: *mut c_void, sp: *mut c_void) -> *mut c_void {
        // SAFETY: `ctx` is the world, on the heap. What is written over lies above this frame and below
        // where greenlets begin, and belongs to the one that is left.
        unsafe {
            let world = &mut *ctx.cast::<World>();
            if world.refuse {
                return ptr::null_mut();
            }
            if world.stop == 0 {
                world.stop = sp.expose_provenance();
            }
            let flow = &mut world.flows[world.current];
            flow.start = sp.expose_provenance();
            flow.slice.clear();
            if (world.stop - STACK_SIZE..world.stop).contains(&flow.start) {
                let bytes = world.stop - flow.start;
                flow.slice.extend_from_slice(std::slice::from_raw_parts(sp.cast(), bytes));
                ptr::write_bytes(sp.cast::<u8>(), 0xa5, bytes);
            }
            world.current = world.target;
            let flow = &world.flows[world.target];
            let start = black_box(if flow.begun { flow.start } else { world.stop });
            scribble();
            ptr::with_exposed_provenance_mut(start)
        }
    }

    unsafe extern "C" fn restore(ctx: *mut c_void, sp: *mut c_void) -> *mut c_void {
        // SAFETY: as in `save`; this frame lies below `sp`.
        unsafe {
            let world: *mut World = ctx.cast();
            let flow = &mut (&mut (*world).flows)[(*world).target];
            if !flow.begun {
                flow.begun = true;
                body(ctx)
            }
            assert_eq!(flow.start, sp.addr());
            ptr::copy_nonoverlapping(flow.slice.as_ptr(), sp.cast(), flow.slice.len());
            ctx
        }
    }

    unsafe fn body(ctx: *mut c_void) -> ! {
        loop {
            // SAFETY: the world outlives all greenlets.
            unsafe { step(ctx) }
        }
    }

    unsafe fn step(ctx: *mut c_void) {
        let world: *mut World = ctx.cast();
        // SAFETY: nobody else runs, and no reference into the world lives across the switch.
        unsafe {
            let step = (*world).script.next();
            if step.to != (*world).current {
                (*world).target = step.to;
                (*world).refuse = step.refused;
                deep(step.depth, ctx, switch);
            }
        }
    }

    unsafe fn switch(ctx: *mut c_void) {
        let world: *mut World = ctx.cast();
        // SAFETY: as in `step`. `greenlet_switch` gets a save and a restore that keep its contract.
        unsafe {
            let (who, refused) = ((*world).current, (*world).refuse);
            let load = Image::random(|| (*world).script.word());
            let mut store = Image::zeroed();
            let (save, restore) = match AREA {
                Some(area) => (area.save, area.restore),
                None => ((*world).callbacks.save, (*world).callbacks.restore),
            };
            let arguments = [save as *mut c_void, restore as *mut c_void, ctx];
            let result = probe(&load, &mut store, greenlet_switch, arguments);
            let expected = if refused { ptr::null_mut() } else { ctx };
            assert_eq!(result, expected, "the result of restore, or null if save said no");
            assert_eq!((*world).current, who, "somebody else came back");
            (*world).script.compare(who, &load, &store);
        }
    }

    pub fn run(program: &Program) {
        let mut stack = vec![0u64; STACK_SIZE / 8];
        let top = (&raw mut *stack).cast::<u8>().expose_provenance() + STACK_SIZE;
        let mut world = Box::new(World {
            callbacks: Callbacks { save, restore, damaged: 0 },
            script: Script::new(program),
            flows: (0..=GREENLETS).map(|_| Flow::default()).collect(),
            current: 0,
            target: 0,
            refuse: false,
            stop: if program.separate_stack { top & !15 } else { 0 },
        });
        world.flows[0].begun = true;
        let ctx = (&raw mut *world).cast::<c_void>();
        // SAFETY: the world lives until the end of this function, and so does the stack.
        unsafe {
            let world: *mut World = ctx.cast();
            // Main goes first, so that there is always something to probe.
            (*world).target = 1;
            switch(ctx);
            while !(*world).script.done() {
                step(ctx);
            }
        }
        assert_eq!(
            world.callbacks.damaged, 0,
            "the area above a callee's frame was part of a slice, or the chain of frames is wrong"
        );
        world.script.verdict();
        drop(stack);
    }
}

/// `engine`: the same through `raw::Thread`.
mod engine {
    use super::*;

    struct World {
        script: Script,
        thread: Thread,
        separate: Stack,
        greenlets: [Greenlet; GREENLETS + 1],
        current: usize,
        target: usize,
        inline: bool,
    }

    unsafe extern "C" fn body(ctx: *mut c_void) -> ! {
        loop {
            // SAFETY: the world outlives all greenlets.
            unsafe { step(ctx) }
        }
    }

    unsafe fn step(ctx: *mut c_void) {
        let world: *mut World = ctx.cast();
        // SAFETY: nobody else runs, and no reference into the world lives across the switch.
        unsafe {
            let step = (*world).script.next();
            (*world).target = step.to;
            (*world).inline = step.inline;
            deep(step.depth, ctx, switch);
        }
    }

    unsafe fn switch(ctx: *mut c_void) {
        let world: *mut World = ctx.cast();
        // SAFETY: as in `step`.
        unsafe {
            let who = (*world).current;
            (*world).current = (*world).target;
            let mut load = Image::random(|| (*world).script.word());
            if HAS_JUMP_ENTRY {
                // That entry is for Rust code, whose control words are always these.
                load = load.with_default_controls();
            }
            let mut store = Image::zeroed();
            let function = if !(&(*world).greenlets)[(*world).target].is_active() {
                start
            } else if (*world).inline {
                switch_inline
            } else {
                switch_called
            };
            let arguments = [ctx, ptr::null_mut(), ptr::null_mut()];
            let result = probe(&load, &mut store, function, arguments);
            assert_eq!(result, ctx, "the word of the switch");
            assert_eq!((*world).current, who, "somebody else came back");
            (*world).script.compare(who, &load, &store);
        }
    }

    unsafe extern "C" fn start(ctx: *mut c_void, _: *mut c_void, _: *mut c_void) -> *mut c_void {
        let world: *mut World = ctx.cast();
        // SAFETY: the world is valid as long as any greenlet is.
        unsafe {
            let thread = &raw mut (*world).thread;
            let target = &raw mut (*world).greenlets[(*world).target];
            let stack = if (*world).script.program.separate_stack {
                &raw mut (*world).separate
            } else {
                Thread::native(thread)
            };
            Thread::start(thread, target, stack, body, ctx).unwrap_or(ptr::null_mut())
        }
    }

    unsafe extern "C" fn switch_called(
        ctx: *mut c_void,
        _: *mut c_void,
        _: *mut c_void,
    ) -> *mut c_void {
        let world: *mut World = ctx.cast();
        // SAFETY: as in `start`.
        unsafe {
            let target = &raw mut (*world).greenlets[(*world).target];
            Thread::switch(&raw mut (*world).thread, target, ctx).unwrap_or(ptr::null_mut())
        }
    }

    unsafe extern "C" fn switch_inline(
        ctx: *mut c_void,
        _: *mut c_void,
        _: *mut c_void,
    ) -> *mut c_void {
        let world: *mut World = ctx.cast();
        // SAFETY: as in `start`.
        unsafe {
            let target = &raw mut (*world).greenlets[(*world).target];
            Thread::switch_inline(&raw mut (*world).thread, target, ctx).unwrap_or(ptr::null_mut())
        }
    }

    pub fn run(program: &Program) {
        let mut memory = vec![0u64; STACK_SIZE / 8];
        let world = Box::into_raw(Box::new(World {
            script: Script::new(program),
            thread: Thread::new(Memory::GLOBAL),
            separate: Stack::new(),
            greenlets: [const { Greenlet::new() }; GREENLETS + 1],
            current: 0,
            target: 0,
            inline: false,
        }));
        // SAFETY: the world and the memory live until the end of this function, when no greenlet is left.
        unsafe {
            let thread = &raw mut (*world).thread;
            Thread::attach(thread, &raw mut (*world).greenlets[0]);
            (*world).separate.attach(thread, memory.as_mut_ptr().cast(), STACK_SIZE);
            while !(*world).script.done() {
                step(world.cast());
            }
            for greenlet in 1..=GREENLETS {
                Thread::release(thread, &raw mut (*world).greenlets[greenlet]).unwrap();
            }
        }
        // SAFETY: it came from a box, and nobody else refers to it any more.
        let world = unsafe { Box::from_raw(world) };
        world.script.verdict();
        drop(memory);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_assembly_alone_preserves_every_register(program in program()) {
        alone::run(&program);
    }

    #[test]
    fn the_engine_preserves_every_register(program in program()) {
        engine::run(&program);
    }
}

/// The C compiler, which assembles both, may take the processor to have less than Rust does.
#[test]
fn the_assembly_has_the_registers_that_rusts_code_uses() {
    let has = |name: &str| greenlet_probe::registers().any(|register| register.name.contains(name));
    let wanted = [
        ("v20", cfg!(any(target_arch = "powerpc64", target_feature = "altivec"))),
        ("mxcsr", cfg!(target_feature = "sse")),
        ("d8", cfg!(all(target_arch = "arm", target_abi = "eabihf"))),
        (
            "fs0",
            cfg!(all(any(target_arch = "riscv32", target_arch = "riscv64"), target_feature = "f")),
        ),
        (
            "fs0, upper half",
            cfg!(all(any(target_arch = "riscv32", target_arch = "riscv64"), target_feature = "d")),
        ),
    ];
    for (name, wanted) in wanted {
        assert!(has(name) || !wanted, "{name}");
    }
}

/// A probe that sees nothing would pass everything: one that calls a function which does change a register
/// must say which.
#[test]
fn the_probe_sees_what_is_lost() {
    let load = Image::random(|| 0);
    let mut random = 0u64;
    let stored = Image::random(|| {
        random = !random;
        random
    });
    assert!(greenlet_probe::registers().count() > 0);
    assert_eq!(load.lost(&load).count(), 0);
    assert_ne!(load.lost(&stored).count(), 0);
}
