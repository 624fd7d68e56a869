//! The bridge: synchronous code that awaits futures, under an executor that is driven by hand: order, timeouts, cancellation.
#![cfg(feature = "std")]

mod common;
use common::{Drops, Log, caught, deep, generator, overwrite, panic_with};
use greenlet::bridge::{self, Enter, WaitError};
use greenlet::{AnyGreenlet, Refused, payload_text};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::marker::PhantomPinned;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

fn enter<R: 'static>(body: impl FnOnce() -> R + 'static) -> Enter<R> {
    // SAFETY: the tests keep no pointers into the frames of their greenlets.
    unsafe { bridge::enter(body) }
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// A clock that only moves when somebody says so, and its sleepers.
#[derive(Clone, Default)]
struct Clock(Rc<(Cell<u32>, Sleepers)>);

/// Who waits for what time.
type Sleepers = RefCell<Vec<(u32, Waker)>>;

impl Clock {
    /// Registers its waker, not more than once, as a real timer does.
    fn sleep(&self, ticks: u32) -> impl Future<Output = ()> + 'static {
        let (clock, until) = (self.clone(), self.0.0.get() + ticks);
        let mut registered = false;
        poll_fn(move |context| {
            if clock.0.0.get() >= until {
                return Poll::Ready(());
            }
            if !registered {
                clock.0.1.borrow_mut().push((until, context.waker().clone()));
                registered = true;
            }
            Poll::Pending
        })
    }

    fn tick(&self) {
        self.0.0.set(self.0.0.get() + 1);
        let now = self.0.0.get();
        let due: Vec<_> =
            self.0.1.borrow_mut().extract_if(.., |(until, _)| *until <= now).collect();
        due.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Polls who has been woken, in order, and lets the clock tick when nobody has. Returns how often it polled.
fn drive(clock: &Clock, tasks: Vec<Pin<Box<dyn Future<Output = ()>>>>) -> usize {
    let mut tasks: Vec<_> =
        tasks.into_iter().map(|task| (task, Arc::new(Flag(AtomicBool::new(true))))).collect();
    let mut polls = 0;
    while !tasks.is_empty() {
        let mut polled = false;
        tasks.retain_mut(|(task, flag)| {
            if !flag.0.swap(false, Ordering::SeqCst) {
                return true;
            }
            (polled, polls) = (true, polls + 1);
            let waker = Waker::from(flag.clone());
            task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
        });
        if !polled {
            clock.tick();
        }
    }
    polls
}

/// The first of the two that is ready.
async fn timeout<T>(clock: &Clock, ticks: u32, future: impl Future<Output = T>) -> Option<T> {
    let (mut future, mut sleep) = (pin!(future), pin!(clock.sleep(ticks)));
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => sleep.as_mut().poll(context).map(|()| None),
    })
    .await
}

#[test]
fn synchronous_code_awaits_from_any_depth_while_others_run() {
    let (clock, log) = (Clock::default(), Log::<String>::new());
    let task = |name: &'static str, ticks: u32| {
        let (clock, log) = (clock.clone(), log.clone());
        let bridge = enter(move || {
            for turn in 0..3 {
                deep(turn * 3, || bridge::wait(clock.sleep(ticks)));
                log.push(format!("{name} at {}", clock.0.0.get()));
            }
        });
        Box::pin(bridge) as Pin<Box<dyn Future<Output = ()>>>
    };
    let polls = drive(&clock, vec![task("a", 2), task("b", 3)]);
    let expected = ["a at 2", "b at 3", "a at 4", "a at 6", "b at 6", "b at 9"];
    assert_eq!(log.take(), expected);
    assert_eq!(polls, 8, "each was polled only when it had been woken");
}

#[test]
fn a_future_that_is_ready_costs_no_poll_of_the_bridge() {
    let mut sum = enter(|| (1..=100).map(|n| bridge::wait(async move { n })).sum::<u32>());
    assert_eq!(poll_once(&mut sum), Poll::Ready(5050));
}

#[test]
fn what_is_awaited_never_lies_on_the_greenlets_stack() {
    /// Looks whether it is where it was, and on which stack it is polled.
    struct Pinned(Option<usize>, usize, PhantomPinned);
    impl Future for Pinned {
        type Output = usize;
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<usize> {
            assert!(AnyGreenlet::current().is_main(), "polled in the frames of the executor");
            let here = (&raw const *self).addr();
            // SAFETY: nothing is moved.
            let this = unsafe { self.get_unchecked_mut() };
            assert_eq!(*this.0.get_or_insert(here), here);
            this.1 -= 1;
            if this.1 == 0 { Poll::Ready(here) } else { Poll::Pending }
        }
    }
    let mut future = enter(|| {
        let local = 0_u8;
        let frame = (&raw const local).addr();
        (frame, bridge::wait(Pinned(None, 4, PhantomPinned)))
    });
    for _ in 0..3 {
        assert!(poll_once(&mut future).is_pending());
        overwrite(20);
    }
    let Poll::Ready((frame, place)) = poll_once(&mut future) else { panic!() };
    assert!(frame.abs_diff(place) > 1 << 16, "{frame:#x} and {place:#x}");
}

