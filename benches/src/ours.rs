//! Greenlets to measure, over the engine and over the Rust API.

use crate::Run;
use crate::shape::{Api, How, below, deeper, turns};
use greenlet::raw::{Body, Greenlet as Record, Memory, Stack, Thread};
use greenlet::{AnyGreenlet, Generator, Greenlet, Yielder};
use std::ffi::c_void;
use std::hint::black_box;
use std::ptr;

/// How large the separate stack of a [`Machine`] is.
const STACK: usize = 512 << 10;

// ---- the engine

/// The engine with a separate stack. In the heap, and only ever reached by pointer.
pub struct Machine {
    pub thread: Thread,
    main: Record,
    stack: Stack,
    room: Vec<u128>,
}

impl Machine {
    pub fn new() -> *mut Machine {
        let this = Box::into_raw(Box::new(Machine {
            thread: Thread::new(Memory::GLOBAL),
            main: Record::new(),
            stack: Stack::new(),
            room: vec![0; STACK / size_of::<u128>()],
        }));
        // SAFETY: the box is freed by `free` only.
        unsafe {
            Thread::attach(&raw mut (*this).thread, &raw mut (*this).main);
            let (bottom, thread) = ((*this).room.as_mut_ptr().cast(), &raw mut (*this).thread);
            (*this).stack.attach(thread, bottom, STACK);
        }
        this
    }

    /// The record of main.
    ///
    /// # Safety
    ///
    /// `this` came from `new`.
    pub unsafe fn main(this: *mut Machine) -> *mut Record {
        // SAFETY: the caller's promise.
        unsafe { &raw mut (*this).main }
    }

    /// # Safety
    ///
    /// No greenlet of it is active.
    pub unsafe fn free(this: *mut Machine) {
        // SAFETY: it came from `new`.
        drop(unsafe { Box::from_raw(this) });
    }

    /// # Safety
    ///
    /// `this` came from `new`; `record` is new; main runs.
    pub unsafe fn start(this: *mut Machine, record: *mut Record, body: Body, word: *mut c_void) {
        // SAFETY: all are valid; the bodies here let nobody into their frames.
        unsafe {
            let (thread, stack) = (&raw mut (*this).thread, &raw mut (*this).stack);
            Thread::start(thread, record, stack, body, word).unwrap();
        }
    }
}

/// Two greenlets that switch to each other, A as often as main says, B without end.
struct RawPair {
    machine: *mut Machine,
    a: Record,
    b: Record,
    /// How many frames deeper than its bottom A switches.
    depth: usize,
}

impl RawPair {
    fn run<W, const D: usize, const OTHER: usize, const BYTES: usize>(depth: usize) -> Run
    where
        W: How<To = (*mut Thread, *mut Record)>,
    {
        /// Frees what the case has, when it is dropped.
        struct Owner(*mut RawPair);
        impl Drop for Owner {
            fn drop(&mut self) {
                // SAFETY: both are suspended, and their frames own nothing.
                unsafe {
                    let pair = self.0;
                    let thread = &raw mut (*(*pair).machine).thread;
                    Thread::release(thread, &raw mut (*pair).a).unwrap();
                    Thread::release(thread, &raw mut (*pair).b).unwrap();
                    Machine::free((*pair).machine);
                    drop(Box::from_raw(pair));
                }
            }
        }
        unsafe extern "C" fn a<W, const D: usize, const OTHER: usize, const BYTES: usize>(
            word: *mut c_void,
        ) -> !
        where
            W: How<To = (*mut Thread, *mut Record)>,
        {
            let pair: *mut RawPair = word.cast();
            // SAFETY: the pair is in the heap and outlives both.
            unsafe {
                let (thread, main) =
                    (&raw mut (*(*pair).machine).thread, &raw mut (*(*pair).machine).main);
                let other = (thread, &raw mut (*pair).b);
                deeper((*pair).depth, &mut || {
                    below::<BYTES, _>(|| {
                        Machine::start(
                            (*pair).machine,
                            other.1,
                            b::<W, D, OTHER, BYTES>,
                            pair.cast(),
                        );
                        loop {
                            let n = Thread::switch(thread, main, ptr::null_mut()).unwrap().addr();
                            turns::<W, D, 0>(other, n as u64);
                        }
                    })
                });
            }
            unreachable!()
        }
        unsafe extern "C" fn b<W, const D: usize, const OTHER: usize, const BYTES: usize>(
            word: *mut c_void,
        ) -> !
        where
            W: How<To = (*mut Thread, *mut Record)>,
        {
            let pair: *mut RawPair = word.cast();
            // SAFETY: as in `a`.
            unsafe {
                let other = (&raw mut (*(*pair).machine).thread, &raw mut (*pair).a);
                Thread::switch(other.0, other.1, ptr::null_mut()).unwrap();
                below::<BYTES, _>(|| turns::<W, D, OTHER>(other, u64::MAX));
            }
            unreachable!()
        }
        let machine = Machine::new();
        let pair = RawPair { machine, a: Record::new(), b: Record::new(), depth };
        let owner = Owner(Box::into_raw(Box::new(pair)));
        // SAFETY: the pair is in the heap until the owner goes.
        unsafe {
            Machine::start(machine, &raw mut (*owner.0).a, a::<W, D, OTHER, BYTES>, owner.0.cast())
        };
        Box::new(move |n| {
            let owner = &owner;
            // SAFETY: main runs.
            unsafe {
                let thread = &raw mut (*(*owner.0).machine).thread;
                let word = ptr::without_provenance_mut(n as usize);
                Thread::switch(thread, &raw mut (*owner.0).a, word).unwrap();
            }
        })
    }
}

