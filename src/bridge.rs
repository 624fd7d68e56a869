//! From synchronous code to asynchronous: a greenlet as a future, which awaits other futures from any depth of calls.
//!
//! ```text
//!   executor ── poll ──► Enter ── switch ──► greenlet: f() ─► … ─► wait(future)
//!      ▲                  │  ▲                                          │
//!      └── Pending ───────┘  └────────── switch: poll this for me ◄─────┘
//! ```
//!
//! Two rules make it sound. The awaited future lives in the heap and is polled by [`Enter`], in the frames of whoever polls
//! that: it may register where it is. And who polls is the thread's main greenlet, whose frames never move: an executor's wait lists may
//! point into them.
//!
//! It must never know an executor.

use crate::error::{Payload, Refused, SwitchError};
use crate::greenlet::{AnyGreenlet, Greenlet};
use crate::unwind;
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

/// What the bridged greenlet is sent.
struct Resume;

/// What [`Enter`] waits for: there is a future to be polled, or the closure is over.
struct Left;

type Awaited = Pin<Box<dyn Future<Output = ()>>>;

/// What the two sides share.
#[derive(Default)]
struct Shared {
    /// What is to be polled.
    awaited: RefCell<Option<Awaited>>,
    /// Who waits for it: the bridged greenlet, or one that it has called.
    waits: RefCell<Option<AnyGreenlet>>,
}

std::thread_local! {
    /// The bridge whose greenlet runs.
    static CURRENT: RefCell<Option<Rc<Shared>>> = const { RefCell::new(None) };
}

/// A closure in a greenlet of its own, as a future: what it returns is the output. See [`enter`].
#[must_use = "futures do nothing unless they are polled"]
pub struct Enter<R> {
    greenlet: Greenlet<Resume, Left>,
    shared: Rc<Shared>,
    result: Rc<Cell<Option<R>>>,
}

/// A future that runs `body` in a greenlet. Inside, at any depth of calls, [`wait`] awaits other futures: the
/// executor runs others meanwhile.
///
/// ```
/// use greenlet::bridge;
/// use std::task::{Context, Poll, Waker};
///
/// /// Synchronous, as a library's callback may be.
/// fn sum(of: &[u32]) -> u32 {
///     of.iter().map(|&n| bridge::wait(async move { n * n })).sum()
/// }
///
/// // SAFETY: nothing outside points into the frames of `sum`.
/// let mut future = std::pin::pin!(unsafe { bridge::enter(|| sum(&[1, 2, 3])) });
/// let output = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
/// assert_eq!(output, Poll::Ready(14));
/// ```
///
/// It starts when it is first polled. A panic of `body` continues in the one that polls, and one of an awaited future where it is
/// awaited. If the future is dropped before it is ready, what is awaited is dropped, and the greenlet is
/// unwound, so that its destructors run.
///
/// It stays on its thread, as greenlets do: an executor of one thread it is (tokio's `current_thread` and `LocalSet`, say).
///
/// # Safety
///
/// As for [`Greenlet::new`]: **nothing outside the greenlet reaches into its stack frames while it is suspended.** The
/// futures that it awaits do not lie there.
///
/// # Panics
///
/// As [`Greenlet::new`].
pub unsafe fn enter<R: 'static>(body: impl FnOnce() -> R + 'static) -> Enter<R> {
    let result = Rc::new(Cell::new(None));
    let put = result.clone();
    let run = move |Resume| {
        put.set(Some(body()));
        Left
    };
    // SAFETY: the caller's promise.
    let greenlet = unsafe { Greenlet::with_parent(&AnyGreenlet::main(), run) };
    Enter { greenlet, shared: Rc::default(), result }
}

impl<R> Enter<R> {
    /// The greenlet that the closure runs in.
    pub fn greenlet(&self) -> &AnyGreenlet {
        &self.greenlet
    }

    /// Lets the greenlet run until it waits or is over. `payload` is thrown where it waits.
    fn resume(&self, payload: Option<Payload>) {
        /// The bridge is again the one that it was, however this is left.
        struct Back(Option<Rc<Shared>>);
        impl Drop for Back {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let waits = self.shared.waits.take();
        let waits = waits.as_ref().unwrap_or(&self.greenlet).typed::<Resume, Left>();
        let _back = Back(CURRENT.replace(Some(self.shared.clone())));
        let Left = match payload {
            None => waits.switch(Resume),
            Some(payload) => waits.throw(payload),
        };
    }
}

impl<R> Future for Enter<R> {
    type Output = R;

