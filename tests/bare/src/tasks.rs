//! The example to copy: two tasks of firmware, each written as a loop that waits, in static memory, without an allocator.
//!
//! - `blink` switches a lamp, and waits for the timer in between;
//! - `listen` reads commands from a serial line. It waits for single bytes deep inside of a function that reads a number.
//!
//! Main is what firmware's main loop is: it takes events and sends each to the task that it is for. Here the events
//! come from a list instead of interrupts. (Interrupts themselves go on as ever: they run on whatever stack is
//! current, and return to it. They must not switch.)

#![no_std]
#![no_main]

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr;
use greenlet::raw::{Error, Greenlet, Memory, Stack, Thread};
use greenlet_bare::{exit, say};

/// The stack that both tasks share: what the deeper one of them needs. (Most of it is for formatted printing.)
const STACK: usize = 256 * size_of::<usize>();
/// A task's slice: what it has on the stack while it waits.
const SLICE: usize = 96 * size_of::<usize>();

/// A task: the engine's record, and the memory that its part of the stack is copied to.
#[repr(C, align(16))]
struct Task {
    slice: [u8; SLICE],
    record: Greenlet,
}

impl Task {
    const fn new() -> Task {
        Task { slice: [0; SLICE], record: Greenlet::new() }
    }
}

/// All memory there is, in one static: nothing is allocated, and the linker knows whether it fits.
#[repr(C, align(16))]
struct Firmware {
    stack: [u8; STACK],
    shared: Stack,
    thread: Thread,
    main: Greenlet,
    blinker: Task,
    listener: Task,

    // What the tasks work with.
    lamp: bool,
    period: u32,
    changes: u32,
    /// The largest slice so far, to choose `SLICE` by.
    most: usize,
}

struct Cell(UnsafeCell<Firmware>);

// SAFETY: there is one thread, and interrupts do not touch it.
unsafe impl Sync for Cell {}

static FIRMWARE: Cell = Cell(UnsafeCell::new(Firmware {
    stack: [0; STACK],
    shared: Stack::new(),
    thread: Thread::new(Memory::NONE),
    main: Greenlet::new(),
    blinker: Task::new(),
    listener: Task::new(),
    lamp: false,
    period: 3,
    changes: 0,
    most: 0,
}));

/// Waits for the next event: suspends the task that calls it until main sends it one.
#[inline(never)]
#[unsafe(link_section = ".text.runtime.wait")] // counted as the engine's code, since that is inlined here
fn wait() -> usize {
    let firmware = FIRMWARE.0.get();
    // SAFETY: one thread; all that the engine is given is static; nobody points into the frames of a task.
    let event = unsafe {
        Thread::switch(&raw mut (*firmware).thread, &raw mut (*firmware).main, ptr::null_mut())
    };
    // Main is never copied and what a task needs was measured, so this switch is not refused. See README.md.
    event.expect("SLICE is too small").addr()
}

/// Sends a task an event, and returns when it waits again.
#[inline(never)]
#[unsafe(link_section = ".text.runtime.send")]
fn send(task: *mut Task, event: usize) -> Result<(), Error> {
    let firmware = FIRMWARE.0.get();
    // SAFETY: as in `wait`.
    unsafe {
        let (thread, record) = (&raw mut (*firmware).thread, &raw mut (*task).record);
        Thread::switch(thread, record, ptr::without_provenance_mut(event)).map(|_| ())
    }
}

/// Begins a task, which runs until it waits for the first time.
#[inline(never)]
#[unsafe(link_section = ".text.runtime.begin")]
fn begin(task: *mut Task, body: unsafe extern "C" fn(*mut c_void) -> !) -> Result<(), Error> {
    let firmware = FIRMWARE.0.get();
    // SAFETY: as in `wait`, and the slice is lent once, before the task begins.
    unsafe {
        let (thread, record) = (&raw mut (*firmware).thread, &raw mut (*task).record);
        (*record).lend_buffer((&raw mut (*task).slice).cast(), SLICE);
        let shared = &raw mut (*firmware).shared;
        Thread::start(thread, record, shared, body, ptr::null_mut()).map(|_| ())
    }
}

