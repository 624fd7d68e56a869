//! The stack that a thread's greenlets share: its end, and its size.
#![cfg(feature = "std")]

mod common;
use common::{child, deep, main, refused, spawn};
use greenlet::{Refused, set_stack_size};
use std::hint::black_box;
use std::thread;

/// Goes down for ever.
#[inline(never)]
fn endless(depth: usize) -> usize {
    let area = black_box([depth; 64]);
    let below = if black_box(true) { endless(depth + 1) } else { 0 };
    below + black_box(area)[depth % 64]
}

/// Goes down until `bytes` bytes of stack lie between here and the innermost frame, and calls `body` there.
/// Returns how many frames it took.
fn uses(bytes: usize, body: &dyn Fn()) -> usize {
    #[inline(never)]
    fn down(end: usize, body: &dyn Fn()) -> usize {
        let area = black_box([end; 256]);
        let below = if area.as_ptr().addr() > end {
            down(end, body)
        } else {
            body();
            0
        };
        assert_eq!(black_box(area), [end; 256]);
        below + 1
    }
    let here = 0u8;
    down((&raw const here).addr() - bytes, body)
}

#[test]
fn an_overflow_in_a_greenlet_ends_the_process_by_a_fault() {
    let ended = child::run("an_overflow_in_a_greenlet_ends_the_process_by_a_fault", || {
        println!("begins");
        let child = spawn(|()| println!("survived {}", endless(0)));
        child.switch(());
    });
    assert!(ended.stdout.contains("begins\n") && !ended.stdout.contains("survived"), "{ended:?}");
    assert!(ended.crashed(), "{ended:?}");
}

#[test]
fn an_overflow_of_a_small_stack_on_another_thread_ends_the_process_by_a_fault() {
    let name = "an_overflow_of_a_small_stack_on_another_thread_ends_the_process_by_a_fault";
    let ended = child::run(name, || {
        let run = || {
            set_stack_size(0).unwrap();
            // Others are suspended above it, and one of them saved.
            let others = [spawn(|()| main().switch(())), spawn(|()| main().switch(()))];
            others.iter().for_each(|other| other.switch(()));
            println!("begins");
            spawn(|()| println!("survived {}", endless(0))).switch(());
        };
        thread::spawn(run).join().unwrap();
    });
    assert!(ended.stdout.contains("begins\n") && !ended.stdout.contains("survived"), "{ended:?}");
    assert!(ended.crashed(), "{ended:?}");
}

#[test]
fn an_overflow_beside_large_slices_ends_the_process_by_a_fault() {
    let ended = child::run("an_overflow_beside_large_slices_ends_the_process_by_a_fault", || {
        const BYTES: usize = 512 << 10;
        let others: Vec<_> =
            (0..4).map(|_| spawn(|()| uses(BYTES, &|| main().switch(())))).collect();
        others.iter().for_each(|other| other.typed::<(), ()>().switch(()));
        assert!(others.iter().filter(|other| other.saved_bytes() >= BYTES).count() == 3);
        println!("begins");
        spawn(|()| println!("survived {}", endless(0))).switch(());
    });
    assert!(ended.stdout.contains("begins\n") && !ended.stdout.contains("survived"), "{ended:?}");
    assert!(ended.crashed(), "{ended:?}");
}

#[test]
fn overflows_of_several_threads_at_once_end_the_process_by_a_fault() {
    let ended =
        child::run("overflows_of_several_threads_at_once_end_the_process_by_a_fault", || {
            let together = std::sync::Barrier::new(3);
            let overflow = || {
                let other = spawn(|()| uses(200 << 10, &|| main().switch(())));
                other.typed::<(), ()>().switch(());
                println!("begins");
                together.wait();
                spawn(|()| println!("survived {}", endless(0))).switch(());
            };
            thread::scope(|scope| (0..3).for_each(|_| drop(scope.spawn(overflow))));
        });
    assert_eq!(ended.stdout.matches("begins\n").count(), 3, "{ended:?}");
    assert!(ended.crashed() && !ended.stdout.contains("survived"), "{ended:?}");
}

/// The engine's greenlets on a thread's native stack, whose end is the host's: the thread's own guard page, or main's.
mod native {
    use super::{endless, uses};
    use greenlet::raw::{Greenlet, Memory, Thread};
    use std::ffi::c_void;
    use std::ptr::null_mut;

    struct World {
        thread: Thread,
        greenlets: [Greenlet; 4],
    }

    unsafe extern "C" fn large(world: *mut c_void) -> ! {
        let world: *mut World = world.cast();
        uses(256 << 10, &|| {
            // SAFETY: main is suspended, and nobody points into anybody's frames.
            unsafe {
                let main = &raw mut (*world).greenlets[0];
                Thread::switch(&raw mut (*world).thread, main, null_mut()).unwrap();
            }
        });
        unreachable!("nobody comes back");
    }

    unsafe extern "C" fn deep(_: *mut c_void) -> ! {
        println!("survived {}", endless(0));
        std::process::exit(0)
    }

