//! Threads: each has its own greenlets, and when it ends, they end.
#![cfg(feature = "std")]

mod common;
use common::{child, deep, generator, main, spawn, thrown};
use greenlet::{AnyGreenlet, Greenlet};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

/// Counts its drop for any thread.
struct Token(Arc<AtomicUsize>);

impl Drop for Token {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// A greenlet that is suspended, and one that has not begun, each with a token.
fn two(drops: &Arc<AtomicUsize>) -> [Greenlet; 2] {
    let (a, b) = (Token(drops.clone()), Token(drops.clone()));
    let suspended = spawn(move |()| {
        let _token = a;
        deep(6, || main().switch(()));
    });
    suspended.switch(());
    [suspended, spawn(move |()| drop(b))]
}

#[test]
fn each_thread_has_its_own_main_greenlet() {
    let here = AnyGreenlet::main().id();
    let there = thread::spawn(|| {
        assert!(AnyGreenlet::main().is_current());
        AnyGreenlet::main().id()
    });
    assert_ne!(here, there.join().unwrap());
}

#[test]
fn suspended_greenlets_end_with_their_thread_and_their_destructors_run() {
    let drops = Arc::new(AtomicUsize::new(0));
    let count = drops.clone();
    thread::spawn(move || {
        // Nobody can reach them any more, and nobody drops them.
        for _ in 0..10 {
            let token = Token(count.clone());
            let child = spawn(move |()| {
                let _token = token;
                deep(6, || main().switch(()));
            });
            child.switch(());
            std::mem::forget(child);
        }
        assert_eq!(count.load(SeqCst), 0);
    })
    .join()
    .unwrap();
    assert_eq!(drops.load(SeqCst), 10);
}

#[test]
fn a_cycle_of_greenlets_ends_with_its_thread() {
    let drops = Arc::new(AtomicUsize::new(0));
    let count = drops.clone();
    thread::spawn(move || {
        let token = Token(count);
        spawn(move |()| {
            let _token = token;
            let _me = AnyGreenlet::current();
            main().switch(());
        })
        .switch(());
    })
    .join()
    .unwrap();
    assert_eq!(drops.load(SeqCst), 1);
}

/// Runs on a thread that has `early` in a thread-local variable from before its first greenlet, and `late` in one from
/// after it: so the one is dropped after the greenlets of the thread have ended, and the other before.
fn with_thread_locals(late: bool) {
    thread_local! {
        static HELD: RefCell<Vec<Greenlet>> = const { RefCell::new(Vec::new()) };
    }
    let drops = Arc::new(AtomicUsize::new(0));
    let count = drops.clone();
    thread::spawn(move || {
        if !late {
            HELD.with_borrow(|held| assert!(held.is_empty()));
        }
        let both = two(&count);
        HELD.with_borrow_mut(|held| held.extend(both));
        assert_eq!(count.load(SeqCst), 0);
    })
    .join()
    .unwrap();
    assert_eq!(drops.load(SeqCst), 2);
}

/// Why nobody may be suspended inside `LocalKey::with` when its thread ends (the contract of `Greenlet::new`): a thread-local that
/// came later than the thread's greenlets is gone when they are unwound.
#[test]
#[cfg(target_os = "linux")]
fn thread_locals_that_came_later_are_destroyed_before_greenlets_are_unwound() {
    struct Loud;
    impl Drop for Loud {
        fn drop(&mut self) {
            std::hint::black_box(());
        }
    }
    thread_local! {
        static EARLY: Loud = const { Loud };
        static LATE: Loud = const { Loud };
    }
    /// Looks, as it is unwound, at what is there. (With `try_with`, which says so if it is not.)
    struct Looks(Arc<AtomicUsize>);
    impl Drop for Looks {
        fn drop(&mut self) {
            let early = EARLY.try_with(|_| ()).is_ok();
            let late = LATE.try_with(|_| ()).is_ok();
            self.0.store(1 + usize::from(early) * 2 + usize::from(late) * 4, SeqCst);
        }
    }
    let found = Arc::new(AtomicUsize::new(0));
    let looks = Looks(found.clone());
    thread::spawn(|| {
        EARLY.with(|_| ());
        let child = spawn(move |()| {
            LATE.with(|_| ());
            let _looks = looks;
            main().switch(());
        });
        child.switch(());
        std::mem::forget(child);
    })
    .join()
    .unwrap();
    assert_eq!(found.load(SeqCst), 1 + 2, "unwound, the early one there, the late one gone");
}

#[test]
fn handles_in_a_thread_local_that_is_dropped_before_the_greenlets_end_are_dropped() {
    with_thread_locals(true);
}

#[test]
fn handles_in_a_thread_local_that_is_dropped_after_the_greenlets_ended_are_dropped() {
    with_thread_locals(false);
}

/// What a handle can still be asked when its thread's greenlets have ended.
#[test]
#[cfg_attr(
    all(windows, target_env = "gnu"),
    ignore = "thread-local variables end in another order there: see below"
)]
fn a_handle_that_outlives_its_threads_greenlets_still_answers() {
    struct Asks(Option<(Greenlet, Greenlet<u8, u8>, Arc<AtomicUsize>)>);
    impl Drop for Asks {
        fn drop(&mut self) {
            let Some((suspended, finished, answers)) = self.0.take() else { return };
            assert!(suspended.is_finished() && finished.is_finished());
            assert!(common::refused(suspended.try_switch(())).0 == greenlet::Refused::Finished);
            assert!(common::refused(finished.try_switch(5)).1 == 5);
            assert_eq!(suspended.kill(), Ok(()));
            assert!(suspended.parent().is_some_and(|parent| parent.is_main()));
            answers.fetch_add(1, SeqCst);
        }
    }
    thread_local! {
        static ASKS: RefCell<Asks> = const { RefCell::new(Asks(None)) };
    }
    let answers = Arc::new(AtomicUsize::new(0));
    let count = answers.clone();
    thread::spawn(move || {
        ASKS.with_borrow(|asks| assert!(asks.0.is_none()));
        let suspended = spawn(|()| main().switch(()));
        suspended.switch(());
        let finished = spawn(|n: u8| n);
        finished.switch(1);
        ASKS.with_borrow_mut(|asks| asks.0 = Some((suspended, finished, count)));
    })
    .join()
    .unwrap();
    assert_eq!(answers.load(SeqCst), 1);
}

