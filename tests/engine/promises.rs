//! One test for each thing that the engine promises, with exact numbers.
//!
//! Main tells the others what to do: each greenlet is a puppet that obeys one [`Order`] after the other and switches back to
//! main after each. The whole state is on the heap.

use greenlet::raw::{BUFFER_ALIGN, Error, Greenlet, Memory, STACK_ALIGN, Stack, Thread};
use std::alloc::{Layout, alloc, dealloc, realloc};
use std::ffi::c_void;
use std::hint::black_box;
use std::ptr;

const STACK_SIZE: usize = 256 << 10;

/// What a puppet is to do before it switches back to main.
#[derive(Clone, Copy)]
enum Order {
    /// Only switch back.
    Nothing,
    /// Recurse, over an array of so many KiB.
    Deeper(usize),
    /// Return from one recursion.
    Shallower,
    /// Begin another one on a stack; go on when somebody switches here.
    Start(usize, usize),
    /// Switch to another one; go on when somebody switches here.
    Switch(usize),
    /// Call this in the puppet: `(theater, puppet)`.
    Call(fn(&mut Theater, usize)),
    /// Finish into main.
    Finish,
    /// Finish into another one.
    FinishInto(usize),
}

/// A thread's greenlets: number 0 is main. Stack 0 is the native one.
struct Theater {
    thread: Thread,
    greenlets: Vec<Greenlet>,
    stacks: Vec<Stack>,
    /// The order on its way.
    order: Order,
    /// The last answer of the engine that was no success.
    refused: Option<Error>,
    requests: usize,
    /// No memory for anybody.
    starve: bool,
    /// What the separate stacks are made of.
    _memory: Vec<Vec<u128>>,
}

unsafe extern "C" fn resize(ctx: *mut c_void, block: *mut u8, old: usize, new: usize) -> *mut u8 {
    let theater: *mut Theater = ctx.cast();
    // SAFETY: the theater is on the heap; the allocator gets back what it gave.
    unsafe {
        if new != 0 {
            (*theater).requests += 1;
            if (*theater).starve {
                return ptr::null_mut();
            }
        }
        let layout = |size| Layout::from_size_align(size, BUFFER_ALIGN).unwrap();
        match (old, new) {
            (0, _) => alloc(layout(new)),
            (_, 0) => {
                dealloc(block, layout(old));
                ptr::null_mut()
            }
            _ => realloc(block, layout(old), new),
        }
    }
}

impl Theater {
    /// Main and `puppets` more, the native stack and `stacks` more.
    fn new(puppets: usize, stacks: usize) -> Box<Theater> {
        let mut memory: Vec<Vec<u128>> = (0..stacks).map(|_| vec![0; STACK_SIZE / 16]).collect();
        let mut this = Box::new(Theater {
            thread: Thread::new(Memory::NONE),
            greenlets: (0..=puppets).map(|_| Greenlet::new()).collect(),
            stacks: (0..stacks).map(|_| Stack::new()).collect(),
            order: Order::Nothing,
            refused: None,
            requests: 0,
            starve: false,
            _memory: Vec::new(),
        });
        let ctx = (&raw mut *this).cast();
        this.thread = Thread::new(Memory { resize, ctx });
        // SAFETY: all of it is on the heap and lives as long as the theater.
        unsafe {
            Thread::attach(&raw mut this.thread, this.greenlets.as_mut_ptr());
            let thread = &raw mut this.thread;
            for (stack, memory) in this.stacks.iter_mut().zip(&mut memory) {
                stack.attach(thread, memory.as_mut_ptr().cast(), STACK_SIZE);
            }
        }
        this._memory = memory;
        this
    }

    fn greenlet(&self, who: usize) -> &Greenlet {
        &self.greenlets[who]
    }

    fn saved(&self, who: usize) -> usize {
        self.greenlets[who].saved()
    }

    fn start_of(&self, who: usize) -> usize {
        self.greenlets[who].stretch().0
    }

