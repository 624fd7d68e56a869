//! Valgrind's memcheck and greenlets: nothing is reported of a program that is right, and what is wrong in one is still found.
//!
//! Each test runs its body in a process under valgrind, whose exit status says whether anything was reported. `cargo xtask test
//! --only memcheck` runs the other tests in the same way.
#![cfg(all(feature = "std", feature = "valgrind", unix))]

mod common;
use common::{child, deep, main, overwrite, spawn};
use greenlet::Greenlet;
use std::alloc::{Layout, alloc, dealloc};
use std::hint::black_box;
use std::mem::MaybeUninit;

/// What valgrind ends with if it has reported anything.
const REPORTED: i32 = 99;

/// The words before the program's own.
const VALGRIND: [&str; 4] =
    ["valgrind", "--quiet", "--error-exitcode=99", "--max-stackframe=16777216"];

/// Runs `body` under valgrind, and answers whether it found anything.
fn finds(test: &str, body: impl FnOnce()) -> bool {
    let ended = child::run_under(&VALGRIND, test, body);
    match ended.code() {
        Some(0) => false,
        Some(REPORTED) => true,
        _ => panic!("{ended:?}"),
    }
}

/// A branch that depends on `value`.
#[inline(never)]
fn depends_on(value: u64) {
    if black_box(value) == 7 {
        println!("seven");
    }
}

/// Nobody has ever written to what it answers.
fn uninitialized() -> MaybeUninit<[u64; 4]> {
    black_box(MaybeUninit::uninit())
}

/// Greenlets of all depths that save and restore each other, whole and in parts, from several depths of main.
fn much(greenlets: usize) {
    let all: Vec<Greenlet<u64, u64>> = (0..greenlets)
        .map(|n| {
            let back = Greenlet::<u64, u64>::current();
            spawn(move |mut value: u64| {
                for round in 0.. {
                    value = deep((n * 7 + round * 3) % 19, || back.switch(value + 1));
                    if value == 0 {
                        break;
                    }
                }
                value
            })
        })
        .collect();
    for round in 0..12 {
        for greenlet in &all {
            assert_eq!(deep(round % 5, || greenlet.switch(round as u64 + 1)), round as u64 + 2);
        }
        overwrite(round);
    }
    assert!(all.iter().any(|greenlet| greenlet.saved_bytes() != 0));
    all.iter().take(3).for_each(|greenlet| assert_eq!(greenlet.switch(0), 0));
}

#[test]
fn greenlets_of_all_depths_in_several_threads_are_no_error() {
    let found = finds("greenlets_of_all_depths_in_several_threads_are_no_error", || {
        much(9);
        // One thread's stack where another one's was.
        for _ in 0..3 {
            let threads: Vec<_> = (0..2).map(|_| std::thread::spawn(|| much(6))).collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        }
    });
    assert!(!found);
}

#[test]
fn the_use_of_a_value_that_nobody_wrote_is_found_in_a_greenlet() {
    let found = finds("the_use_of_a_value_that_nobody_wrote_is_found_in_a_greenlet", || {
        let child = spawn(|()| {
            main().switch(());
            let words = uninitialized();
            // SAFETY: that is the error.
            depends_on(unsafe { words.assume_init_ref()[2] });
        });
        child.switch(());
        child.switch(());
    });
    assert!(found);
}

/// What was not written before a suspension, be it away or in place meanwhile, is not written after it; what was is.
fn across(test: &str, saved: bool, reads: usize) -> bool {
    finds(test, || {
        let child = spawn(move |()| {
            let mut words = uninitialized();
            // SAFETY: one of the words is written.
            unsafe { words.as_mut_ptr().cast::<u64>().add(1).write(3) };
            let words = black_box(&words);
            deep(3, || main().switch(()));
            // SAFETY: this is the error, if it is another word.
            depends_on(unsafe { words.as_ptr().cast::<u64>().add(reads).read() });
        });
        child.switch(());
        if saved {
            overwrite(20);
            assert_ne!(child.saved_bytes(), 0);
        } else {
            assert_eq!(child.saved_bytes(), 0);
        }
        child.switch(());
        assert!(child.is_finished());
    })
}

#[test]
fn a_slice_knows_which_of_its_bytes_have_a_value() {
    let test = "a_slice_knows_which_of_its_bytes_have_a_value";
    assert!(across(test, true, 2));
}

#[test]
fn a_slice_knows_which_of_its_bytes_have_none() {
    assert!(!across("a_slice_knows_which_of_its_bytes_have_none", true, 1));
}

#[test]
fn frames_that_stay_in_place_know_which_bytes_have_no_value() {
    assert!(across("frames_that_stay_in_place_know_which_bytes_have_no_value", false, 2));
}

#[test]
fn frames_that_stay_in_place_know_which_bytes_have_a_value() {
    assert!(!across("frames_that_stay_in_place_know_which_bytes_have_a_value", false, 1));
}

#[test]
fn a_use_after_free_is_found_in_a_greenlet() {
    let found = finds("a_use_after_free_is_found_in_a_greenlet", || {
        let child = spawn(|()| {
            let layout = Layout::new::<u64>();
            // SAFETY: the layout has a size; the block is freed once. Reading it afterwards is the error.
            unsafe {
                let block: *mut u64 = alloc(layout).cast();
                block.write(7);
                main().switch(());
                dealloc(block.cast(), layout);
                depends_on(black_box(block).read_volatile());
            }
        });
        child.switch(());
        overwrite(10);
        child.switch(());
    });
    assert!(found);
}
