//! What the scheduler knows of a tasklet, and how long that lives. What its closure returns lies behind it, in a `Packet`.
//!
//! It must never know what is sent over a channel, nor who runs next.
//!
//! `count` counts the handles, and one for a tasklet that somebody will continue: one that runs, is ready or blocked, and main. So
//! one that is paused and has no handle can never run again, and is killed. `frames` only keeps the memory.

use super::error::{Deadlock, Operation};
use super::scheduler::Scheduler;
use super::waiters::Index;
use crate::error::Payload;
use crate::object::{Core, Stage};
use crate::switch;
use crate::unwind;
use alloc::alloc::{Layout, alloc};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::{Cell, UnsafeCell};
use core::panic::Location;
use core::ptr;

/// What a tasklet is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// It is the current one. Or it was, until something that is no business of the scheduler's took control away, a
    /// panic of a greenlet that its frames had made: then only its own greenlet can bring it back.
    Running,
    /// In the run queue.
    Ready,
    /// In the list of those that wait for a channel or an end.
    Blocked,
    /// Nobody continues it until it is inserted.
    Paused,
    /// Main, inside `run`: continued when nobody is ready.
    Idle,
    Finished,
}

/// What an interrupted tasklet finds.
pub(super) enum Interrupt {
    Thrown(Payload),
    Deadlock(Deadlock),
}

/// Where the entries of waiting tasklets are.
pub(super) trait Queue {
    /// Takes an entry out of its line, if it is there: nobody is to meet it any more.
    fn withdraw(&self, index: Index);
    /// What it waits for, in words, and where that was made.
    fn describe(&self, index: Index) -> (Operation, String, &'static Location<'static>);
}

/// What a blocked tasklet waits for. It holds the queues.
pub(super) enum Wait {
    Nothing,
    One(Rc<dyn Queue>, Index),
    Many(Box<[(Rc<dyn Queue>, Index)]>),
}

/// What is common to all tasklets.
#[repr(C)]
pub(super) struct Record {
    count: Cell<usize>,
    /// Operations in other greenlets than its root, which refer to it and may outlive it.
    frames: Cell<u32>,
    pub(super) state: Cell<State>,
    /// Its neighbours in the list that it is in.
    pub(super) prev: Cell<*const Record>,
    pub(super) next: Cell<*const Record>,
    /// The greenlet that it began in; counted, but for main. Null when it has finished.
    pub(super) root: Cell<*const Core>,
    /// The greenlet that it goes on in: `root`, or a generator or the like that is called from there, which is counted then.
    pub(super) resume: Cell<*const Core>,
    pub(super) wait: UnsafeCell<Wait>,
    /// Where it began to wait.
    pub(super) at: Cell<&'static Location<'static>>,
    pub(super) pending: Cell<Option<Box<Interrupt>>>,
    /// Who waits for its end.
    pub(super) joiners: UnsafeCell<Option<Rc<super::join::Joiners>>>,
    pub(super) name: UnsafeCell<Option<Box<str>>>,
    pub(super) number: u64,
    pub(super) spawned: &'static Location<'static>,
    free: unsafe fn(*const Record),
}

/// A tasklet's record and its result.
#[repr(C)]
pub(super) struct Packet<R> {
    record: Record,
    result: UnsafeCell<Option<Result<R, Payload>>>,
}

impl<R> Packet<R> {
    /// A new one with one count, which is the caller's, paused; null if there is no memory.
    pub(super) fn create(number: u64, spawned: &'static Location<'static>) -> *const Packet<R> {
        // SAFETY: the layout is not empty, and the block is written before it is used.
        unsafe {
            let packet: *mut Packet<R> = alloc(Layout::new::<Packet<R>>()).cast();
            if packet.is_null() {
                return ptr::null();
            }
            packet.write(Packet {
                record: Record {
                    count: Cell::new(1),
                    frames: Cell::new(0),
                    state: Cell::new(State::Paused),
                    prev: Cell::new(ptr::null()),
                    next: Cell::new(ptr::null()),
                    root: Cell::new(ptr::null()),
                    resume: Cell::new(ptr::null()),
                    wait: UnsafeCell::new(Wait::Nothing),
                    at: Cell::new(spawned),
                    pending: Cell::new(None),
                    joiners: UnsafeCell::new(None),
                    name: UnsafeCell::new(None),
                    number,
                    spawned,
                    free: Self::free,
                },
                result: UnsafeCell::new(None),
            });
            packet
        }
    }

    /// # Safety
    ///
    /// The record is that of a packet of this type, from `create`, and nobody refers to it any more.
    unsafe fn free(record: *const Record) {
        let packet: *mut Packet<R> = record.cast_mut().cast();
        // SAFETY: it was allocated by the global allocator with the layout of a packet.
        drop(unsafe { Box::from_raw(packet) });
    }