    fn stop_of(&self, who: usize) -> usize {
        self.greenlets[who].stretch().1
    }

    fn stack(&mut self, on: usize) -> *mut Stack {
        // SAFETY: attached.
        if on == 0 {
            unsafe { Thread::native(&raw mut self.thread) }
        } else {
            &raw mut self.stacks[on - 1]
        }
    }

    /// Begins a puppet; returns when somebody switches back.
    fn start(&mut self, who: usize, on: usize) -> Option<Error> {
        let this: *mut Theater = self;
        // SAFETY: the theater is on the heap.
        unsafe { begin(this, who, on) }
    }

    /// Gives an order to a puppet; returns when somebody switches back.
    fn tell(&mut self, who: usize, order: Order) -> Option<Error> {
        self.order = order;
        let this: *mut Theater = self;
        // SAFETY: as in `start`.
        unsafe { go(this, who) }
    }

    /// The same, when it cannot be refused.
    fn must(&mut self, who: usize, order: Order) {
        assert_eq!(self.tell(who, order), None);
        assert_eq!(self.refused, None);
    }

    fn needs_no_memory(&mut self, who: usize) -> bool {
        let target = &raw const self.greenlets[who];
        // SAFETY: both are valid.
        unsafe { Thread::needs_no_memory(&raw mut self.thread, target) }
    }

    fn release(&mut self, who: usize) -> Option<Error> {
        let target = &raw mut self.greenlets[who];
        // SAFETY: nothing of a puppet's needs to be dropped.
        unsafe { Thread::release(&raw mut self.thread, target).err() }
    }

    /// The puppets that are still suspended.
    fn release_all(&mut self) {
        for who in 1..self.greenlets.len() {
            assert_eq!(self.release(who), None);
        }
    }
}

#[inline(never)]
unsafe fn begin(this: *mut Theater, who: usize, on: usize) -> Option<Error> {
    unsafe {
        let stack = (*this).stack(on);
        let target = (*this).greenlets.as_mut_ptr().add(who);
        Thread::start(&raw mut (*this).thread, target, stack, puppet, this.cast()).err()
    }
}

#[inline(never)]
unsafe fn go(this: *mut Theater, who: usize) -> Option<Error> {
    unsafe {
        let target = (*this).greenlets.as_mut_ptr().add(who);
        Thread::switch(&raw mut (*this).thread, target, this.cast()).err()
    }
}

unsafe extern "C" fn puppet(theater: *mut c_void) -> ! {
    unsafe {
        let this: *mut Theater = theater.cast();
        let current = Thread::current(&raw mut (*this).thread);
        let me = current.offset_from((*this).greenlets.as_ptr()) as usize;
        loop {
            obey::<1>(this, me);
        }
    }
}

#[inline(never)]
unsafe fn obey<const N: usize>(this: *mut Theater, me: usize) {
    unsafe {
        // Of a size that is the same on every target.
        let mut array = [0u64; N];
        let start = (me * 1_000_003 + N) as u64;
        array.iter_mut().enumerate().for_each(|(i, word)| *word = start + i as u64);
        // Whether somebody switched here, with an order that has not been carried out.
        let mut told = false;
        loop {
            black_box(&mut array);
            if !told {
                (*this).refused = go(this, 0).or((*this).refused);
            }
            told = false;
            black_box(&mut array);
            assert!(array.iter().enumerate().all(|(i, word)| *word == start + i as u64));
            match std::mem::replace(&mut (*this).order, Order::Nothing) {
                Order::Nothing => {}
                Order::Deeper(1) => obey::<128>(this, me),
                Order::Deeper(4) => obey::<512>(this, me),
                Order::Deeper(16) => obey::<2048>(this, me),
                Order::Deeper(_) => panic!("no array of this size"),
                Order::Shallower => return,
                Order::Start(who, on) => {
                    let refused = begin(this, who, on);
                    told = refused.is_none();
                    (*this).refused = refused.or((*this).refused);
                }
                Order::Switch(who) => {
                    let refused = go(this, who);
                    told = refused.is_none();
                    (*this).refused = refused.or((*this).refused);
                }
                Order::Call(f) => f(&mut *this, me),
                Order::Finish => finish(this, 0),
                Order::FinishInto(who) => finish(this, who),
            }
        }
    }
}