#[test]
#[cfg_attr(
    all(windows, target_env = "gnu"),
    ignore = "thread-local variables end in another order there, and are made anew when somebody asks: see below"
)]
fn asking_for_the_current_greenlet_after_they_have_ended_panics() {
    struct Asks(Cell<Option<Arc<AtomicUsize>>>);
    impl Drop for Asks {
        fn drop(&mut self) {
            let Some(answers) = self.0.take() else { return };
            let payload = common::caught(AnyGreenlet::current);
            let text = greenlet::payload_text(&payload);
            assert!(text.contains("the thread is ending"), "{text}");
            answers.fetch_add(1, SeqCst);
        }
    }
    thread_local! {
        static ASKS: Asks = const { Asks(Cell::new(None)) };
    }
    let answers = Arc::new(AtomicUsize::new(0));
    let count = answers.clone();
    thread::spawn(move || {
        ASKS.with(|asks| asks.0.set(Some(count)));
        spawn(|()| ()).switch(());
    })
    .join()
    .unwrap();
    assert_eq!(answers.load(SeqCst), 1);
}

/// With the GNU tools for Windows, the standard library gives each thread-local variable a key of the system's. Their destructors run
/// in the order of the keys, whoever used his first, and a variable that is asked for after its end is made anew, and ended once more.
#[test]
#[cfg(all(windows, target_env = "gnu"))]
fn greenlets_that_begin_after_the_threads_greenlets_have_ended_end_as_well() {
    struct Begins(Cell<Option<Arc<AtomicUsize>>>);
    impl Drop for Begins {
        fn drop(&mut self) {
            let Some(drops) = self.0.take() else { return };
            assert!(AnyGreenlet::current().is_main());
            two(&drops).into_iter().for_each(std::mem::forget);
            assert_eq!(spawn(|n: u8| n + 1).switch(1), 2);
            drops.fetch_add(10, SeqCst);
        }
    }
    thread_local! {
        static BEFORE: Begins = const { Begins(Cell::new(None)) };
        static AFTER: Begins = const { Begins(Cell::new(None)) };
    }
    let drops = Arc::new(AtomicUsize::new(0));
    let count = drops.clone();
    thread::spawn(move || {
        BEFORE.with(|begins| begins.0.set(Some(count.clone())));
        two(&count).into_iter().for_each(std::mem::forget);
        AFTER.with(|begins| begins.0.set(Some(count)));
    })
    .join()
    .unwrap();
    // Of each two one was suspended, and has been killed; the other, which never began, is leaked by the test.
    assert_eq!(drops.load(SeqCst), 23);
}

