//! What destructors may do at the worst moments: while a greenlet ends, while another is finished for a payload that passes,
//! and while a thread ends. Freed memory is overwritten here, so that a use of it shows.
#![cfg(feature = "std")]

mod common;
use common::{
    Drops, Later, OnDrop, caught, child, generator, main, panic_with, spawn, spawn_under, thrown,
    thrown_text,
};
use greenlet::tasklet::{self, Channel, ReceiveError, Select};
use greenlet::{AnyGreenlet, Greenlet, Refused, SwitchError, WrongResult, payload_text, set_trace};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;

/// Never gives a block out twice, and fills what is freed with a pattern.
struct Overwriting;

// SAFETY: what is freed is leaked.
unsafe impl GlobalAlloc for Overwriting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { block.write_bytes(0xdd, layout.size()) };
    }
}

#[global_allocator]
static ALLOCATOR: Overwriting = Overwriting;

/// When it is dropped, the running greenlet becomes a child of main.
fn moves_to_main() -> OnDrop<impl FnMut()> {
    OnDrop(|| AnyGreenlet::current().set_parent(&AnyGreenlet::main()).unwrap())
}

/// Switches to main when it is dropped.
struct Suspends;

impl Drop for Suspends {
    fn drop(&mut self) {
        main().switch(());
    }
}

#[test]
fn a_closure_dropped_for_a_panic_that_passes_may_let_go_of_its_greenlet() {
    let guard = moves_to_main();
    let parent = spawn(move |()| drop(guard));
    let child = spawn_under(&parent, |()| -> () { panic_with("boom") });
    drop(parent);
    assert_eq!(thrown_text(child.try_switch(())), "boom");
}

#[test]
fn a_closure_dropped_for_a_throw_that_passes_may_let_go_of_its_greenlet() {
    let below = Later::<AnyGreenlet>::new();
    let inside = below.clone();
    let guard = OnDrop(move || inside.take().unwrap().set_parent(&AnyGreenlet::main()).unwrap());
    let upper = spawn(move |()| drop(guard));
    let lower = spawn_under(&upper, |()| ());
    below.set((*lower).clone());
    drop(upper);
    assert_eq!(payload_text(&thrown(lower.try_throw(Box::new("thrown")))), "thrown");
    assert!(lower.is_finished());
}

#[test]
fn a_wrong_result_may_change_the_parent_while_it_is_dropped() {
    let parent = spawn(|_: u32| ());
    let child = spawn_under(&parent, |()| moves_to_main());
    drop(parent);
    assert!(thrown(child.typed::<(), ()>().try_switch(())).is::<WrongResult>());
}

#[test]
fn a_parent_may_finish_while_a_wrong_result_is_dropped() {
    let parent = spawn(|()| main().switch(()));
    parent.switch(());
    let child = spawn_under(&parent, |()| Suspends);
    let child = child.typed::<(), ()>();
    child.switch(());
    parent.switch(());
    drop(parent);
    assert!(thrown(child.try_switch(())).is::<WrongResult>());
}

#[test]
fn a_greenlet_that_is_suspended_while_its_result_is_dropped_can_be_killed() {
    let make = || {
        let child = spawn(|()| Suspends).typed::<(), ()>();
        child.switch(());
        assert!(child.is_active());
        child
    };
    let child = make();
    child.kill().unwrap();
    assert!(child.is_finished());
    let child = make();
    let killer = spawn(move |()| {
        child.kill().unwrap();
        child.is_finished()
    });
    assert!(killer.switch(()));
}