unsafe fn finish(this: *mut Theater, who: usize) {
    unsafe {
        let target = (*this).greenlets.as_mut_ptr().add(who);
        let error = Thread::finish(&raw mut (*this).thread, target, this.cast());
        (*this).refused = Some(error);
    }
}

#[test]
fn nothing_is_copied_to_start() {
    for on in 0..2 {
        let mut t = Theater::new(2, 1);
        assert_eq!(t.start(1, on), None);
        // In the first one, right after it has begun the second below itself.
        fn begin_another(t: &mut Theater, me: usize) {
            let on = if t.stop_of(me) == t.stacks[0].bounds().1 { 1 } else { 0 };
            t.order = Order::Nothing;
            let requests = t.requests;
            assert_eq!(t.start(2, on), None);
            assert_eq!(t.stop_of(2) % STACK_ALIGN, 0);
            assert_eq!(t.requests, requests + (on == 0) as usize); // main needed the room, nobody else did
        }
        let before = t.requests;
        assert_eq!(before, (on == 0) as usize);
        t.must(1, Order::Call(begin_another));
        t.release_all();
    }
}

#[test]
fn a_new_one_ends_where_its_beginner_is_suspended() {
    let mut t = Theater::new(3, 2);
    t.start(1, 1);
    assert_eq!(t.stop_of(1), t.stacks[0].bounds().1);
    t.must(1, Order::Start(2, 1));
    assert_eq!(t.stop_of(2), t.start_of(1));
    t.must(2, Order::Start(3, 2));
    assert_eq!(t.stop_of(3), t.stacks[1].bounds().1);
    t.release_all();
}

#[test]
fn a_new_one_begins_at_the_top_again_when_less_than_a_quarter_of_the_stack_is_left() {
    let mut t = Theater::new(3, 1);
    let (bottom, top) = t.stacks[0].bounds();
    t.start(1, 1);
    while t.start_of(1) - bottom >= STACK_SIZE / 4 {
        let start = t.start_of(1);
        t.must(1, Order::Start(2, 1));
        assert_eq!(t.stop_of(2), t.start_of(1));
        assert_eq!(t.release(2), None);
        assert!(t.start_of(1) <= start);
        t.must(1, Order::Deeper(16));
    }
    t.must(1, Order::Start(2, 1));
    assert_eq!(t.stop_of(2), top);
    assert_eq!(t.saved(1), top - t.start_of(1));
    // Both go on as ever, and the one that is deep can begin another.
    t.must(2, Order::Start(3, 1));
    assert_eq!(t.stop_of(3), t.start_of(2));
    t.must(1, Order::Shallower);
    for who in [3, 2, 1] {
        t.must(who, Order::Finish);
    }
    assert!(!t.stacks[0].is_occupied());
}

#[test]
fn crossing_stacks_copies_nothing() {
    let mut t = Theater::new(2, 2);
    t.start(1, 1);
    t.start(2, 2);
    for _ in 0..10 {
        t.must(1, Order::Deeper(4));
        t.must(2, Order::Deeper(1));
        t.must(1, Order::Switch(2));
        t.must(1, Order::Shallower);
        t.must(2, Order::Shallower);
        assert_eq!((t.saved(0), t.saved(1), t.saved(2), t.requests), (0, 0, 0, 0));
    }
    t.release_all();
}

