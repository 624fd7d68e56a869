//! Last stop: how many greenlets a second and a GiB, on this machine.

use crate::show::{line, note, say};
use crate::support::{number, resident};
use greenlet::{Generator, Greenlet, Yielder};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Calls `work` over and over for a while, and gives the time that one of its `each` steps takes.
fn time(each: u32, mut work: impl FnMut()) -> f64 {
    // A look at the clock costs as much as a switch: only after so many.
    let mut best = f64::INFINITY;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(150) {
        let begin = Instant::now();
        work();
        best = best.min(begin.elapsed().as_nanos() as f64 / f64::from(each));
    }
    best
}

fn report(nanoseconds: f64, what: &str) {
    let per_second = number((1e9 / nanoseconds) as u64);
    say(&format!("   {nanoseconds:>6.1} ns  {what}: {per_second} a second"));
}

/// Shows it.
pub fn stop() {
    // SAFETY: here and below, nothing outside points into the frames of the closures.
    let created = time(10_000, || {
        for i in 0..10_000_u64 {
            let greenlet = unsafe { Greenlet::<u64, u64>::new(|i| i + 1) };
            assert_eq!(greenlet.switch(black_box(i)), i + 1);
        }
    });
    report(created, "a greenlet created, run and finished");

    // SAFETY: as above.
    let mut numbers = unsafe {
        Generator::new(|out: &Yielder<u64>| {
            for i in 0.. {
                out.yield_(i);
            }
        })
    };
    let next = time(10_000, || {
        for _ in 0..10_000 {
            black_box(numbers.next());
        }
    });
    drop(numbers);
    report(next, "the next value of a generator, two switches with nothing to copy");

    // Two that are not main switch to each other: each has to make room for the other.
    // SAFETY: as above.
    let pair = unsafe {
        Greenlet::<(), f64>::new(|()| {
            let me = Greenlet::<u64, u64>::current();
            let other = Greenlet::<u64, u64>::new(move |mut i| {
                loop {
                    i = me.switch(i + 1);
                }
            });
            let switch = time(20_000, || {
                for i in 0..10_000 {
                    assert_eq!(other.switch(black_box(i)), i + 1);
                }
            });
            // It has a handle to this greenlet, and this one to it: a cycle, as of two `Rc`s.
            let _ = other.kill();
            switch
        })
    };
    report(pair.switch(()), "a switch between two greenlets, each copied out and in");

    memory();
}

/// Bytes for each suspended greenlet, counted from the process.
fn memory() {
    const COUNT: usize = 200_000;
    let Some((before, _)) = resident() else {
        note("how much memory a greenlet takes is measured on Linux only");
        return;
    };
    let main = Greenlet::<(), ()>::current();
    let mut greenlets = Vec::with_capacity(COUNT);
    let begin = Instant::now();
    for _ in 0..COUNT {
        let main = main.clone();
        // SAFETY: nothing outside points into the frames of the closure.
        let greenlet = unsafe { Greenlet::<(), ()>::new(move |()| main.switch(())) };
        greenlet.switch(());
        greenlets.push(greenlet);
    }
    let time = begin.elapsed();
    let Some((now, _)) = resident() else { return };
    let each = (now.saturating_sub(before) / COUNT as u64).max(1);
    let per_gib = number((1 << 30) / each);
    line(
        time,
        &format!("{} suspended at once: {each} bytes each, {per_gib} a GiB", number(COUNT as u64)),
    );
}
