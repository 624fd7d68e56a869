//! Main's frames never move: what is lent from them is at its address whoever runs.
//!
//! Every test here reaches into main's frames by pointer *while a greenlet runs* that was begun from shallower
//! frames than those that the pointer leads into. Were greenlets on the native stack, those frames would be off it then, and the
//! greenlet's own in their place; each of the tests fails there (tried).
#![cfg(feature = "std")]

mod common;
use common::{deep, generator, main, spawn};
use greenlet::{Generator, Greenlet};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::hint::black_box;
use std::marker::PhantomPinned;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

/// Deep enough that a greenlet's frames cover those of whoever asks it.
const BODY: usize = 40;

/// A generator that has begun, and whose frames are deep: it yields in step with two barriers.
fn begun(meet: Arc<Barrier>, rounds: usize) -> Generator<usize> {
    let mut numbers = generator(move |out| {
        out.yield_(0);
        for round in 1..=rounds {
            deep(BODY, || {
                meet.wait(); // now the others write …
                meet.wait(); // … and have written
            });
            out.yield_(round);
        }
    });
    assert_eq!(numbers.next(), Some(0));
    numbers
}

#[test]
fn scoped_threads_write_into_mains_frames_while_a_generator_runs() {
    const ROUNDS: usize = 5;
    const THREADS: usize = 3;
    for depth in [0, 1, 5, 30] {
        let meet = Arc::new(Barrier::new(THREADS + 1));
        let mut numbers = begun(meet.clone(), ROUNDS);
        deep(depth, || {
            let mut areas = [[0usize; 50]; THREADS];
            let sum = AtomicUsize::new(0);
            let before = black_box([0x1234usize; 20]);
            thread::scope(|scope| {
                for (n, area) in areas.iter_mut().enumerate() {
                    let (meet, sum) = (&meet, &sum);
                    scope.spawn(move || {
                        for round in 1..=ROUNDS {
                            meet.wait();
                            area.fill(n * 1000 + round);
                            sum.fetch_add(round, SeqCst);
                            meet.wait();
                        }
                    });
                }
                for round in 1..=ROUNDS {
                    assert_eq!(numbers.next(), Some(round));
                    assert_eq!(sum.load(SeqCst), THREADS * round * (round + 1) / 2);
                }
            });
            for (n, area) in areas.iter().enumerate() {
                assert_eq!(*area, [n * 1000 + ROUNDS; 50]);
            }
            assert_eq!(black_box(before), [0x1234; 20]);
        });
        assert_eq!(numbers.next(), None);
    }
}

#[test]
fn a_scoped_thread_reads_mains_frames_while_a_greenlet_runs() {
    let (ask, asked) = mpsc::channel::<()>();
    let (answer, answered) = mpsc::channel::<u64>();
    let child: Greenlet = spawn(move |()| {
        main().switch(());
        loop {
            let sum = deep(BODY, || {
                ask.send(()).unwrap();
                answered.recv().unwrap()
            });
            main().typed::<u64, ()>().switch(sum);
        }
    });
    child.switch(());
    deep(12, || {
        let numbers: [Cell<u64>; 64] = std::array::from_fn(|n| Cell::new(n as u64));
        let pointer = numbers.as_ptr().expose_provenance();
        let reader = thread::spawn(move || {
            while asked.recv().is_ok() {
                // SAFETY: main waits for the answer, in the frame of `numbers`, and nobody writes meanwhile.
                let sum = (0..64).map(|n| unsafe { at::<u64>(pointer, n).read_volatile() }).sum();
                answer.send(sum).unwrap();
            }
        });
        for round in 0..10 {
            numbers[0].set(round * 1000);
            let sum = child.typed::<(), u64>().switch(());
            assert_eq!(sum, (1..64).sum::<u64>() + round * 1000);
        }
        child.kill().unwrap();
        reader.join().unwrap();
    });
}

/// The `n`th of the values at an address.
fn at<T>(address: usize, n: usize) -> *mut T {
    std::ptr::with_exposed_provenance_mut::<T>(address).wrapping_add(n)
}