#[test]
fn only_what_lies_below_the_targets_stop_is_saved_and_each_byte_once() {
    let mut t = Theater::new(4, 1);
    // 2 begins below 1 where 1 is 1 KiB deep, 3 where it is 5, 4 where it is 6: their stops lie in 1's stretch.
    t.start(1, 1);
    t.must(1, Order::Deeper(1));
    t.must(1, Order::Start(2, 1));
    t.must(1, Order::Deeper(4));
    t.must(1, Order::Start(3, 1));
    t.must(1, Order::Deeper(1));
    t.must(1, Order::Start(4, 1));
    t.must(1, Order::Deeper(16));
    let (start, top) = (t.start_of(1), t.stop_of(1));
    assert!(start < t.stop_of(4) && t.stop_of(4) < t.stop_of(3));
    assert!(t.stop_of(3) < t.stop_of(2) && t.stop_of(2) < top);
    assert_eq!(t.saved(1), 0);

    // The straddler is saved bit by bit, as others reach higher, and never back.
    for who in [4, 3, 4, 2, 3, 4] {
        let (before, requests) = (t.saved(1), t.requests);
        t.must(who, Order::Nothing);
        assert_eq!(t.saved(1), before.max(t.stop_of(who) - start), "{who} ran");
        assert!(t.requests == requests || t.saved(1) > before || t.saved(who) == 0);
    }
    // 4 ran last: of 2 and 3, which end higher, what lies above it was not touched.
    for who in [2, 3] {
        assert_eq!(t.saved(who), t.stop_of(4).saturating_sub(t.start_of(who)));
    }
    t.must(1, Order::Nothing);
    assert_eq!(t.saved(1), 0);
    for who in 2..=4 {
        assert_eq!(t.saved(who), t.stop_of(who) - t.start_of(who));
    }

    // Back up: what lies above the target's stop is not touched.
    for _ in 0..4 {
        t.must(1, Order::Shallower);
    }
    assert!(t.start_of(1) > t.stop_of(2));
    let requests = t.requests;
    for who in [2, 3, 4] {
        t.must(who, Order::Nothing);
        assert_eq!(t.saved(1), 0);
    }
    assert_eq!(t.requests, requests);
    t.release_all();
}

#[test]
fn a_buffer_is_reused_and_shrinks_after_a_while() {
    let mut t = Theater::new(2, 1);
    t.start(1, 1);
    t.start(2, 1);
    t.must(1, Order::Nothing);
    let capacities = |t: &Theater| (t.greenlet(1).capacity(), t.greenlet(2).capacity());
    let (before, requests) = (capacities(&t), t.requests);
    for _ in 0..100 {
        t.must(2, Order::Nothing);
        t.must(1, Order::Nothing);
        assert_eq!((capacities(&t), t.requests), (before, requests));
    }

    t.must(1, Order::Deeper(16));
    t.must(2, Order::Nothing);
    let large = t.greenlet(1).capacity();
    assert!(large >= 16 * 128 * size_of::<usize>(), "16 frames took {large} bytes");
    t.must(1, Order::Shallower);
    t.must(2, Order::Nothing);
    assert_eq!(t.greenlet(1).capacity(), large, "not at once");
    for _ in 0..100 {
        t.must(1, Order::Nothing);
        t.must(2, Order::Nothing);
    }
    assert!(t.greenlet(1).capacity() < 4 * t.saved(1), "{} bytes", t.greenlet(1).capacity());
    // Requests that would only shrink it may fail.
    t.must(1, Order::Deeper(16));
    t.must(2, Order::Nothing);
    t.must(1, Order::Shallower);
    t.starve = true;
    for _ in 0..100 {
        t.must(2, Order::Nothing);
        t.must(1, Order::Nothing);
    }
    t.starve = false;
    t.release_all();
}