#[test]
fn a_destructor_at_the_threads_end_may_use_greenlets() {
    let drops = Arc::new(AtomicUsize::new(0));
    let count = drops.clone();
    thread::spawn(move || {
        let token = Token(count.clone());
        let child = spawn(move |()| {
            let answer = main().try_switch(());
            // Its end has been thrown into it; before it goes it runs another greenlet.
            drop(thrown(answer));
            let other = generator(|out| (0..5usize).for_each(|n| out.yield_(n)));
            count.fetch_add(other.sum::<usize>(), SeqCst);
            drop(token);
        });
        child.switch(());
        std::mem::forget(child);
    })
    .join()
    .unwrap();
    assert_eq!(drops.load(SeqCst), 11);
}

#[test]
fn many_threads_have_greenlets_at_once() {
    let drops = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..8usize)
        .map(|seed| {
            let drops = drops.clone();
            thread::spawn(move || {
                let greenlets: Vec<Greenlet<usize, usize>> = (0..20)
                    .map(|n| {
                        let token = Token(drops.clone());
                        let main = Greenlet::<usize, usize>::current();
                        spawn(move |mut value: usize| {
                            let _token = token;
                            loop {
                                value = deep((n + seed) % 5, || main.switch(value * 2 + seed));
                            }
                        })
                    })
                    .collect();
                for round in 0..20 {
                    for (n, greenlet) in greenlets.iter().enumerate() {
                        assert_eq!(greenlet.switch(n * round), n * round * 2 + seed);
                    }
                }
                // Half of them are dropped, the others end with the thread.
                greenlets.into_iter().step_by(2).for_each(std::mem::forget);
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(drops.load(SeqCst), 8 * 20);
}

#[test]
fn threads_without_greenlets_have_nothing_to_end() {
    thread::spawn(|| ()).join().unwrap();
    thread::spawn(|| AnyGreenlet::main().id()).join().unwrap();
    thread::spawn(|| drop(spawn(|()| ()))).join().unwrap();
}

#[test]
fn a_thread_that_panics_ends_its_greenlets() {
    let drops = Arc::new(AtomicUsize::new(0));
    let count = drops.clone();
    let ended = thread::spawn(move || {
        std::mem::forget(two(&count)); // the one that has not begun is nobody's, and leaks
        let kept = two(&count);
        std::panic::resume_unwind(Box::new(kept.len()));
    })
    .join();
    assert_eq!(*ended.unwrap_err().downcast::<usize>().unwrap(), 2);
    assert_eq!(drops.load(SeqCst), 3);
}

#[test]
fn a_panic_that_no_greenlet_catches_ends_the_thread_with_its_payload() {
    let ended = thread::spawn(|| {
        let outer = spawn(|()| spawn(|()| common::panic_with("from the last")).switch(()));
        let _: () = outer.switch(());
    })
    .join();
    assert_eq!(*ended.unwrap_err().downcast::<&str>().unwrap(), "from the last");
}

fn exit_with(code: i32) {
    println!("exits");
    std::process::exit(code);
}

#[test]
fn a_process_may_exit_inside_a_greenlet() {
    let ended = child::run("a_process_may_exit_inside_a_greenlet", || {
        let others: Vec<_> = (0..3)
            .map(|n| {
                let other = spawn(move |()| {
                    let _guard = common::OnDrop(|| ());
                    deep(n, || main().switch(()));
                });
                other.switch(());
                other
            })
            .collect();
        let child = spawn(|()| spawn(|()| exit_with(7)).switch(()));
        child.switch(());
        drop(others);
    });
    assert_eq!(ended.code(), Some(7), "{ended:?}");
    assert!(ended.stdout.contains("exits\n"), "{ended:?}");
}

#[test]
fn a_process_may_end_with_suspended_greenlets() {
    let ended = child::run("a_process_may_end_with_suspended_greenlets", || {
        let suspended = spawn(|()| main().switch(()));
        suspended.switch(());
        std::mem::forget(suspended);
        println!("goes on");
    });
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(ended.stdout.contains("goes on\n"), "{ended:?}");
}