    /// Two that are large, one of them saved, and one that recurses for ever.
    pub fn overflow() {
        let world = Box::into_raw(Box::new(World {
            thread: Thread::new(Memory::GLOBAL),
            greenlets: [const { Greenlet::new() }; 4],
        }));
        // SAFETY: the world is on the heap, and this thread's for ever.
        unsafe {
            let thread = &raw mut (*world).thread;
            let greenlet = |n: usize| (&raw mut (*world).greenlets).cast::<Greenlet>().add(n);
            Thread::attach(thread, greenlet(0));
            for n in 1..3 {
                let stack = Thread::native(thread);
                Thread::start(thread, greenlet(n), stack, large, world.cast()).unwrap();
            }
            assert!((*greenlet(1)).saved() >= 256 << 10);
            println!("begins");
            Thread::start(thread, greenlet(3), Thread::native(thread), deep, world.cast()).unwrap();
        }
    }
}

#[test]
fn an_overflow_of_the_native_stack_ends_the_process_as_it_would_without_greenlets() {
    let name = "an_overflow_of_the_native_stack_ends_the_process_as_it_would_without_greenlets";
    let ended = child::run(name, || thread::spawn(native::overflow).join().unwrap());
    assert!(ended.stdout.contains("begins\n") && !ended.stdout.contains("survived"), "{ended:?}");
    // Under Wine only the thread ends, after it has said why, and who joins it panics.
    let ends_its_thread = cfg!(windows) && ended.stderr.contains("has overflowed its stack");
    assert!(ended.crashed() || ends_its_thread, "{ended:?}");
    // The standard library knows where its threads' stacks end.
    if cfg!(target_os = "linux") && child::emulator().is_none() {
        assert!(ended.stderr.contains("has overflowed its stack"), "{ended:?}");
    }
}

#[test]
fn one_frame_larger_than_the_guard_page_does_not_step_over_it() {
    let ended = child::run("one_frame_larger_than_the_guard_page_does_not_step_over_it", || {
        #[inline(never)]
        fn large(n: usize) -> u8 {
            let area = black_box([n as u8; 1 << 20]);
            black_box(&area)[n % area.len()]
        }
        let run = || {
            set_stack_size(64 << 10).unwrap();
            println!("begins");
            spawn(|()| println!("survived {}", large(1))).switch(());
        };
        // A thread's own stack has to be large enough for that frame, should it be there.
        thread::Builder::new().stack_size(8 << 20).spawn(run).unwrap().join().unwrap();
    });
    assert!(ended.stdout.contains("begins\n") && !ended.stdout.contains("survived"), "{ended:?}");
    assert!(ended.crashed(), "{ended:?}");
}

#[test]
fn the_stack_is_as_large_as_it_was_set() {
    thread::spawn(|| {
        set_stack_size(24 << 20).unwrap();
        let child = spawn(|bytes: usize| uses(bytes, &|| ()));
        assert!(child.switch(23 << 20) > 1000);
        assert_eq!(set_stack_size(1 << 20), Err(24 << 20));
    })
    .join()
    .unwrap();
}

#[test]
fn a_deep_recursion_can_be_suspended_and_resumed() {
    const BYTES: usize = 512 << 10; // fits on the smallest default
    let suspends = |()| uses(BYTES, &|| main().switch(())) > 10;
    let children: Vec<_> = (0..3).map(|_| spawn(suspends)).collect();
    children.iter().for_each(|child| child.typed::<(), ()>().switch(()));
    let sizes: Vec<usize> = children.iter().map(|child| child.saved_bytes()).collect();
    assert!(sizes[0] >= BYTES && sizes[1] >= BYTES, "{sizes:?}");
    assert!(children.iter().all(|child| child.switch(())));
}

#[test]
fn the_size_is_refused_once_the_stack_is_there() {
    thread::spawn(|| {
        set_stack_size(1 << 20).unwrap();
        spawn(|()| ()).switch(());
        assert_eq!(set_stack_size(2 << 20), Err(1 << 20));
        // From within, too.
        assert_eq!(spawn(|()| set_stack_size(0)).switch(()), Err(1 << 20));
    })
    .join()
    .unwrap();
}

#[test]
fn each_thread_has_a_size_of_its_own() {
    let sized = |size| {
        thread::spawn(move || {
            set_stack_size(size).unwrap();
            spawn(|()| ()).switch(());
            set_stack_size(0).unwrap_err()
        })
    };
    let threads = [sized(1 << 20), sized(2 << 20)];
    assert_eq!(threads.map(|thread| thread.join().unwrap()), [1 << 20, 2 << 20]);
}

#[test]
fn a_tiny_size_is_rounded_up_to_one_that_works() {
    for size in [0, 1, 4095] {
        thread::spawn(move || {
            set_stack_size(size).unwrap();
            let child = spawn(|()| {
                // Room enough for the panic machinery.
                let caught = common::caught(|| common::panic_with("boom"));
                deep(20, || greenlet::payload_text(&caught).len())
            });
            assert_eq!(child.switch(()), 4);
            assert!(set_stack_size(0).unwrap_err() >= 64 << 10);
        })
        .join()
        .unwrap();
    }
}

#[test]
fn a_size_for_which_there_is_no_memory_is_an_error_value_and_another_can_be_set() {
    for size in [usize::MAX, usize::MAX - (1 << 20), usize::MAX - (1 << 28)] {
        thread::spawn(move || {
            set_stack_size(size).unwrap();
            let child = spawn(|text: String| text.len());
            for _ in 0..2 {
                let (why, text) = refused(child.try_switch("not lost".into()));
                assert_eq!((why, text.as_str()), (Refused::OutOfMemory, "not lost"));
                assert!(!child.is_started());
            }
            set_stack_size(1 << 20).unwrap();
            assert_eq!(child.switch("sent".into()), 4);
        })
        .join()
        .unwrap();
    }
}