    /// # Panics
    ///
    /// In another greenlet than its thread's main one, whose frames might move while they are being pointed to. After it was ready. Goes on with a
    /// panic of the closure.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<R> {
        let this = self.get_mut();
        assert!(
            AnyGreenlet::current().is_main(),
            "a bridge is polled in its thread's main greenlet only"
        );
        assert!(!this.greenlet.is_finished(), "a bridge was polled after its end");
        loop {
            // Taken out while it is polled: nothing is borrowed while the user's code runs.
            let awaited = this.shared.awaited.take();
            let payload = match awaited {
                None => None,
                Some(mut awaited) => match unwind::catch(|| awaited.as_mut().poll(context)) {
                    Ok(Poll::Pending) => {
                        *this.shared.awaited.borrow_mut() = Some(awaited);
                        return Poll::Pending;
                    }
                    Ok(Poll::Ready(())) => None,
                    Err(payload) => Some(payload),
                },
            };
            this.resume(payload);
            if let Some(result) = this.result.take() {
                return Poll::Ready(result);
            }
            assert!(!this.greenlet.is_finished(), "a bridge's greenlet was killed");
        }
    }
}

impl<R> Drop for Enter<R> {
    /// What is awaited is dropped, and the greenlet unwound.
    fn drop(&mut self) {
        drop(self.shared.awaited.take());
        drop(self.shared.waits.take());
        if !unwind::panicking() {
            // Whoever else has a handle does not keep it alive. If it is refused, the last handle does the rest.
            let _ = self.greenlet.kill();
        }
    }
}

impl<R> fmt::Debug for Enter<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Enter").field(self.greenlet()).finish()
    }
}

/// Why nothing was awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitError {
    /// The code does not run inside [`enter`].
    Outside,
    /// A panic is unwinding, the trace hook is running, or there is no memory.
    Refused(Refused),
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitError::Outside => f.write_str("nothing can be awaited outside a bridge"),
            WaitError::Refused(why) => why.fmt(f),
        }
    }
}

impl core::error::Error for WaitError {}

/// Awaits `future` in synchronous code that runs inside [`enter`]: the greenlet is suspended until it is ready.
///
/// The future is moved to the heap, so it cannot borrow from the frames of the caller, which are away meanwhile:
///
/// ```compile_fail,E0597
/// let number = 5;
/// let borrowed = &number;
/// greenlet::bridge::wait(async move { *borrowed });
/// ```
///
/// # Panics
///
/// Goes on with a panic of the future. Panics where [`try_wait`] has an error. Unwinds when the bridge is dropped.
#[track_caller]
pub fn wait<F>(future: F) -> F::Output
where
    F: Future + 'static,
    F::Output: 'static,
{
    match try_wait(future) {
        Ok(output) => output,
        Err(why) => panic!("{why}"),
    }
}

/// As [`wait`], where that must not panic.
///
/// # Errors
///
/// [`WaitError`]; the future was dropped.
///
/// # Panics
///
/// Goes on with a panic of the future. Unwinds when the bridge is dropped. Ends the process, as [`Box::new`] does, if there is no memory
/// for the future; the error is for the switch.
pub fn try_wait<F>(future: F) -> Result<F::Output, WaitError>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let current = CURRENT.try_with(|current| current.borrow().clone());
    let Ok(Some(shared)) = current else { return Err(WaitError::Outside) };
    let here = AnyGreenlet::current();
    if here.is_main() {
        return Err(WaitError::Outside); // another future that the same executor polls meanwhile
    }
    let output = Rc::new(Cell::new(None));
    let put = output.clone();
    let awaited: Awaited = Box::pin(async move { put.set(Some(future.await)) });
    *shared.awaited.borrow_mut() = Some(awaited);
    *shared.waits.borrow_mut() = Some(here);
    match AnyGreenlet::main().typed::<Left, Resume>().try_switch(Left) {
        Ok(Resume) => output.take().ok_or(WaitError::Outside),
        Err(SwitchError::Thrown(payload)) => unwind::resume(payload),
        Err(SwitchError::Refused(why, Left)) => {
            let awaited = shared.awaited.take();
            shared.waits.take();
            drop(awaited);
            Err(WaitError::Refused(why))
        }
    }
}
