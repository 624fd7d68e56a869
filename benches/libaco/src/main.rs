//! Main resumes two coroutines in turn that share a stack: ours by the engine, theirs by libaco. Each resume saves one
//! slice and restores the other. One resume and yield, in nanoseconds of processor time, and the ratio.
//!
//! Ours twice: by the entry that is inlined and jumps, as libaco's does, and by the C function, which returns.

use greenlet::raw::{Greenlet, Memory, Stack, Thread};
use std::ffi::c_void;
use std::hint::black_box;
use std::ptr;

unsafe extern "C" {
    fn drive_begin(bytes: usize) -> usize;
    fn drive(rounds: u64);
    fn clock_gettime(clock: i32, time: *mut Time) -> i32;
}

/// `struct timespec` on 64-bit Linux.
#[repr(C)]
struct Time(i64, i64);

/// This thread's processor time: others on the machine do not count.
const CLOCK_THREAD_CPUTIME_ID: i32 = 3;

const ROUNDS: u64 = 20_000;
const SAMPLES: usize = 201;
const STACK: usize = 1 << 20;

/// Main and two greenlets, in the heap.
struct World {
    thread: Thread,
    main: Greenlet,
    both: [Greenlet; 2],
    stack: Stack,
    room: Vec<u128>,
}

/// One switch, by either entry.
///
/// # Safety
///
/// As for [`Thread::switch`].
#[inline(always)]
unsafe fn switch<const INLINE: bool>(thread: *mut Thread, to: *mut Greenlet) {
    // SAFETY: the caller's promise.
    let done = unsafe {
        match INLINE {
            true => Thread::switch_inline(thread, to, ptr::null_mut()),
            false => Thread::switch(thread, to, ptr::null_mut()),
        }
    };
    done.expect("memory");
}

unsafe extern "C" fn body<const BYTES: usize, const INLINE: bool>(word: *mut c_void) -> ! {
    let world: *mut World = word.cast();
    let mut frame = [0u8; BYTES];
    black_box(&mut frame);
    loop {
        // SAFETY: the world is never freed, and nobody is let into these frames.
        unsafe { switch::<INLINE>(&raw mut (*world).thread, &raw mut (*world).main) }
    }
}

/// A world, never freed: its greenlets have no end. And how many bytes of a greenlet are copied.
fn begin<const BYTES: usize, const INLINE: bool>() -> (*mut World, usize) {
    let world = Box::into_raw(Box::new(World {
        thread: Thread::new(Memory::GLOBAL),
        main: Greenlet::new(),
        both: [const { Greenlet::new() }; 2],
        stack: Stack::new(),
        room: vec![0; STACK / size_of::<u128>()],
    }));
    // SAFETY: all are in the box; the stack's memory is as large as said, and outlives it.
    unsafe {
        let thread = &raw mut (*world).thread;
        Thread::attach(thread, &raw mut (*world).main);
        let room = &mut (*world).room;
        (*world).stack.attach(thread, room.as_mut_ptr().cast(), STACK);
        for which in 0..2 {
            let greenlet = &raw mut (*world).both[which];
            let stack = &raw mut (*world).stack;
            Thread::start(thread, greenlet, stack, body::<BYTES, INLINE>, world.cast()).unwrap();
        }
        resume::<INLINE>(world, 2);
        (world, (&(*world).both)[0].saved())
    }
}

/// # Safety
///
/// `world` came from `begin` with the same entry.
#[inline(never)]
unsafe fn resume<const INLINE: bool>(world: *mut World, rounds: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        let thread = &raw mut (*world).thread;
        let [first, second] = [&raw mut (*world).both[0], &raw mut (*world).both[1]];
        for _ in 0..rounds {
            switch::<INLINE>(thread, first);
            switch::<INLINE>(thread, second);
        }
    }
}

/// Nanoseconds of one resume and yield.
fn time(run: impl Fn(u64)) -> f64 {
    let now = || {
        let mut time = Time(0, 0);
        // SAFETY: the pointer is valid.
        assert_eq!(unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &raw mut time) }, 0);
        time.0 as f64 * 1e9 + time.1 as f64
    };
    let begin = now();
    run(ROUNDS);
    (now() - begin) / (2 * ROUNDS) as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// One line. Theirs gets a frame that makes its slice the largest that is not larger than ours.
fn line<const BYTES: usize>() {
    let ((inlined, saved), (called, saved_called)) =
        (begin::<BYTES, true>(), begin::<BYTES, false>());
    let theirs = (0..).map(|n| 16 * n).take_while(|bytes| *bytes < 2 * saved);
    // SAFETY: nothing of an earlier pair runs any more.
    let best = theirs.filter(|bytes| unsafe { drive_begin(*bytes) } <= saved).last().unwrap_or(0);
    // SAFETY: as above.
    let saved_theirs = unsafe { drive_begin(best) };
    let samples: Vec<[f64; 3]> = (0..SAMPLES)
        .map(|_| {
            // SAFETY: all three were begun.
            unsafe {
                [
                    time(|n| resume::<true>(inlined, n)),
                    time(|n| resume::<false>(called, n)),
                    time(|n| drive(n)),
                ]
            }
        })
        .collect();
    let of = |which: usize| median(samples.iter().map(|sample| sample[which]).collect());
    let ratio = |which: usize| median(samples.iter().map(|s| s[which] / s[2]).collect());
    println!(
        "{saved:>8}{saved_called:>8}{saved_theirs:>8}{:>10.1}{:>10.1}{:>10.1}{:>10.2}{:>10.2}",
        of(0),
        of(1),
        of(2),
        ratio(0),
        ratio(1)
    );
}

fn main() {
    println!(
        "bytes copied: inlined, called, libaco; ns each; ratio of inlined and of called to libaco"
    );
    line::<0>();
    line::<64>();
    line::<128>();
    line::<256>();
    line::<512>();
    line::<1024>();
    line::<4096>();
}
