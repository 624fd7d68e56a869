//! What the integration tests share: makers of greenlets, counters of drops, and tests that need a
//! process of their own. Nothing here may depend on the target.
#![allow(dead_code)] // each test binary uses its own part of it

pub mod child;

use greenlet::{AnyGreenlet, Generator, Greenlet, Payload, Refused, SwitchError, Yielder};
use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::hint::black_box;
use std::rc::Rc;

/// A child of the current greenlet.
pub fn spawn<I: 'static, O: 'static>(body: impl FnOnce(I) -> O + 'static) -> Greenlet<I, O> {
    // SAFETY: the tests keep no pointers into the frames of their greenlets.
    unsafe { Greenlet::new(body) }
}

/// A child of `parent`.
pub fn spawn_under<I: 'static, O: 'static>(
    parent: &AnyGreenlet,
    body: impl FnOnce(I) -> O + 'static,
) -> Greenlet<I, O> {
    // SAFETY: as in `spawn`.
    unsafe { Greenlet::with_parent(parent, body) }
}

/// A generator.
pub fn generator<T: 'static>(body: impl FnOnce(&Yielder<T>) + 'static) -> Generator<T> {
    // SAFETY: as in `spawn`.
    unsafe { Generator::new(body) }
}

/// This thread's main greenlet, as one that is sent nothing, by code that gets nothing.
pub fn main() -> Greenlet<(), ()> {
    AnyGreenlet::main().typed()
}

/// Panics with this text, without the message on the standard error.
pub fn panic_with(text: &'static str) -> ! {
    std::panic::resume_unwind(Box::new(text))
}

/// What a switch that must have been answered by a throw was thrown.
#[track_caller]
pub fn thrown<O: Debug, I>(answer: Result<O, SwitchError<I>>) -> Payload {
    match answer {
        Err(SwitchError::Thrown(payload)) => payload,
        other => panic!("nothing was thrown: {other:?}"),
    }
}

/// The same, for a payload that is a text.
#[track_caller]
pub fn thrown_text<O: Debug, I>(answer: Result<O, SwitchError<I>>) -> &'static str {
    thrown(answer).downcast_ref::<&'static str>().expect("the payload is a text")
}

/// Why a switch was refused, and the value that came back.
#[track_caller]
pub fn refused<O: Debug, I>(answer: Result<O, SwitchError<I>>) -> (Refused, I) {
    match answer {
        Err(SwitchError::Refused(why, value)) => (why, value),
        other => panic!("not refused: {other:?}"),
    }
}

/// What `body` panics with.
#[track_caller]
pub fn caught<O: Debug>(body: impl FnOnce() -> O) -> Payload {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).expect_err("nothing was thrown")
}

/// Counts how often its tokens are dropped. A token that is dropped twice shows as a count too high.
#[derive(Clone, Default)]
pub struct Drops(Rc<Cell<usize>>);

impl Drops {
    pub fn new() -> Drops {
        Drops::default()
    }

    pub fn token(&self) -> Token {
        Token(self.clone())
    }

    pub fn count(&self) -> usize {
        self.0.get()
    }
}

/// Counts its drop.
pub struct Token(Drops);

impl Drop for Token {
    fn drop(&mut self) {
        self.0.0.set(self.0.0.get() + 1);
    }
}

impl Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// Runs a closure when it is dropped.
pub struct OnDrop<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A list that several greenlets write to.
pub struct Log<T>(Rc<RefCell<Vec<T>>>);

impl<T> Log<T> {
    pub fn new() -> Log<T> {
        Log(Rc::default())
    }

    pub fn push(&self, entry: impl Into<T>) {
        self.0.borrow_mut().push(entry.into());
    }

    /// What was written since the last `take`.
    pub fn take(&self) -> Vec<T> {
        self.0.take()
    }
}

impl<T> Clone for Log<T> {
    fn clone(&self) -> Self {
        Log(self.0.clone())
    }
}

/// A cell that several greenlets share, for what can only be filled in later.
pub struct Later<T>(Rc<RefCell<Option<T>>>);

impl<T: Clone> Later<T> {
    pub fn new() -> Later<T> {
        Later(Rc::default())
    }

    pub fn set(&self, value: T) {
        *self.0.borrow_mut() = Some(value);
    }

    pub fn get(&self) -> T {
        self.0.borrow().clone().expect("it has been set")
    }

    pub fn take(&self) -> Option<T> {
        self.0.take()
    }
}

impl<T> Clone for Later<T> {
    fn clone(&self) -> Self {
        Later(self.0.clone())
    }
}

/// Calls `body` from `depth` more frames down, each of which holds a pattern that is compared afterwards.
#[inline(never)]
pub fn deep<R>(depth: usize, body: impl FnOnce() -> R) -> R {
    let pattern = black_box([depth ^ 0x5a5a, !depth, depth.wrapping_mul(0x9e37_79b1)]);
    let result = if depth == 0 { body() } else { deep_boxed(depth - 1, body) };
    assert_eq!(black_box(pattern), [depth ^ 0x5a5a, !depth, depth.wrapping_mul(0x9e37_79b1)]);
    result
}

/// Breaks the recursion of types in `deep`, and keeps the compiler from making a loop of it.
#[inline(never)]
fn deep_boxed<R>(depth: usize, body: impl FnOnce() -> R) -> R {
    let mut body = Some(body);
    let mut result = None;
    deep_dyn(depth, &mut || result = Some((body.take().unwrap())()));
    result.unwrap()
}

#[inline(never)]
fn deep_dyn(depth: usize, body: &mut dyn FnMut()) {
    let pattern = black_box([depth ^ 0x5a5a, !depth, depth.wrapping_mul(0x9e37_79b1)]);
    if depth == 0 {
        body();
    } else {
        deep_dyn(black_box(depth - 1), body);
    }
    assert_eq!(black_box(pattern), [depth ^ 0x5a5a, !depth, depth.wrapping_mul(0x9e37_79b1)]);
}

/// Overwrites a stretch of the greenlets' stack: a greenlet that begins at its top and goes `depth` frames down.
pub fn overwrite(depth: usize) {
    let other = spawn_under(&AnyGreenlet::main(), move |()| deep(depth, || ()));
    let here = AnyGreenlet::current();
    other.set_parent(&here).unwrap();
    other.switch(());
}
