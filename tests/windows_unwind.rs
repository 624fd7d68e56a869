//! x86-64 Windows: what the unwind data of `greenlet_switch` says is true at every single instruction of it.
//!
//! The processor is made to trap after each instruction (the trap flag). Whenever one of `greenlet_switch` is next, the handler
//! lets the system unwind one frame from there, `RtlVirtualUnwind`, and compares with what the caller had when it called: return address,
//! stack pointer, and every register that a callee must preserve, xmm6 to xmm15 too. Between the change of stacks and the
//! return of `restore` there must be no caller: the return address is 0.
#![cfg(all(windows, target_arch = "x86_64", feature = "alloc"))]

use greenlet::raw::{Error, Greenlet, Memory, Stack, Thread};
use std::arch::asm;
use std::collections::BTreeSet;
use std::ffi::c_void;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// `CONTEXT`: the registers at a trap. Only some of its places have a name here.
#[repr(C, align(16))]
#[derive(Clone, Copy)]
struct Context([u64; 154]);

const EFLAGS: usize = 0x44;
const RSP: usize = 0x98;
const RIP: usize = 0xf8;
/// rbx, rbp, rsi, rdi, r12 to r15; and both halves of xmm6 to xmm15.
const PRESERVED: [(usize, usize); 3] = [(0x90, 0x98), (0xa0, 0xb8), (0xd8, 0xf8)];
const XMM: (usize, usize) = (0x200, 0x2a0);
const TRAP: u64 = 1 << 8;

impl Context {
    fn word(&self, offset: usize) -> u64 {
        self.0[offset / 8]
    }

    fn preserved(&self) -> Vec<(usize, u64)> {
        let ranges = PRESERVED.into_iter().chain([XMM]);
        let offsets = ranges.flat_map(|(from, to)| (from..to).step_by(8));
        offsets.map(|offset| (offset, self.word(offset))).collect()
    }
}

#[repr(C)]
struct ExceptionRecord {
    code: u32,
    flags: u32,
}

#[repr(C)]
struct ExceptionPointers {
    record: *const ExceptionRecord,
    context: *mut Context,
}

#[repr(C)]
struct RuntimeFunction {
    begin: u32,
    end: u32,
    unwind: u32,
}

type Handler = unsafe extern "system" fn(*mut ExceptionPointers) -> i32;

#[link(name = "kernel32")]
unsafe extern "system" {
    fn AddVectoredExceptionHandler(first: u32, handler: Handler) -> *mut c_void;
    fn RemoveVectoredExceptionHandler(handle: *mut c_void) -> u32;
    fn RtlLookupFunctionEntry(
        pc: u64,
        image: *mut u64,
        history: *mut c_void,
    ) -> *const RuntimeFunction;
    fn RtlVirtualUnwind(
        kind: u32,
        image: u64,
        pc: u64,
        function: *const RuntimeFunction,
        context: *mut Context,
        handler_data: *mut *mut c_void,
        frame: *mut u64,
        pointers: *mut c_void,
    ) -> *mut c_void;
}

unsafe extern "C" {
    fn greenlet_switch();
}

const SINGLE_STEP: u32 = 0x8000_0004;
const CONTINUE_EXECUTION: i32 = -1;
const CONTINUE_SEARCH: i32 = 0;

/// What a caller has: its registers when the call's first instruction is next.
#[derive(Clone)]
struct Caller {
    rip: u64,
    rsp: u64,
    preserved: Vec<(usize, u64)>,
}

struct Log {
    /// The flow that runs: main or the one greenlet.
    flow: usize,
    callers: [Option<Caller>; 2],
    /// The instructions that were looked at, of the three parts that the function is made of.
    seen: [BTreeSet<u64>; 3],
    wrong: Vec<String>,
}

static LOG: Mutex<Log> = Mutex::new(Log {
    flow: 0,
    callers: [None, None],
    seen: [const { BTreeSet::new() }; 3],
    wrong: Vec::new(),
});
static STEPPING: AtomicBool = AtomicBool::new(false);

unsafe extern "system" fn step(pointers: *mut ExceptionPointers) -> i32 {
    // SAFETY: the system gives a valid record and context, and uses the context as we leave it.
    unsafe {
        if (*(*pointers).record).code != SINGLE_STEP {
            return CONTINUE_SEARCH;
        }
        let context = &mut *(*pointers).context;
        look(context);
        let flags = (&raw mut context.0).cast::<u8>().add(EFLAGS).cast::<u32>();
        let on = STEPPING.load(SeqCst);
        *flags = if on { *flags | TRAP as u32 } else { *flags & !(TRAP as u32) };
    }
    CONTINUE_EXECUTION
}

/// The unwind data's entry for an address: its begin and end.
///
/// # Safety
///
/// None is needed.
unsafe fn entry(pc: u64) -> Option<(u64, u64, *const RuntimeFunction, u64)> {
    let mut image = 0;
    // SAFETY: `image` may be written; an entry is valid as long as the program runs.
    unsafe {
        let function = RtlLookupFunctionEntry(pc, &mut image, ptr::null_mut());
        let found = function.as_ref()?;
        Some((image + u64::from(found.begin), image + u64::from(found.end), function, image))
    }
}

