//! ThreadSanitizer and greenlets: a race between greenlets of two threads is found, and where there is none nothing is reported.
//!
//! Each test runs its body in a process of its own, whose exit status says whether anything was reported. Only in builds with the
//! sanitizer: `cargo xtask test --only "thread sanitizer"`.
#![cfg(all(feature = "std", greenlet_tsan))]

mod common;
use common::{child, deep, main, overwrite, spawn};
use std::cell::UnsafeCell;
use std::hint::black_box;
use std::sync::{Barrier, Mutex};
use std::thread;

/// What the runtime ends with if it has reported anything.
const REPORTED: i32 = 66;

fn finds(test: &str, body: impl FnOnce()) -> bool {
    let ended = child::run(test, body);
    match ended.code() {
        Some(0) => false,
        Some(REPORTED) if ended.stderr.contains("data race") => true,
        _ => panic!("{ended:?}"),
    }
}

/// A word that threads share, and a lock that some take for it.
struct Shared {
    word: UnsafeCell<u64>,
    lock: Mutex<()>,
}

// SAFETY: where there is no lock, that is the error.
unsafe impl Sync for Shared {}

/// Two threads, in each of which two greenlets that take turns add to the word.
fn adds(locks: bool) {
    let shared: &Shared =
        Box::leak(Box::new(Shared { word: UnsafeCell::new(0), lock: Mutex::new(()) }));
    let together = Barrier::new(2);
    let run = || {
        let add = move |()| {
            for depth in 0..20 {
                deep(depth % 7, || main().switch(()));
                let _locked = locks.then(|| shared.lock.lock().unwrap());
                // SAFETY: the lock; or else this is the error.
                unsafe { *black_box(shared.word.get()) += 1 };
            }
        };
        let both = [spawn(add), spawn(add)];
        together.wait();
        for round in 0..21 {
            both.iter().for_each(|one| one.switch(()));
            overwrite(round % 5);
        }
    };
    thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(run))));
    let _locked = shared.lock.lock().unwrap();
    // SAFETY: the threads have ended.
    let sum = unsafe { *shared.word.get() };
    assert!(!locks || sum == 80, "{sum}");
}

#[test]
fn a_race_between_greenlets_of_two_threads_is_found() {
    assert!(finds("a_race_between_greenlets_of_two_threads_is_found", || adds(false)));
}

#[test]
fn greenlets_of_two_threads_that_lock_do_not_race() {
    assert!(!finds("greenlets_of_two_threads_that_lock_do_not_race", || adds(true)));
}