    /// Keeps or takes the result.
    ///
    /// # Safety
    ///
    /// The record is that of a packet of this type, and valid.
    pub(super) unsafe fn result<'a>(record: *const Record) -> &'a mut Option<Result<R, Payload>> {
        let packet: *const Packet<R> = record.cast();
        // SAFETY: whoever asks lets go of it before anybody else can: no code of the user's runs meanwhile.
        unsafe { &mut *(*packet).result.get() }
    }
}

impl Record {
    #[inline(always)]
    pub(super) fn hold(&self) {
        let count = self.count.get() + 1;
        if count > isize::MAX as usize {
            std::process::abort(); // by forgetting handles; a wrapped count would be a use after free
        }
        self.count.set(count);
    }

    /// Whether nobody has a handle, as the running one can tell.
    pub(super) fn is_unobserved(&self) -> bool {
        self.count.get() <= 1
    }

    pub(super) fn add_frame(&self) {
        self.frames.set(self.frames.get().checked_add(1).expect("too many frames"));
    }

    /// # Safety
    ///
    /// The record is valid, and the frame was added by the caller.
    #[cold]
    pub(super) unsafe fn remove_frame(this: *const Record) {
        // SAFETY: the caller's promise.
        unsafe {
            (*this).frames.set((*this).frames.get() - 1);
            if (*this).count.get() == 0 && (*this).state.get() == State::Finished {
                Self::last(this);
            }
        }
    }

    pub(super) fn is_new(&self) -> bool {
        let root = self.root.get();
        // SAFETY: a root is valid until it is taken out.
        !root.is_null() && unsafe { (*root).stage.get() } == Stage::New
    }

    /// Gives one count back.
    ///
    /// # Safety
    ///
    /// The record is valid, and the count was the caller's.
    #[inline(always)]
    pub(super) unsafe fn release(this: *const Record) {
        // SAFETY: the caller's promise.
        unsafe {
            let count = (*this).count.get() - 1;
            (*this).count.set(count);
            if count == 0 {
                Self::last(this);
            }
        }
    }

    #[cold]
    #[inline(never)]
    unsafe fn last(this: *const Record) {
        // SAFETY: nobody has a count.
        unsafe {
            match (*this).state.get() {
                State::Finished if (*this).frames.get() != 0 => {}
                State::Finished => ((*this).free)(this),
                State::Paused => Self::kill_in_place(this),
                // It survived that, and cannot be reached: leaked.
                _ => {}
            }
        }
    }

    /// Kills one that is suspended, or has not begun, from within the current one: strictly nested, so that it works
    /// while a panic unwinds, or as the thread ends.
    ///
    /// # Safety
    ///
    /// It is valid, has not finished, and is neither the current one nor main.
    pub(super) unsafe fn kill_in_place(this: *const Record) {
        /// A count that is given back however its scope is left.
        struct Held(*const Record);
        impl Drop for Held {
            fn drop(&mut self) {
                // SAFETY: the count is its own.
                unsafe { Record::release(self.0) };
            }
        }
        // SAFETY: held here; its root is valid until it has finished.
        unsafe {
            (*this).hold();
            let held = Held(this);
            let root = (*this).root.get();
            let scheduler = Scheduler::of(root);
            (*scheduler).uproot(this);
            (*this).state.set(State::Running);
            (*root).hold();
            let ended = unwind::catch(|| match (*root).stage.get() {
                Stage::New => Core::finish(root),
                Stage::Active if root != (*(*root).runtime).current() => switch::kill_dropped(root),
                _ => {}
            });
            if (*this).state.get() != State::Finished && (*root).stage.get() == Stage::Finished {
                // Its frames were given up, with all that they own.
                (*scheduler).complete(this);
            }
            Core::release(root);
            if let Err(payload) = ended {
                if unwind::panicking() {
                    unwind::discard(payload); // a second panic cannot leave a drop
                } else {
                    drop(held);
                    unwind::resume(payload);
                }
            }
        }
    }
}

/// A tasklet waits no more: lets go of what it waited for.
///
/// # Safety
///
/// The record is valid, and its entries have been given back or withdrawn.
#[inline]
pub(super) unsafe fn wait_over(record: *const Record) {
    // SAFETY: nobody looks at it; it is dropped after it has been taken out.
    match unsafe { core::mem::replace(&mut *(*record).wait.get(), Wait::Nothing) } {
        Wait::One(queue, _) => drop(queue), // in line: there is nearly always another owner
        other => drop(other),
    }
}
