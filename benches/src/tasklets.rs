//! Tasklets: a value over a channel, a turn, a whole life.

use crate::Run;
use greenlet::tasklet::{self, Channel, Preference, Select, Tasklet};
use std::hint::black_box;

fn spawn<R: 'static>(body: impl FnOnce() -> R + 'static) -> Tasklet<R> {
    // SAFETY: nobody reaches into the frames of the tasklets here.
    unsafe { tasklet::spawn(body) }
}

/// One sends `n` values, another receives them; main waits. An operation is one send with its receive.
pub fn channel(preference: Preference) -> Run {
    let channel = Channel::with_preference(preference);
    let orders = Channel::<u64>::new();
    let (sender, received, receiver) = (channel.clone(), orders.clone(), channel.clone());
    spawn(move || {
        for n in &received {
            for value in 0..n {
                sender.send(black_box(value)).unwrap();
            }
        }
    });
    let done = Channel::<()>::new();
    let (announce, counts) = (done.clone(), Channel::<u64>::new());
    let counted = counts.clone();
    spawn(move || {
        for n in &counted {
            for _ in 0..n {
                black_box(receiver.receive().unwrap());
            }
            announce.send(()).unwrap();
        }
    });
    Box::new(move |n| {
        counts.send(n).unwrap();
        orders.send(n).unwrap();
        done.receive().unwrap();
    })
}

/// Main sends to a tasklet that receives from one of two channels by a select.
pub fn select() -> Run {
    let (a, b) = (Channel::<u64>::new(), Channel::<u64>::new());
    let channel = a.clone();
    spawn(move || {
        while Select::new()
            .receive(&b, |value| value.is_ok())
            .receive(&a, |value| black_box(value).is_ok())
            .wait()
            .unwrap()
        {}
    });
    tasklet::run();
    Box::new(move |n| {
        for value in 0..n {
            channel.send(black_box(value)).unwrap();
            tasklet::schedule();
        }
    })
}

/// So many give their turn away; an operation is one turn.
pub fn turns(count: u64) -> Run {
    /// Who never ends is killed when the case is over.
    struct Killing(Vec<Tasklet>);
    impl Drop for Killing {
        fn drop(&mut self) {
            self.0.iter().for_each(|tasklet| tasklet.kill().unwrap());
        }
    }
    let endless = || {
        loop {
            tasklet::schedule();
        }
    };
    let all = Killing((0..count).map(|_| spawn(endless)).collect());
    Box::new(move |n| {
        let _all = &all;
        for _ in 0..n.div_ceil(count + 1) {
            tasklet::schedule();
        }
    })
}

/// Spawned, run, finished; its handle is dropped before it runs.
pub fn life() -> Run {
    Box::new(|n| {
        for value in 0..n {
            drop(spawn(move || black_box(value)));
            tasklet::schedule();
        }
    })
}

/// The same, joined.
pub fn join() -> Run {
    Box::new(|n| {
        for value in 0..n {
            black_box(spawn(move || black_box(value)).join().unwrap());
        }
    })
}

/// A thousand at a time.
pub fn lives() -> Run {
    Box::new(|n| {
        let mut left = n;
        while left > 0 {
            let some = left.min(1000);
            for value in 0..some {
                drop(spawn(move || black_box(value)));
            }
            tasklet::run();
            left -= some;
        }
    })
}

/// One that waits at a channel of its own.
pub fn waiting() {
    let channel = Channel::<u64>::new();
    drop(spawn(move || channel.receive().is_ok()));
    tasklet::schedule();
}

/// One that waits to be inserted.
pub fn paused() {
    std::mem::forget(spawn(|| tasklet::pause().is_ok()));
    tasklet::schedule();
}
