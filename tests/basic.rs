//! Greenlets from outside: values, parents, panics, kills, one test for each thing that is promised.
use greenlet::*;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

fn spawn<I: 'static, O: 'static>(f: impl FnOnce(I) -> O + 'static) -> Greenlet<I, O> {
    // SAFETY: the closures of this file keep no pointers into their frames.
    unsafe { Greenlet::new(f) }
}

#[test]
fn values_go_both_ways() {
    let main = Greenlet::<String, u32>::current();
    let g = spawn(move |first: u32| {
        let second = main.switch(format!("got {first}"));
        format!("then {second}")
    });
    assert!(!g.is_started());
    assert_eq!(g.switch(1), "got 1");
    assert!(g.is_active());
    assert_eq!(g.switch(2), "then 2");
    assert!(g.is_finished());
    assert!(matches!(g.try_switch(3), Err(SwitchError::Refused(Refused::Finished, 3))));
}

#[test]
fn a_panic_goes_on_in_the_parent() {
    let g = spawn(|()| -> () { std::panic::resume_unwind(Box::new("boom")) });
    match g.try_switch(()) {
        Err(SwitchError::Thrown(p)) => assert_eq!(payload_text(&p), "boom"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn dropping_the_last_handle_runs_destructors() {
    struct D(Rc<Cell<u32>>);
    impl Drop for D { fn drop(&mut self) { self.0.set(self.0.get() + 1) } }
    let n = Rc::new(Cell::new(0));
    let d = D(n.clone());
    let main = Greenlet::<(), ()>::current();
    let g = spawn(move |()| { let _d = d; main.switch(()); });
    g.switch(());
    assert_eq!(n.get(), 0);
    drop(g);
    assert_eq!(n.get(), 1);
}

#[test]
fn generators_nest() {
    let inner = |n: u32| unsafe { Generator::new(move |y: &Yielder<u32>| for i in 0..n { y.yield_(i) }) };
    let outer = unsafe { Generator::new(move |y: &Yielder<u32>| for i in 0..4 { for j in inner(i) { y.yield_(10 * i + j) } }) };
    assert_eq!(outer.collect::<Vec<_>>(), [10, 20, 21, 30, 31, 32]);
}

#[test]
fn peers() {
    let log = Rc::new(RefCell::new(vec![]));
    let main = Greenlet::<(), ()>::current();
    let b: Rc<RefCell<Option<Greenlet<u32, u32>>>> = Rc::default();
    let (l, bb, ) = (log.clone(), b.clone());
    let a = spawn(move |x: u32| { let b = bb.borrow().clone().unwrap(); let mut x = x; for _ in 0..5 { l.borrow_mut().push(x); x = b.switch(x + 1); } x });
    let (l, aa) = (log.clone(), a.clone());
    *b.borrow_mut() = Some(spawn(move |x: u32| { let mut x = x; loop { l.borrow_mut().push(x); x = aa.switch(x + 1); } }));
    let r = a.switch(0);
    assert_eq!(r, 10);
    let _ = main;
    assert_eq!(*log.borrow(), (0..10).collect::<Vec<_>>());
}
