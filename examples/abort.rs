//! What `panic = "abort"` changes, shown and asserted:
//!
//! ```text
//! cargo run --profile abort --example abort      and the same with --release, where panics unwind
//! ```
//!
//! Where a panic ends the process nothing can be unwound. So a suspended greenlet that is killed or dropped gives its
//! frames up: its destructors do not run, what it owns is leaked, and the process goes on. All else is the same.

use greenlet::{AnyGreenlet, Generator, Greenlet, Refused, SwitchError, Yielder, payload_text};
use std::cell::Cell;
use std::rc::Rc;

/// Whether panics unwind in this program.
const UNWINDS: bool = cfg!(panic = "unwind");

/// Counts its drop.
struct Token(Rc<Cell<u32>>);

impl Drop for Token {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

fn spawn<I: 'static, O: 'static>(body: impl FnOnce(I) -> O + 'static) -> Greenlet<I, O> {
    // SAFETY: nothing outside points into the frames of the closures of this program.
    unsafe { Greenlet::new(body) }
}

/// A greenlet that is suspended with a token in its frames.
fn suspended(drops: &Rc<Cell<u32>>) -> Greenlet {
    let token = Token(drops.clone());
    let child = spawn(move |()| {
        let _token = token;
        AnyGreenlet::main().typed::<(), ()>().switch(());
    });
    child.switch(());
    child
}

fn values_go_both_ways() {
    let main = Greenlet::<String, u32>::current();
    let child = spawn(move |first: u32| {
        let second = main.switch(format!("got {first}"));
        format!("then {second}")
    });
    assert_eq!(child.switch(1), "got 1");
    assert_eq!(child.switch(2), "then 2");
    assert!(matches!(child.try_switch(3), Err(SwitchError::Refused(Refused::Finished, 3))));
    println!("switching: values go both ways, misuse is refused with the value");
}

fn generators_yield(drops: &Rc<Cell<u32>>) {
    // SAFETY: as in `spawn`.
    let numbers =
        unsafe { Generator::new(|out: &Yielder<u32>| (0..5).for_each(|n| out.yield_(n))) };
    assert_eq!(numbers.sum::<u32>(), 10);
    let token = Token(drops.clone());
    let endless = move |out: &Yielder<u32>| {
        let _token = token;
        (0..u32::MAX).for_each(|n| out.yield_(n));
    };
    // SAFETY: as in `spawn`.
    let mut endless = unsafe { Generator::new(endless) };
    let before = drops.get();
    assert_eq!(endless.by_ref().take(3).last(), Some(2));
    drop(endless);
    assert_eq!(drops.get() - before, u32::from(UNWINDS));
    println!(
        "generators: they yield; one that is dropped {}",
        if UNWINDS { "is unwound" } else { "leaks" }
    );
}

fn payloads_are_values() {
    // Whoever takes a payload as a value is not unwound by it, so this works in both.
    let child = spawn(|()| match AnyGreenlet::main().typed::<(), ()>().try_switch(()) {
        Err(SwitchError::Thrown(payload)) => payload_text(&payload).to_string(),
        other => format!("{other:?}"),
    });
    child.typed::<(), ()>().switch(());
    assert_eq!(child.throw(Box::new("as a value")), "as a value");
    // One that has not begun is finished by a throw, and its parent takes the payload.
    let unstarted = spawn(|()| ());
    assert!(matches!(unstarted.try_throw(Box::new("early")), Err(SwitchError::Thrown(_))));
    assert!(unstarted.is_finished());
    println!("throwing: a payload is taken as a value by try_switch");
}

fn kills_and_drops(drops: &Rc<Cell<u32>>) {
    for kill in [true, false] {
        let before = drops.get();
        let child = suspended(drops);
        let weak = child.clone();
        if kill {
            child.kill().expect("a suspended greenlet can be killed");
            assert!(weak.is_finished());
        }
        drop((child, weak));
        assert_eq!(drops.get() - before, u32::from(UNWINDS));
    }
    // One that has not begun has no frames: its closure is dropped in both.
    let before = drops.get();
    let token = Token(drops.clone());
    drop(spawn(move |()| drop(token)));
    assert_eq!(drops.get() - before, 1);
    let what = if UNWINDS {
        "runs its destructors"
    } else {
        "gives up its frames, what they own is leaked"
    };
    println!("killing, and dropping the last handle of a suspended greenlet: {what}");
}

fn goes_on_afterwards(drops: &Rc<Cell<u32>>) {
    // What was given up is in nobody's way, however often.
    for n in 0..1000 {
        let others = [suspended(drops), suspended(drops), suspended(drops)];
        others[n % 3].kill().expect("a suspended greenlet can be killed");
        others.iter().filter(|other| other.is_active()).for_each(|other| other.switch(()));
        assert!(others.iter().all(|other| other.is_finished()));
    }
    println!("the process goes on: 3000 more greenlets, a third of them killed");
}

fn a_thread_ends_with_suspended_greenlets() {
    let thread = std::thread::spawn(|| std::mem::forget(suspended(&Rc::default())));
    thread.join().expect("the thread has ended");
    println!(
        "a thread ends with a suspended greenlet: {}",
        if UNWINDS { "unwound" } else { "given up" }
    );
}

fn main() {
    println!("panics {} in this program", if UNWINDS { "unwind" } else { "abort" });
    let drops = Rc::new(Cell::new(0));
    values_go_both_ways();
    generators_yield(&drops);
    payloads_are_values();
    kills_and_drops(&drops);
    goes_on_afterwards(&drops);
    a_thread_ends_with_suspended_greenlets();
    if UNWINDS {
        let child = spawn(|()| std::panic::resume_unwind(Box::new("boom")));
        let answer: Result<(), _> = child.try_switch(());
        assert!(
            matches!(answer, Err(SwitchError::Thrown(payload)) if payload_text(&payload) == "boom")
        );
        println!("a panic goes on in the parent");
    }
}