/// A round trip of two greenlets of the engine, through the same `D` callers.
pub fn raw_same<W: How<To = (*mut Thread, *mut Record)>, const D: usize>() -> Run {
    RawPair::run::<W, D, 0, 0>(0)
}

/// The same through different callers.
pub fn raw_different<W: How<To = (*mut Thread, *mut Record)>, const D: usize>() -> Run {
    RawPair::run::<W, D, 1, 0>(0)
}

/// A frame of so many bytes on both sides: all of them are moved out and in.
pub fn raw_slice<W: How<To = (*mut Thread, *mut Record)>, const BYTES: usize>() -> Run {
    RawPair::run::<W, 0, 1, BYTES>(0)
}

/// B begins below `depth` frames of A, which nobody overlaps.
pub fn raw_depth<W: How<To = (*mut Thread, *mut Record)>>(depth: usize) -> Run {
    RawPair::run::<W, 0, 1, 0>(depth)
}

/// Main drives one greenlet of the engine on a separate stack: nothing is copied.
pub fn raw_generator<W: How<To = (*mut Thread, *mut Record)>>() -> Run {
    unsafe extern "C" fn body<W: How<To = (*mut Thread, *mut Record)>>(word: *mut c_void) -> ! {
        let machine: *mut Machine = word.cast();
        // SAFETY: the machine is in the heap.
        unsafe {
            turns::<W, 0, 1>((&raw mut (*machine).thread, &raw mut (*machine).main), u64::MAX);
        }
        unreachable!()
    }
    let machine = Machine::new();
    let record = Box::into_raw(Box::new(Record::new()));
    // SAFETY: both are in the heap, and leaked.
    unsafe { Machine::start(machine, record, body::<W>, machine.cast()) };
    Box::new(move |n| {
        // SAFETY: main runs, the other is suspended.
        unsafe { turns::<W, 0, 0>((&raw mut (*machine).thread, record), n) };
    })
}

/// The engine's part of create + run + finish: no closure, no panic is caught.
pub fn raw_create() -> Run {
    unsafe extern "C" fn body(word: *mut c_void) -> ! {
        let machine: *mut Machine = word.cast();
        // SAFETY: main is suspended.
        let refused = unsafe {
            Thread::finish(&raw mut (*machine).thread, &raw mut (*machine).main, ptr::null_mut())
        };
        panic!("{refused}")
    }
    let machine = Machine::new();
    Box::new(move |n| {
        let mut record = Record::new();
        for _ in 0..n {
            // SAFETY: main's frames lie on another stack; the record is new, or finished, which is the same.
            unsafe { Machine::start(machine, &raw mut record, body, machine.cast()) };
        }
    })
}

// ---- the Rust API

/// Kills them when it is dropped.
struct Killing(Vec<AnyGreenlet>);

impl Drop for Killing {
    fn drop(&mut self) {
        for greenlet in &self.0 {
            greenlet.kill().unwrap();
        }
    }
}

/// A round trip of two greenlets of the Rust API that share their thread's separate stack.
fn pair<W, const D: usize, const OTHER: usize, const BYTES: usize>(depth: usize) -> Run
where
    W: How<To = *const Greenlet<usize, usize>>,
{
    /// The handles, in the heap: the two refer to each other.
    #[derive(Default)]
    struct Pair {
        a: Option<Greenlet<usize, usize>>,
        b: Option<Greenlet<usize, usize>>,
    }
    let shared = Box::into_raw(Box::new(Pair::default()));
    let main = Greenlet::<usize, usize>::current();
    // SAFETY: nobody reaches into the frames; `shared` is in the heap until both are killed.
    unsafe {
        (*shared).a = Some(Greenlet::new(move |_| {
            let mut run = || {
                below::<BYTES, _>(|| {
                    let b = (*shared).b.as_ref().unwrap();
                    b.switch(0);
                    loop {
                        let n = main.switch(0);
                        turns::<W, D, 0>(b, n as u64);
                    }
                })
            };
            deeper(depth, &mut run);
            0
        }));
        (*shared).b = Some(Greenlet::new(move |_| {
            let a = (*shared).a.as_ref().unwrap();
            a.switch(0);
            below::<BYTES, _>(|| turns::<W, D, OTHER>(a, u64::MAX))
        }));
        let a = (*shared).a.clone().unwrap();
        a.switch(0);
        let killing = Killing(vec![a.clone().into(), (*shared).b.clone().unwrap().into()]);
        let owner = (killing, Box::from_raw(shared));
        Box::new(move |n| {
            let _owner = &owner;
            a.switch(n as usize);
        })
    }
}

