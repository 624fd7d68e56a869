//! The bare engine, as an embedder uses it: no allocator, no thread-local storage, no panics. Two
//! tasks blink two lamps in turn, on one stack in a static.
//!
//! This program prints, and so it needs an operating system; all else in it does not.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr;
use greenlet::raw::{Error, Greenlet, Memory, Stack, Thread};

const STACK: usize = 64 << 10; // most of it is for printing
const SLICE: usize = 1 << 10;

/// A task: the engine's record, and the memory for its slice.
#[repr(C, align(16))]
struct Task {
    slice: [u8; SLICE],
    record: Greenlet,
    name: &'static str,
}

impl Task {
    const fn new(name: &'static str) -> Task {
        Task { slice: [0; SLICE], record: Greenlet::new(), name }
    }
}

/// All that there is, in one static.
#[repr(C, align(16))]
struct Board {
    stack: [u8; STACK],
    shared: Stack,
    thread: Thread,
    main: Greenlet,
    tasks: [Task; 2],
}

struct Cell(UnsafeCell<Board>);

// SAFETY: this program has one thread.
unsafe impl Sync for Cell {}

static BOARD: Cell = Cell(UnsafeCell::new(Board {
    stack: [0; STACK],
    shared: Stack::new(),
    thread: Thread::new(Memory::NONE),
    main: Greenlet::new(),
    tasks: [Task::new("red"), Task::new("green")],
}));

/// What a task does: three times on and off, and then it ends into main.
unsafe extern "C" fn blink(word: *mut c_void) -> ! {
    let task: *mut Task = word.cast();
    let board = BOARD.0.get();
    // SAFETY: one thread; the engine's objects are in a static, and nobody points into these frames.
    unsafe {
        for round in 1..=3 {
            for state in ["on", "off"] {
                println!("{:>6} {state:<3} {round}", (*task).name);
                // Main answers when it is this one's turn again.
                let answer = Thread::switch(&raw mut (*board).thread, &raw mut (*board).main, word);
                assert!(answer.is_ok());
            }
        }
        let refused =
            Thread::finish(&raw mut (*board).thread, &raw mut (*board).main, ptr::null_mut());
        unreachable!("{refused}")
    }
}

fn main() -> Result<(), Error> {
    let board = BOARD.0.get();
    // SAFETY: as above. All that is passed to the engine stays where it is.
    unsafe {
        let thread = &raw mut (*board).thread;
        Thread::attach(thread, &raw mut (*board).main);
        let (shared, memory) = (&raw mut (*board).shared, (&raw mut (*board).stack).cast());
        (*shared).attach(thread, memory, STACK);

        for i in 0..2 {
            let task = &raw mut (*board).tasks[i];
            let record = &raw mut (*task).record;
            (*record).lend_buffer((&raw mut (*task).slice).cast(), SLICE);
            Thread::start(thread, record, shared, blink, task.cast())?;
        }
        let mut most = 0;
        while (0..2).any(|i| (*board).tasks[i].record.is_active()) {
            for i in 0..2 {
                let record = &raw mut (*board).tasks[i].record;
                if (*record).is_active() {
                    most = most.max((*record).saved());
                    Thread::switch(thread, record, ptr::null_mut())?;
                }
            }
        }
        println!("both have finished; {most} bytes of {SLICE} were enough for a slice");

        // A slice that does not fit is an error, after which all is as it was.
        let [first, second] = [0, 1].map(|i| &raw mut (*board).tasks[i]);
        (*first).record = Greenlet::new();
        (*first).record.lend_buffer((&raw mut (*first).slice).cast(), 32);
        Thread::start(thread, &raw mut (*first).record, shared, blink, first.cast())?;
        let started =
            Thread::start(thread, &raw mut (*second).record, shared, blink, second.cast());
        assert_eq!(started, Err(Error::OutOfMemory));
        println!("with a buffer of 32 bytes: {}", Error::OutOfMemory);
        Thread::release(thread, &raw mut (*first).record)?;
    }
    Ok(())
}