#[test]
fn a_closure_that_panics_in_its_drop_does_not_keep_the_parent() {
    let drops = Drops::new();
    let token = drops.token();
    let parent = spawn(move |()| {
        let _token = token;
        main().switch(());
    });
    parent.switch(());
    let bomb = OnDrop(|| panic_with("from the closure"));
    let child = spawn_under(&parent, move |()| drop(bomb));
    assert_eq!(payload_text(&caught(|| drop(child))), "from the closure");
    drop(parent);
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_panic_in_the_hook_is_a_value_for_try_switch() {
    let numbers = Rc::new(RefCell::new(generator(|out| (0..2).for_each(|n| out.yield_(n)))));
    let asked = numbers.clone();
    let asks = spawn(move |()| {
        let me = AnyGreenlet::current().id();
        set_trace(Some(Box::new(move |event| {
            if event.target.id() == me {
                panic_with("from the hook");
            }
        })));
        let payload = caught(|| asked.borrow_mut().next());
        let child = spawn(|()| 5u8);
        let value = thrown_text(child.try_switch(()));
        set_trace(None);
        (payload_text(&payload).to_string(), value)
    });
    assert_eq!(asks.switch(()), ("from the hook".to_string(), "from the hook"));
    assert_eq!(numbers.borrow().greenlet().parent(), Some(AnyGreenlet::main()));
}

#[test]
fn the_hook_is_dropped_with_its_thread_whatever_it_holds() {
    let held = Arc::new(());
    let inside = held.clone();
    let run = move || {
        let all = (inside, main(), AnyGreenlet::current());
        set_trace(Some(Box::new(move |_| _ = black_box(&all))));
        spawn(|()| ()).switch(());
    };
    std::thread::spawn(run).join().unwrap();
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn a_destructor_that_panics_at_the_threads_end_does_not_end_the_process() {
    let name = "a_destructor_that_panics_at_the_threads_end_does_not_end_the_process";
    let ended = child::run(name, || {
        let run = || {
            for _ in 0..3 {
                let child = spawn(|()| {
                    let _ending = caught(|| main().switch(()));
                    println!("ends");
                    panic!("while it ended");
                });
                let _: () = child.typed::<(), ()>().switch(());
                std::mem::forget(child);
            }
        };
        assert!(std::thread::spawn(run).join().is_ok());
        println!("goes on");
    });
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(ended.stdout.contains("ends\nends\nends\ngoes on\n"), "{ended:?}");
}

#[test]
fn one_that_has_not_begun_can_be_begun_when_its_threads_greenlets_have_ended() {
    struct Late(RefCell<Option<Greenlet<u32, u32>>>);
    impl Drop for Late {
        fn drop(&mut self) {
            if let Some(greenlet) = self.0.take() {
                assert_eq!(greenlet.switch(5), 6);
            }
        }
    }
    thread_local! {
        static LATE: Late = const { Late(RefCell::new(None)) };
    }
    let run = || {
        LATE.with(|late| assert!(late.0.borrow().is_none()));
        let greenlet = spawn(|n: u32| n + 1);
        LATE.with(|late| late.0.replace(Some(greenlet)));
    };
    std::thread::spawn(run).join().unwrap();
}

/// A tasklet.
fn tasklet<R: 'static>(body: impl FnOnce() -> R + 'static) -> tasklet::Tasklet<R> {
    // SAFETY: as in `common::spawn`.
    unsafe { tasklet::spawn(body) }
}

#[test]
fn the_trace_hook_cannot_wait_in_place_of_the_tasklet_that_was_woken() {
    let (words, others) = (Channel::<u8>::new(), Channel::<u8>::new());
    let (inbox, inside) = (words.clone(), others.clone());
    let reads = tasklet(move || inbox.receive().unwrap());
    tasklet::schedule();
    set_trace(Some(Box::new(move |_| {
        assert!(matches!(inside.receive(), Err(ReceiveError::Refused(Refused::Tracing))));
        let selected = Select::new().receive(&inside, |_| ()).wait();
        assert_eq!(selected, Err(tasklet::WaitError::Refused(Refused::Tracing)));
        assert_eq!(
            tasklet::try_schedule().err(),
            (tasklet::ready_count() != 0).then_some(Refused::Tracing)
        );
    })));
    words.send(7).unwrap();
    assert_eq!(reads.join().unwrap(), 7);
    set_trace(None);
    assert_eq!((words.balance(), others.balance(), tasklet::blocked_count()), (0, 0, 0));
}

#[test]
fn a_hook_that_the_hook_has_set_is_not_called_before_that_has_returned() {
    let suspended = spawn(|()| main().switch(()));
    suspended.switch(());
    let mut suspended = Some(suspended);
    let (refused, seen) = (Later::new(), Rc::new(Cell::new(0)));
    let (says, inner) = (refused.clone(), seen.clone());
    set_trace(Some(Box::new(move |_| {
        let seen = inner.clone();
        set_trace(Some(Box::new(move |_| seen.set(seen.get() + 1))));
        // What is killed here is not traced, and its end does not end the hook.
        drop(suspended.take());
        let answer = main().try_throw(Box::new(()));
        says.set((inner.get(), matches!(answer, Err(SwitchError::Refused(Refused::Tracing, _)))));
    })));
    let child = spawn(|()| ());
    child.switch(());
    set_trace(None);
    assert_eq!(refused.take(), Some((0, true)));
    assert_eq!(seen.get(), 1); // the switch back
}

#[test]
fn the_trace_hook_cannot_give_away_the_turn_of_a_tasklet_that_is_thrown_out_of_its_wait() {
    let thrower = tasklet(|| {
        let passes = spawn_under(&AnyGreenlet::main(), |()| ());
        set_trace(Some(Box::new(|_| {
            // Main is in the run queue, and has been thrown something of which it has not heard yet.
            assert_eq!(tasklet::try_schedule(), Err(Refused::Tracing));
        })));
        passes.throw(Box::new("away"))
    });
    assert_eq!(payload_text(&caught(tasklet::schedule)), "away");
    set_trace(None);
    assert!(tasklet::main().is_current());
    assert_eq!(tasklet::ready_count(), 0);
    assert!(thrower.is_alive());
}

#[test]
fn a_destructor_cannot_wait_in_place_of_a_tasklet_that_is_thrown_out_of_its_wait() {
    let channel = Channel::<u8>::new();
    let inbox = channel.clone();
    let waited = Later::new();
    let says = waited.clone();
    let thrower = tasklet(move || {
        // Dropped in main's frames, when nobody needs the greenlet any more whose parent it is.
        let waits = OnDrop(move || says.set(inbox.receive().map_err(|error| format!("{error}"))));
        let above = spawn_under(&AnyGreenlet::main(), move |()| drop(waits));
        let throws = spawn_under(&above, |()| {
            spawn_under(&AnyGreenlet::main(), |()| ()).throw(Box::new("away"))
        });
        drop(above);
        // Begun by its child's result, so that nobody can reach it when it leaves.
        let begins = spawn_under(&throws, |()| ());
        drop(throws);
        begins.typed::<(), ()>().switch(());
    });
    assert_eq!(payload_text(&caught(tasklet::schedule)), "away");
    assert!(matches!(waited.take(), Some(Err(_))));
    assert_eq!(channel.balance(), 0);
    drop(thrower);
    assert!(channel.try_send(1).is_err());
}

#[test]
fn a_payload_that_is_dropped_as_a_tasklet_leaves_its_wait_may_wait() {
    let (first, second) = (Channel::<u8>::new(), Channel::<u8>::new());
    let (one, two) = (first.clone(), second.clone());
    let passes = Later::<Greenlet<(), ()>>::new();
    let below = passes.clone();
    let waiter = tasklet(move || {
        below.set(spawn(|()| ()));
        one.receive().unwrap()
    });
    tasklet::schedule();
    struct Waits(Channel<u8>, std::sync::Arc<std::sync::atomic::AtomicBool>);
    // SAFETY: it does not leave its thread; payloads have to be `Send`.
    unsafe impl Send for Waits {}
    impl Drop for Waits {
        fn drop(&mut self) {
            let waited = self.0.receive();
            self.1.store(waited.is_err(), std::sync::atomic::Ordering::Relaxed);
        }
    }
    let refused = Arc::new(std::sync::atomic::AtomicBool::new(false));
    waiter.throw_later(Box::new(Waits(two, refused.clone()))).unwrap();
    // Thrown past a greenlet that has not begun, into the tasklet's: the payload that it was to find is dropped there.
    drop(passes.take().unwrap().try_throw(Box::new("away")));
    assert!(refused.load(std::sync::atomic::Ordering::Relaxed));
    drop(waiter);
    assert_eq!((first.balance(), second.balance()), (0, 0));
    assert!(second.try_send(1).is_err());
}

/// A payload whose destructor panics.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            println!("bomb");
            panic_with("a payload's destructor");
        }
    }
}