#[test]
fn the_bytes_that_a_switch_copies_do_not_depend_on_how_many_greenlets_there_are() {
    let moved = |others: usize| {
        let mut t = Theater::new(2 + others, 1);
        for who in 1..=2 + others {
            t.start(who, 1);
        }
        for who in [1, 2, 1, 2] {
            t.must(who, Order::Nothing);
        }
        let (requests, restored) = (t.requests, t.saved(1));
        t.must(1, Order::Nothing);
        assert_eq!((t.requests, t.saved(1)), (requests, 0));
        let all: usize = (1..=2 + others).map(|who| t.saved(who)).sum();
        t.must(2, Order::Nothing);
        let saved = t.saved(1);
        assert_eq!(all - t.saved(2) + saved - all, saved - t.saved(2));
        t.release_all();
        (restored, saved)
    };
    let few = moved(0);
    assert_eq!(moved(10), few);
    assert_eq!(moved(1000), few);
}

#[test]
fn the_bytes_that_a_switch_copies_do_not_depend_on_frames_that_are_not_overlapped() {
    let moved = |levels: usize| {
        let mut t = Theater::new(3, 1);
        t.start(1, 1);
        for _ in 0..levels {
            t.must(1, Order::Deeper(4));
        }
        t.must(1, Order::Start(2, 1));
        t.must(1, Order::Start(3, 1));
        for who in [2, 3, 2, 3] {
            t.must(who, Order::Nothing);
        }
        assert_eq!(t.saved(1), 0);
        let saved = t.saved(2);
        t.release_all();
        saved
    };
    assert_eq!(moved(0), moved(20));
}

#[test]
fn would_move_says_whether_the_switchers_frames_move() {
    fn look(t: &mut Theater, me: usize) {
        let local = 0u8;
        let here: *const c_void = (&raw const local).cast();
        let thread = &raw mut t.thread;
        // SAFETY: all are valid.
        let would = |t: &Theater, who: usize, at| unsafe {
            Thread::would_move(thread, &raw const t.greenlets[who], at)
        };
        assert!(!would(t, me, here), "to itself");
        assert!(!would(t, 0, here), "main is on another stack");
        assert!(!would(t, 3, here), "3 is on another stack");
        assert!(!would(t, 4, here), "4 has not begun");
        assert!(would(t, 2, here), "2 ends higher");
        assert!(
            !would(t, 2, ptr::without_provenance(t.stop_of(2))),
            "and what lies above it stays"
        );
    }
    let mut t = Theater::new(4, 2);
    t.start(1, 1);
    t.must(1, Order::Start(2, 1));
    t.start(3, 2);
    t.must(1, Order::Deeper(1));
    t.must(1, Order::Call(look));
    t.release_all();
}

#[test]
fn finishing_into_the_one_above_needs_no_memory() {
    let mut t = Theater::new(4, 1);
    t.start(1, 1);
    t.must(1, Order::Start(2, 1));
    // 2 was begun below 1 and is suspended, nobody has been saved yet.
    fn look(t: &mut Theater, me: usize) {
        // SAFETY: the running one.
        let above = unsafe { Thread::above(&raw const t.greenlets[me]) };
        assert!(ptr::eq(above, &t.greenlets[1]));
        assert!(t.needs_no_memory(1));
        assert!(t.needs_no_memory(0));
        assert!(!t.needs_no_memory(4), "it has not begun");
    }
    t.must(2, Order::Call(look));
    t.starve = true;
    t.must(2, Order::FinishInto(1));
    t.must(1, Order::Finish);
    assert!(!t.greenlet(1).is_active() && !t.greenlet(2).is_active());
    assert_eq!(t.requests, 0);
    assert!(!t.stacks[0].is_occupied());
}

#[test]
fn without_memory_nothing_changes() {
    let mut t = Theater::new(2, 1);
    t.start(1, 1);
    t.starve = true;
    // 2 would begin where 1 has its bytes.
    assert_eq!(t.start(2, 1), Some(Error::OutOfMemory));
    assert!(!t.greenlet(2).is_active());
    assert_eq!(t.saved(1), 0);
    t.must(1, Order::Deeper(1));
    t.starve = false;
    assert_eq!(t.start(2, 1), None);
    let saved = t.saved(1);
    assert_eq!(saved, t.stop_of(1) - t.start_of(1));
    t.starve = true;
    assert_eq!(t.tell(1, Order::Shallower), Some(Error::OutOfMemory));
    assert_eq!((t.saved(1), t.saved(2)), (saved, 0));
    t.must(2, Order::Nothing);
    t.starve = false;
    t.must(1, Order::Shallower);
    t.must(2, Order::Finish);
    t.must(1, Order::Finish);
}