/// Looks at one instruction before it is executed.
///
/// # Safety
///
/// The context is that of a trap on this thread.
unsafe fn look(context: &Context) {
    let first = greenlet_switch as *const () as u64;
    let pc = context.word(RIP);
    if !(first..first + 0x400).contains(&pc) {
        return;
    }
    // SAFETY: the stack and the unwind data are as they were at the trap.
    unsafe {
        // The three parts lie behind each other; what comes after them is no business of ours.
        let Some((_, second, ..)) = entry(first) else { return };
        let Some((_, third, ..)) = entry(second) else { return };
        let Some((_, end, ..)) = entry(third) else { return };
        if pc >= end {
            return;
        }
        let part = usize::from(pc >= second) + usize::from(pc >= third);
        let Some((begin, _, function, image)) = entry(pc) else { return };
        let mut log = LOG.lock().unwrap();
        let log = &mut *log;
        log.seen[part].insert(pc - first);

        if pc == first {
            let rsp = context.word(RSP);
            let rip = *ptr::with_exposed_provenance::<u64>(rsp as usize);
            let preserved = context.preserved();
            log.callers[log.flow] = Some(Caller { rip, rsp: rsp + 8, preserved });
        }
        if part == 1 && pc == begin {
            log.flow ^= 1; // the stack has been changed
        }

        let mut unwound = *context;
        let (mut data, mut frame) = (ptr::null_mut(), 0);
        let pointers = ptr::null_mut();
        RtlVirtualUnwind(0, image, pc, function, &mut unwound, &mut data, &mut frame, pointers);
        let at = format!("at greenlet_switch + {:#x}", pc - first);
        if part == 1 {
            if unwound.word(RIP) != 0 {
                log.wrong.push(format!("{at}: a caller, {:#x}", unwound.word(RIP)));
            }
            return;
        }
        let Some(caller) = &log.callers[log.flow] else {
            log.wrong.push(format!("{at}: arrived in a flow that never called"));
            return;
        };
        let (rip, rsp) = (unwound.word(RIP), unwound.word(RSP));
        if (rip, rsp) != (caller.rip, caller.rsp) {
            log.wrong.push(format!(
                "{at}: back to {rip:#x}, rsp {rsp:#x}, not {:#x}, {:#x}",
                caller.rip, caller.rsp
            ));
        }
        for ((offset, found), (_, value)) in unwound.preserved().iter().zip(&caller.preserved) {
            if found != value {
                log.wrong.push(format!("{at}: context + {offset:#x}: {found:#x}, not {value:#x}"));
            }
        }
    }
}

/// Runs `f` instruction by instruction.
///
/// # Safety
///
/// The handler is there.
unsafe fn stepped<R>(f: impl FnOnce() -> R) -> R {
    STEPPING.store(true, SeqCst);
    // SAFETY: the flag makes the processor trap after the next instruction, and the handler keeps it set.
    unsafe { asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq") };
    let result = f();
    STEPPING.store(false, SeqCst);
    result
}

struct World {
    thread: Thread,
    main: Greenlet,
    other: Greenlet,
    stack: Stack,
}

unsafe extern "C" fn body(word: *mut c_void) -> ! {
    let world: *mut World = word.cast();
    // SAFETY: the world outlives the greenlet.
    unsafe {
        let (thread, main) = (&raw mut (*world).thread, &raw mut (*world).main);
        for _ in 0..2 {
            assert!(Thread::switch(thread, main, word).is_ok());
        }
        unreachable!("{}", Thread::finish(thread, main, word))
    }
}

/// Different values in all of the registers, and a switch.
#[inline(never)]
fn probed(f: &dyn Fn() -> Result<*mut c_void, Error>) -> bool {
    let numbers = std::hint::black_box([1.5f64, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 10.5]);
    let doubled = numbers.map(|n| n * 2.0);
    let result = f();
    // Used after the call, so kept in registers that the call preserves.
    assert!(numbers.iter().zip(doubled).all(|(n, m)| n * 2.0 == m));
    result.is_ok()
}

#[test]
fn at_every_instruction_of_a_switch_the_caller_is_found_or_there_is_none() {
    let mut memory = vec![u128::MAX; 1 << 14]; // so that a return address of 0 is not there by chance
    let world = Box::into_raw(Box::new(World {
        thread: Thread::new(Memory::NONE),
        main: Greenlet::new(),
        other: Greenlet::new(),
        stack: Stack::new(),
    }));
    // SAFETY: one thread; the world and the memory live until the end; nothing reaches into the frames.
    unsafe {
        let (thread, other) = (&raw mut (*world).thread, &raw mut (*world).other);
        Thread::attach(thread, &raw mut (*world).main);
        (*world).stack.attach(thread, memory.as_mut_ptr().cast(), size_of_val(&memory[..]));
        let handler = AddVectoredExceptionHandler(1, step);
        let start = || Thread::start(thread, other, &raw mut (*world).stack, body, world.cast());
        assert!(stepped(|| probed(&start)));
        for _ in 0..2 {
            assert!(stepped(|| probed(&|| Thread::switch(thread, other, world.cast()))));
        }
        assert!(!(*other).is_active());
        // One that is refused: on the native stack main's would have to be saved, and there is memory only for the greenlet's.
        let mut buffer = vec![0u128; 1 << 12];
        (*other).lend_buffer(buffer.as_mut_ptr().cast(), size_of_val(&buffer[..]));
        let start = || Thread::start(thread, other, Thread::native(thread), body, world.cast());
        assert!(stepped(|| probed(&start)));
        assert!(!stepped(|| probed(&|| {
            let deeper = std::hint::black_box([0u8; 256]);
            let result = Thread::switch(thread, other, world.cast());
            std::hint::black_box(deeper);
            result
        })));
        Thread::release(thread, other).unwrap();
        RemoveVectoredExceptionHandler(handler);
        drop(Box::from_raw(world));
    }
    let log = LOG.lock().unwrap();
    assert!(log.wrong.is_empty(), "{:#?}", log.wrong);
    let seen = log.seen.each_ref().map(BTreeSet::len);
    println!("instructions seen in the three parts: {seen:?}");
    assert!(seen[0] > 30 && seen[1] == 2 && seen[2] > 20, "{seen:?}");
}