#[test]
fn a_payload_whose_destructor_panics_at_the_threads_end_does_not_end_the_process() {
    let name = "a_payload_whose_destructor_panics_at_the_threads_end_does_not_end_the_process";
    let ended = child::run(name, || {
        let run = || {
            let child = spawn(|()| {
                let _ending = caught(|| main().switch(()));
                std::panic::resume_unwind(Box::new(Bomb))
            });
            let _: () = child.typed::<(), ()>().switch(());
            std::mem::forget(child);
        };
        assert!(std::thread::spawn(run).join().is_ok());
        println!("goes on");
    });
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(ended.stdout.contains("bomb\ngoes on\n"), "{ended:?}");
}

#[test]
fn a_payload_whose_destructor_panics_can_be_replaced_by_another() {
    let name = "a_payload_whose_destructor_panics_can_be_replaced_by_another";
    let ended = child::run(name, || {
        let closure = OnDrop(|| panic_with("a closure's destructor"));
        let parent = spawn(move |()| drop(closure));
        let child = spawn_under(&parent, |()| std::panic::resume_unwind(Box::new(Bomb)));
        drop(parent);
        println!("{}", thrown_text::<(), _>(child.typed::<(), ()>().try_switch(())));
    });
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(ended.stdout.contains("bomb\na closure's destructor\n"), "{ended:?}");
}