/// A task: changes the lamp every `period` ticks.
unsafe extern "C" fn blink(_: *mut c_void) -> ! {
    let firmware = FIRMWARE.0.get();
    loop {
        // SAFETY: one thread; each access is a copy.
        let period = unsafe { (*firmware).period };
        for _ in 0..period {
            wait();
        }
        // SAFETY: as above.
        unsafe {
            (*firmware).lamp = !(*firmware).lamp;
            (*firmware).changes += 1;
        }
    }
}

/// A task: `p12;` sets the period to 12 ticks.
unsafe extern "C" fn listen(_: *mut c_void) -> ! {
    let firmware = FIRMWARE.0.get();
    loop {
        if wait() == usize::from(b'p') {
            let period = number();
            // SAFETY: as in `blink`.
            unsafe { (*firmware).period = period };
            say!("  the period is {period} ticks from the next change on");
        }
    }
}

/// Reads a number, up to the first byte that is not a digit. It waits for each byte, and need not know that.
fn number() -> u32 {
    let mut number = 0;
    loop {
        match wait() as u8 {
            digit @ b'0'..=b'9' => number = number * 10 + u32::from(digit - b'0'),
            _ => return number,
        }
    }
}

fn main() -> Result<(), Error> {
    let firmware = FIRMWARE.0.get();
    // SAFETY: as in `wait`; nothing has begun yet.
    let (blinker, listener) = unsafe {
        let thread = &raw mut (*firmware).thread;
        let stack = &raw mut (*firmware).stack;
        (*stack).fill(PAINT);
        Thread::attach(thread, &raw mut (*firmware).main);
        (*firmware).shared.attach(thread, stack.cast(), STACK);
        (&raw mut (*firmware).blinker, &raw mut (*firmware).listener)
    };
    begin(blinker, blink)?;
    begin(listener, listen)?;

    // The main loop: a dot is a tick of the timer, all else are bytes on the serial line.
    for &event in b"......p..1.;......p2.;........" {
        let task = if event == b'.' { blinker } else { listener };
        send(task, usize::from(event))?;
        for task in [blinker, listener] {
            // SAFETY: as above; both wait.
            unsafe { (*firmware).most = (*firmware).most.max((*task).record.saved()) };
        }
    }
    // SAFETY: as above.
    let (changes, lamp) = unsafe { ((*firmware).changes, (*firmware).lamp) };
    say!("  {changes} changes, the lamp is {}", if lamp { "on" } else { "off" });
    // A period begins with what was read before: 4 changes in 12 ticks of 3 each, 5 of 1 each, 3 of 2 each, and a tick.
    assert!(changes == 12 && !lamp, "12 changes were expected, and the lamp off");
    Ok(())
}

/// What the stack is filled with, to see how much of it was used.
const PAINT: u8 = 0xA5;

/// Says how much memory the runtime takes: code by what stands between the linker's symbols (see `link/sections.ld`).
fn sizes() {
    unsafe extern "C" {
        static _runtime_code: u8;
        static _runtime_code_end: u8;
        static _runtime_data: u8;
        static _runtime_data_end: u8;
        static _runtime_bss: u8;
        static _runtime_bss_end: u8;
    }
    let between = |begin: *const u8, end: *const u8| end.addr() - begin.addr();
    let code = between(&raw const _runtime_code, &raw const _runtime_code_end);
    let statics = between(&raw const _runtime_data, &raw const _runtime_data_end)
        + between(&raw const _runtime_bss, &raw const _runtime_bss_end);
    let firmware = FIRMWARE.0.get();
    // SAFETY: as in `wait`; no task runs any more.
    let (stack, most) = unsafe { (&*(&raw const (*firmware).stack), (*firmware).most) };
    let free = stack.iter().take_while(|&&byte| byte == PAINT).count();
    say!("code: {code} bytes for all of the engine that this program uses, its callers in it");
    say!(
        "RAM:  {} bytes for thread, stack and main, {} for each task, {statics} in statics of the crate's own",
        size_of::<Thread>() + size_of::<Stack>() + size_of::<Greenlet>(),
        size_of::<Greenlet>(),
    );
    say!(
        "      {most} bytes of a slice's {SLICE} were used, and {} of the shared stack's {STACK}",
        STACK - free
    );
}

#[unsafe(no_mangle)]
extern "C" fn run() -> ! {
    if let Err(error) = main() {
        say!("refused: {error}");
        exit(2)
    }
    sizes();
    say!("bare: all passed");
    exit(0)
}