#[test]
fn a_lent_buffer_that_is_too_small_is_no_memory() {
    let mut t = Theater::new(2, 1);
    let mut buffer = vec![0u128; 512 / 16];
    // SAFETY: the buffer outlives the greenlet, which has not begun.
    unsafe { t.greenlets[1].lend_buffer(buffer.as_mut_ptr().cast(), 512) };
    t.start(1, 1);
    t.must(1, Order::Deeper(16));
    assert_eq!(t.start(2, 1), Some(Error::OutOfMemory));
    assert_eq!(t.requests, 0);
    t.must(1, Order::Finish);
    assert_eq!(t.greenlet(1).capacity(), 512, "still its own");
    assert_eq!(t.start(2, 1), None);
    t.must(2, Order::Finish);
}

#[test]
fn one_is_released_from_the_middle() {
    for on in 0..2 {
        let mut t = Theater::new(3, 1);
        t.start(1, on);
        t.must(1, Order::Start(2, on));
        t.must(2, Order::Start(3, on));
        assert_eq!(t.release(2), None);
        assert!(!t.greenlet(2).is_active());
        assert_eq!((t.saved(2), t.greenlet(2).capacity()), (0, 0));
        t.must(3, Order::Deeper(1));
        t.must(1, Order::Deeper(4));
        t.must(3, Order::Shallower);
        t.must(1, Order::Shallower);
        // The record is as new.
        assert_eq!(t.start(2, on), None);
        t.must(2, Order::Finish);
        t.must(1, Order::Finish);
        t.must(3, Order::Finish);
        assert!(!t.stacks[0].is_occupied());
    }
}

#[test]
fn every_misuse_is_refused_by_its_name() {
    let mut t = Theater::new(2, 1);
    let mut foreign = Theater::new(1, 1);
    foreign.start(1, 1);
    t.start(1, 1);
    let (thread, theirs) = (&raw mut t.thread, &raw mut foreign.greenlets[1]);
    let (one, two) = (&raw mut t.greenlets[1], &raw mut t.greenlets[2]);
    let main = &raw mut t.greenlets[0];
    let (stack, their_stack) = (t.stack(1), foreign.stack(1));
    let word = ptr::null_mut();
    // SAFETY: all are valid, and each is refused.
    unsafe {
        let start = |g, stack| Thread::start(thread, g, stack, puppet, word).err();
        assert_eq!(start(one, stack), Some(Error::AlreadyStarted));
        assert_eq!(start(main, stack), Some(Error::AlreadyStarted));
        assert_eq!(start(two, their_stack), Some(Error::WrongThread));
        assert_eq!(Thread::switch(thread, two, word), Err(Error::NotActive));
        assert_eq!(Thread::switch_inline(thread, two, word), Err(Error::NotActive));
        assert_eq!(Thread::switch(thread, theirs, word), Err(Error::WrongThread));
        assert_eq!(Thread::finish(thread, main, word), Error::Running);
        assert_eq!(Thread::finish(thread, two, word), Error::NotActive);
        assert_eq!(Thread::release(thread, main), Err(Error::Running));
        assert_eq!(Thread::release(thread, theirs), Err(Error::WrongThread));
        assert_eq!(Thread::release(thread, two), Ok(()));
        assert_eq!(Thread::switch(thread, main, thread.cast()), Ok(thread.cast()), "to itself");
        assert!(!Thread::needs_no_memory(thread, theirs));
        assert!(Thread::of(two).is_null() && Thread::of(one) == thread);
    }
    assert!(!t.greenlet(2).is_active());
    t.must(1, Order::Finish);
    foreign.must(1, Order::Finish);
}