/// A future that puts a pointer to itself into a wait list, as those of async runtimes do.
struct Waits {
    list: Rc<RefCell<Vec<*const Waits>>>,
    value: Cell<Option<u32>>,
    listed: Cell<bool>,
    _pinned: PhantomPinned,
}

impl Future for Waits {
    type Output = u32;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u32> {
        let this = self.into_ref().get_ref();
        if !this.listed.replace(true) {
            this.list.borrow_mut().push(this);
        }
        match this.value.get() {
            Some(value) => Poll::Ready(value),
            None => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn a_future_pinned_in_mains_frames_is_completed_by_a_greenlet() {
    let list = Rc::new(RefCell::new(Vec::<*const Waits>::new()));
    let waiting = list.clone();
    let source: Greenlet = spawn(move |()| {
        main().switch(());
        let mut value = 0;
        loop {
            deep(BODY, || {
                for waits in waiting.take() {
                    value += 1;
                    // SAFETY: it is pinned in a frame of main's that is not left before it is complete.
                    unsafe { &*waits }.value.set(Some(value));
                }
            });
            main().switch(());
        }
    });
    source.switch(());
    let wakes = Arc::new(Wakes(AtomicUsize::new(0)));
    let waker = Waker::from(wakes.clone());
    let mut expected = 0;
    for depth in [0, 1, 8, 60] {
        deep(depth, || {
            let new = || Waits {
                list: list.clone(),
                value: Cell::new(None),
                listed: Cell::new(false),
                _pinned: PhantomPinned,
            };
            let (mut first, mut second) = (pin!(new()), pin!(new()));
            let mut both = pin!(async { (first.as_mut().await, second.as_mut().await) });
            let mut cx = Context::from_waker(&waker);
            assert_eq!(both.as_mut().poll(&mut cx), Poll::Pending);
            source.switch(());
            assert_eq!(both.as_mut().poll(&mut cx), Poll::Pending);
            source.switch(());
            expected += 2;
            assert_eq!(both.as_mut().poll(&mut cx), Poll::Ready((expected - 1, expected)));
        });
    }
    assert_eq!(wakes.0.load(SeqCst), 8);
}

#[test]
fn pointers_into_mains_frames_hold_in_greenlets_begun_at_any_depth() {
    const SIZE: usize = 100;
    for begin in [0, 3, 25] {
        for resume in [0, 2, 10, 70] {
            // Doubles what it finds at the address that it is sent.
            let child = deep(begin, || {
                let child = spawn(|()| -> () {
                    let mut address = main().typed::<(), usize>().switch(());
                    loop {
                        deep(BODY, || {
                            for n in 0..SIZE {
                                let place = at::<usize>(address, n);
                                // SAFETY: main lends an array in its frame, and looks at it when it is back.
                                unsafe { place.write_volatile(place.read_volatile() * 2) };
                            }
                        });
                        address = main().typed::<(), usize>().switch(());
                    }
                });
                child.switch(());
                child.typed::<usize, ()>()
            });
            deep(resume, || {
                let mut numbers: [usize; SIZE] = std::array::from_fn(|n| n);
                for _ in 0..3 {
                    child.switch(black_box(&mut numbers).as_mut_ptr().expose_provenance());
                }
                assert_eq!(*black_box(&numbers), std::array::from_fn(|n| n * 8));
            });
        }
    }
}

#[test]
fn a_reference_to_mains_frames_is_good_in_every_one_of_many_greenlets() {
    let address = Rc::new(Cell::new(0));
    let children: Vec<Greenlet> = (0..20)
        .map(|n| {
            let address = address.clone();
            let child = spawn(move |()| {
                loop {
                    main().switch(());
                    deep(BODY + n, || {
                        // SAFETY: main lends a counter in its frame to all of them, while it stays there.
                        unsafe { &*at::<Cell<usize>>(address.get(), 0) }.update(|sum| sum + n);
                    });
                }
            });
            child.switch(());
            child
        })
        .collect();
    deep(12, || {
        let shared = Cell::new(0usize);
        address.set((&raw const shared).expose_provenance());
        for round in 1..=10 {
            children.iter().for_each(|child| child.switch(()));
            assert_eq!(black_box(&shared).get(), round * 190);
        }
    });
}
