//! A round-robin scheduler on the primitive: `spawn`, `turn` and `run` are all of it.
//!
//! A task that gives its turn away switches straight to the next one, not through a scheduler. Its parent is main, so
//! that is where control goes when it finishes, and `run` picks the next.

use greenlet::Greenlet;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Instant;

thread_local! {
    static READY: RefCell<VecDeque<Greenlet>> = const { RefCell::new(VecDeque::new()) };
}

/// Makes a task that is ready to run.
///
/// # Safety
///
/// As for [`Greenlet::new`]: nothing outside reaches into the frames of `task`.
unsafe fn spawn(task: impl FnOnce() + 'static) {
    // SAFETY: the caller's promise.
    let task = unsafe { Greenlet::<(), ()>::new(move |()| task()) };
    READY.with_borrow_mut(|ready| ready.push_back(task));
}

/// Lets all others that are ready run before it returns.
fn turn() {
    let next = READY.with_borrow_mut(|ready| {
        let next = ready.pop_front();
        if next.is_some() {
            ready.push_back(Greenlet::current());
        }
        next
    });
    if let Some(next) = next {
        next.switch(());
    }
}

/// Runs until every task has finished.
fn run() {
    while let Some(task) = READY.with_borrow_mut(VecDeque::pop_front) {
        task.switch(());
    }
}

/// How many steps it takes from `n` to 1, by halving the even and `3n + 1` of the odd.
fn steps(mut n: u64, turns: bool) -> u32 {
    let mut steps = 0;
    while n != 1 {
        n = if n.is_multiple_of(2) { n / 2 } else { 3 * n + 1 };
        steps += 1;
        if turns {
            turn();
        }
    }
    steps
}

fn main() {
    // The short ones are done first, though all began in order.
    for n in [27, 6, 97, 7, 1] {
        // SAFETY: here and below, nothing outside points into the tasks' frames.
        unsafe { spawn(move || println!("from {n} to 1 in {} steps", steps(n, true))) };
    }
    run();

    const TASKS: u64 = 1_000;
    let begin = Instant::now();
    for n in 1..=TASKS {
        // SAFETY: as above.
        unsafe { spawn(move || assert_eq!(steps(n, true), steps(n, false))) };
    }
    run();
    let time = begin.elapsed();
    let turns: u64 = (1..=TASKS).map(|n| u64::from(steps(n, false))).sum();
    let each = time.as_nanos() as f64 / turns as f64;
    println!("{TASKS} tasks, {turns} turns: {each:.0} ns a turn");
}