/// Through the same `D` callers.
pub fn api_same<const D: usize>() -> Run {
    pair::<Api, D, 0, 0>(0)
}

/// Through different callers.
pub fn api_different<const D: usize>() -> Run {
    pair::<Api, D, 1, 0>(0)
}

/// Through one function that is not inlined, from different loops.
pub fn api_public() -> Run {
    struct Public;
    impl How for Public {
        type To = *const Greenlet<usize, usize>;
        #[inline(always)]
        unsafe fn switch(to: Self::To, word: usize) -> usize {
            /// What a program would call that keeps the switch in one place.
            #[inline(never)]
            fn public(to: &Greenlet<usize, usize>, word: usize) -> usize {
                to.switch(word)
            }
            // SAFETY: the handle is in the heap.
            public(unsafe { &*to }, word)
        }
    }
    pair::<Public, 0, 1, 0>(0)
}

/// A frame of so many bytes on both sides.
pub fn api_slice<const BYTES: usize>() -> Run {
    pair::<Api, 0, 1, BYTES>(0)
}

/// B begins below `depth` frames of A, which nobody overlaps.
pub fn api_depth(depth: usize) -> Run {
    pair::<Api, 0, 1, 0>(depth)
}

/// A new suspended greenlet, as shallow as one can be.
pub fn suspended() -> Greenlet<(), ()> {
    let main = AnyGreenlet::main().typed::<(), ()>();
    // SAFETY: nobody reaches into its frames.
    let greenlet = unsafe { Greenlet::<(), ()>::new(move |()| main.switch(())) };
    greenlet.switch(());
    greenlet
}

/// Two switch to each other while `others` are suspended.
pub fn api_alive(others: usize) -> Run {
    let others: Vec<_> = (0..others).map(|_| suspended()).collect();
    let mut run = api_different::<0>();
    Box::new(move |n| {
        let _alive = &others;
        run(n);
    })
}

/// Main resumes so many in turn: each switch finds its greenlet as long ago in the caches as there are others.
pub fn api_rotate(others: usize) -> Run {
    let main = Greenlet::<usize, usize>::current();
    let all: Vec<_> = (0..others)
        .map(|_| {
            let main = main.clone();
            // SAFETY: nobody reaches into its frames.
            let greenlet = unsafe {
                Greenlet::<usize, usize>::new(move |_| {
                    loop {
                        main.switch(0);
                    }
                })
            };
            greenlet.switch(0);
            greenlet
        })
        .collect();
    let mut next = 0;
    Box::new(move |n| {
        for _ in 0..n {
            all[next].switch(0);
            next += 1;
            if next == all.len() {
                next = 0;
            }
        }
    })
}

fn counting() -> Generator<usize> {
    // SAFETY: nobody reaches into its frames.
    unsafe {
        Generator::new(|out: &Yielder<usize>| {
            for i in 0.. {
                out.yield_(black_box(i));
            }
        })
    }
}

/// Main drives one generator.
pub fn generator() -> Run {
    let mut generator = counting();
    Box::new(move |n| {
        for _ in 0..n {
            black_box(generator.next());
        }
    })
}

/// Main drives one greenlet: a value in, a value out.
pub fn driven() -> Run {
    let main = Greenlet::<usize, usize>::current();
    // SAFETY: nobody reaches into its frames.
    let greenlet = unsafe {
        Greenlet::<usize, usize>::new(move |mut value| {
            loop {
                value = main.switch(value);
            }
        })
    };
    Box::new(move |n| {
        for _ in 0..n {
            black_box(greenlet.switch(black_box(0)));
        }
    })
}

/// Main drives two generators in turn: each is saved and restored. An operation is one value of each.
pub fn two_generators() -> Run {
    let (mut a, mut b) = (counting(), counting());
    Box::new(move |n| {
        for _ in 0..n {
            black_box(a.next());
            black_box(b.next());
        }
    })
}

/// Create + run + finish + drop, with a closure of so many bytes.
pub fn create<const BYTES: usize>() -> Run {
    Box::new(|n| {
        for _ in 0..n {
            let with = [1u8; BYTES];
            // SAFETY: nobody reaches into its frames.
            let greenlet = unsafe {
                Greenlet::<usize, usize>::new(move |value| {
                    black_box(&with);
                    value
                })
            };
            black_box(greenlet.switch(black_box(0)));
        }
    })
}
