//! What a suspended greenlet costs, counted from the allocator and from the process; and that all of it is given back.
//!
//! The limits hold for optimised code on 64-bit targets. Elsewhere the numbers are printed, with a loose limit.
#![cfg(feature = "std")]

#[path = "common/allocator.rs"]
mod allocator;
mod common;

use allocator::{Counting, live, live_here};
use common::{child, deep, generator, main, spawn};
use greenlet::raw::{self, Memory, Stack, Thread};
use greenlet::{AnyGreenlet, Generator, Greenlet};
use std::ffi::c_void;
use std::ptr;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Where the limits that are promised are checked as they are.
const STRICT: bool = cfg!(all(target_pointer_width = "64", not(debug_assertions)));

#[track_caller]
fn check(what: &str, bytes: usize, count: usize, limit: usize) {
    let each = bytes.div_ceil(count);
    println!("{what}: {each} bytes each, of {count}");
    let limit = if STRICT { limit } else { 10 * limit };
    assert!(each <= limit, "{what}: {each} bytes each, the limit is {limit}");
}

/// Pages of the process: all, and resident ones. `None` where the system does not tell, or an emulator's are mixed in.
fn pages() -> Option<(usize, usize)> {
    if child::emulator().is_some() {
        return None;
    }
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let mut numbers = text.split(' ').map(|word| word.parse().unwrap());
    Some((numbers.next()?, numbers.next()?))
}

/// Runs `body` in a process of its own, where nobody else allocates.
fn alone(test: &str, body: impl FnOnce()) {
    let ended = child::run(test, body);
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let lines = ended.stdout.lines().filter(|line| line.contains("bytes"));
    lines.for_each(|line| println!("{line}"));
}

struct Host {
    thread: Thread,
    main: raw::Greenlet,
}

unsafe extern "C" fn suspends(word: *mut c_void) -> ! {
    let host: *mut Host = word.cast();
    // SAFETY: the host outlives all that it began.
    unsafe {
        let (thread, main) = (&raw mut (*host).thread, &raw mut (*host).main);
        let _ = Thread::switch(thread, main, ptr::null_mut());
        let refused = Thread::finish(thread, main, ptr::null_mut());
        unreachable!("{refused}")
    }
}

#[test]
fn a_suspended_greenlet_of_the_engine_takes_at_most_256_bytes() {
    alone("a_suspended_greenlet_of_the_engine_takes_at_most_256_bytes", || {
        const COUNT: usize = 2000;
        let mut area = vec![0u128; 1 << 14];
        // SAFETY: one thread; nothing points into the frames of `suspends`; the records stay where they are.
        unsafe {
            let mut host =
                Box::new(Host { thread: Thread::new(Memory::GLOBAL), main: raw::Greenlet::new() });
            let host: *mut Host = &mut *host;
            let thread = &raw mut (*host).thread;
            Thread::attach(thread, &raw mut (*host).main);
            let mut stack = Stack::new();
            stack.attach(thread, area.as_mut_ptr().cast(), size_of_val(&area[..]));
            let before = live_here();
            let mut greenlets: Vec<raw::Greenlet> = Vec::with_capacity(COUNT);
            for n in 0..COUNT {
                greenlets.push(raw::Greenlet::new());
                let greenlet = greenlets.as_mut_ptr().add(n);
                Thread::start(thread, greenlet, &raw mut stack, suspends, host.cast()).unwrap();
            }
            check("engine", live_here() - before, COUNT, 256);
            let first = greenlets.as_mut_ptr();
            for n in 0..COUNT {
                assert!((*first.add(n)).is_active());
                Thread::switch(thread, first.add(n), ptr::null_mut()).unwrap();
                assert!(!(*first.add(n)).is_active());
            }
            drop(greenlets);
            assert_eq!(live_here(), before, "all is given back");
        }
    });
}

#[test]
fn a_suspended_greenlet_takes_at_most_400_bytes() {
    alone("a_suspended_greenlet_takes_at_most_400_bytes", || {
        const COUNT: usize = 2000;
        spawn(|()| ()).switch(());
        let mut greenlets = Vec::<Greenlet>::with_capacity(COUNT);
        let before = live_here();
        for _ in 0..COUNT {
            let main = main();
            let child = spawn(move |()| main.switch(()));
            child.switch(());
            greenlets.push(child);
        }
        check("Greenlet", live_here() - before, COUNT, 400);
        greenlets.iter().for_each(|greenlet| greenlet.switch(()));
        greenlets.clear();
        assert_eq!(live_here(), before, "all is given back");
    });
}

