//! What destructors may do at the worst moments: while a greenlet ends, while another is finished for a payload that passes,
//! and while a thread ends. Freed memory is overwritten here, so that a use of it shows.
#![cfg(feature = "std")]

mod common;
use common::{
    Drops, Later, OnDrop, caught, child, generator, main, panic_with, spawn, spawn_under, thrown,
    thrown_text,
};
use greenlet::{AnyGreenlet, Greenlet, WrongResult, payload_text, set_trace};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::RefCell;
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