#[test]
fn a_bridge_that_is_dropped_is_unwound_and_drops_what_it_awaits() {
    let drops = Drops::new();
    let (frames, future) = (drops.token(), drops.token());
    let mut waits = enter(move || {
        let _frames = frames;
        deep(5, || {
            bridge::wait(async move {
                let _future = future;
                std::future::pending::<()>().await
            })
        });
    });
    assert!(poll_once(&mut waits).is_pending());
    assert_eq!(drops.count(), 0);
    let handle = waits.greenlet().clone();
    drop(waits);
    assert_eq!(drops.count(), 2);
    assert!(handle.is_finished());

    let token = drops.token();
    drop(enter(move || drop(token)));
    assert_eq!(drops.count(), 3, "never polled");
}

#[test]
fn timeouts_cancel_synchronous_code() {
    let (clock, log, drops) = (Clock::default(), Log::<String>::new(), Drops::new());
    let (inner, token, out) = (clock.clone(), drops.token(), log.clone());
    let task = async move {
        let slow = enter({
            let clock = inner.clone();
            move || {
                let _token = token;
                bridge::wait(clock.sleep(100));
                "slow"
            }
        });
        out.push(format!("{:?}", timeout(&inner, 5, slow).await));
        let clock = inner.clone();
        let fast = enter(move || deep(2, || bridge::wait(clock.sleep(2))));
        out.push(format!("{:?}", timeout(&inner, 5, fast).await));
        // And the other way round: inside, with a timeout on what is awaited.
        let clock = inner.clone();
        let inside = enter(move || {
            let inner = clock.clone();
            bridge::wait(async move { timeout(&inner, 3, inner.sleep(50)).await })
        });
        out.push(format!("{:?}", inside.await));
    };
    drive(&clock, vec![Box::pin(task)]);
    assert_eq!(log.take(), ["None", "Some(())", "None"]);
    assert_eq!((drops.count(), clock.0.0.get()), (1, 10));
}

#[test]
fn bridges_nest() {
    let mut outer = enter(|| {
        let inner = enter(|| deep(3, || bridge::wait(async { 20 })) + 1);
        bridge::wait(async move { inner.await + 1 }) + bridge::wait(async { 20 })
    });
    assert_eq!(poll_once(&mut outer), Poll::Ready(42));
}

#[test]
fn generators_inside_a_bridge_may_wait() {
    let clock = Clock::default();
    let log = Log::<u32>::new();
    let (inner, out) = (clock.clone(), log.clone());
    let task = enter(move || {
        let ticks = generator(move |yielder| {
            for _ in 0..3 {
                bridge::wait(inner.sleep(2));
                yielder.yield_(inner.0.0.get());
            }
        });
        ticks.for_each(|tick| out.push(tick));
    });
    drive(&clock, vec![Box::pin(task)]);
    assert_eq!(log.take(), [2, 4, 6]);
}

#[test]
fn panics_go_both_ways() {
    let mut panics = enter(|| -> u32 { deep(3, || panic_with("inside")) });
    assert_eq!(payload_text(&caught(|| poll_once(&mut panics))), "inside");
    let mut catches = enter(|| {
        let payload = caught(|| bridge::wait(async { panic_with("in the future") }));
        payload_text(&payload).to_owned()
    });
    assert_eq!(poll_once(&mut catches), Poll::Ready("in the future".to_owned()));
}

#[test]
fn what_cannot_be_awaited_is_refused() {
    assert_eq!(bridge::try_wait(async { 1 }), Err(WaitError::Outside));
    assert_eq!(
        payload_text(&caught(|| bridge::wait(async {}))),
        "nothing can be awaited outside a bridge"
    );
    let mut refused = enter(|| {
        let result = Rc::new(Cell::new(None));
        let put = result.clone();
        let _ = caught(|| {
            let _on_drop = common::OnDrop(|| put.set(Some(bridge::try_wait(async {}))));
            panic_with("over")
        });
        result.take().unwrap()
    });
    let unwinding = Err(WaitError::Refused(Refused::Unwinding));
    assert_eq!(poll_once(&mut refused), Poll::Ready(unwinding));
    let payload = caught(|| poll_once(&mut refused));
    assert_eq!(payload_text(&payload), "a bridge was polled after its end");
    let elsewhere = common::spawn(|()| caught(|| poll_once(&mut enter(|| ()))));
    assert!(payload_text(&elsewhere.switch(())).contains("main greenlet only"));
    // A future that the executor polls while a bridge is suspended is not inside it.
    let mut inside = enter(|| bridge::wait(async { bridge::try_wait(async {}) }));
    assert_eq!(poll_once(&mut inside), Poll::Ready(Err(WaitError::Outside)));
}