#[test]
fn a_suspended_generator_takes_at_most_480_bytes() {
    alone("a_suspended_generator_takes_at_most_480_bytes", || {
        const COUNT: usize = 2000;
        assert_eq!(generator(|out| out.yield_(1)).count(), 1);
        let mut generators = Vec::<Generator<usize>>::with_capacity(COUNT);
        let before = live_here();
        for n in 0..COUNT {
            let mut numbers = generator(move |out| {
                out.yield_(n);
                out.yield_(n + 1);
            });
            assert_eq!(numbers.next(), Some(n));
            generators.push(numbers);
        }
        check("Generator", live_here() - before, COUNT, 480);
        generators.clear();
        assert_eq!(live_here(), before, "all is given back");
    });
}

#[test]
fn a_suspended_greenlet_takes_at_most_400_bytes_of_the_process() {
    alone("a_suspended_greenlet_takes_at_most_400_bytes_of_the_process", || {
        if pages().is_none() {
            return;
        }
        const COUNT: usize = 50_000;
        const PAGE: usize = 4096;
        let mut greenlets = Vec::<Greenlet>::with_capacity(COUNT);
        let mut resident = 0;
        for n in 0..COUNT + 1000 {
            let main = main();
            let child = spawn(move |()| main.switch(()));
            child.switch(());
            if n < 1000 {
                std::mem::forget(child); // the process warms up
                resident = pages().unwrap().1;
            } else {
                greenlets.push(child);
            }
        }
        // With the handles, and what the allocator needs for itself.
        let bytes = (pages().unwrap().1 - resident) * PAGE;
        check("Greenlet, of the process", bytes, COUNT, 400);
    });
}

#[test]
fn what_was_needed_for_one_deep_call_is_given_back() {
    alone("what_was_needed_for_one_deep_call_is_given_back", || {
        let make = |depth| {
            let child = spawn(move |()| -> () {
                deep(depth, || main().switch(()));
                loop {
                    main().switch(());
                }
            });
            child.typed::<(), ()>()
        };
        let (deeply, other) = (make(400), make(0));
        let round = || {
            deeply.switch(());
            other.switch(());
        };
        round();
        let (large, before) = (deeply.saved_bytes(), live_here());
        assert!(large > 10_000);
        (0..100).for_each(|_| round());
        assert!(live_here() + large / 2 < before, "{} bytes of {before} are left", live_here());
    });
}

#[test]
fn a_thread_that_ends_gives_back_all_its_memory_and_its_stack() {
    alone("a_thread_that_ends_gives_back_all_its_memory_and_its_stack", || {
        let run = || {
            let work = || {
                let children: Vec<Greenlet> = (0..50)
                    .map(|n| {
                        let child = spawn(move |()| deep(n % 9, || main().switch(())));
                        child.switch(());
                        child
                    })
                    .collect();
                let mut numbers = generator(|out| (0..100).for_each(|n: u32| out.yield_(n)));
                numbers.next();
                // Some finish, some are dropped, some end with the thread, some are a cycle.
                children.iter().take(10).for_each(|child| child.switch(()));
                children.into_iter().skip(20).take(10).for_each(|child| {
                    let slot = std::rc::Rc::new(std::cell::RefCell::new(Some(child)));
                    let inside = slot.clone();
                    let cycle = spawn(move |()| {
                        let _inside = (inside, AnyGreenlet::current());
                        main().switch(());
                    });
                    cycle.switch(());
                    *slot.borrow_mut() = Some(cycle);
                });
                spawn(|[_]: [[u8; 5000]; 1]| ()).switch([[0; 5000]]);
            };
            std::thread::spawn(work).join().unwrap();
        };
        (0..3).for_each(|_| run()); // what the standard library keeps
        let (before, mapped) = (live(), pages());
        (0..30).for_each(|_| run());
        // The standard library may keep a few more; a greenlet's leak would show thirty times.
        let after = live();
        assert!(after < before + 2000, "{before} bytes have become {after}");
        if let (Some((before, _)), Some((after, _))) = (mapped, pages()) {
            assert!(after < before + (20 << 20) / 4096, "{before} pages have become {after}");
        }
    });
}
