//! The scheduler of a thread: who is the current tasklet, and the ring of those that are runnable. Nothing here switches.
//!
//! ```text
//!              head, the current one
//!                 │
//!        ┌──▶ A ──▶ B ──▶ C ──┐        insert: before the head, so it is the last whose turn comes
//!        └────────────────────┘        A blocks: it leaves the ring, and B is its head
//! ```

use super::ffi::*;
use super::idle::Bell;
use super::tasklet::{self, Queue, Stage, Tasklet};
use crate::ffi::*;
use crate::memory;
use crate::object::PyGreenlet;
use crate::record::{self, Record};
use core::ffi::{c_int, c_ulong};
use core::{mem, ptr};

pub struct Scheduler {
    /// Its thread; null once that has ended.
    pub record: *mut Record,
    /// By the record and by each tasklet that belongs here.
    pub refs: usize,
    pub thread_id: c_ulong,
    /// Owned.
    pub main: *mut Tasklet,
    /// The tasklet that runs. In the ring, so not owned here.
    pub current: *mut Tasklet,
    pub head: *mut Tasklet,
    pub count: usize,
    /// Who is being switched to; nobody else who comes to be running was sent by the scheduler.
    pub wake: *mut Tasklet,
    /// Who is to be begun by main, and the greenlet that asks for it; see `transfer::begin`.
    pub launch: *mut Tasklet,
    pub launched_by: *mut PyGreenlet,
    /// What the one who left held no more, or has ended: owned, given up by the one who arrives.
    pub left: *mut Tasklet,
    /// Those that have begun, in a list ([`Tasklet::begun`]), so that the end of the thread finds them.
    pub begun: *mut Tasklet,
    /// Those that are in `run()`, the innermost last; owned.
    pub watchdogs: Vec<*mut Tasklet>,
    /// How many turns may still be had before `timer`, one of the watchdogs, is woken; 0: any number.
    pub turns: usize,
    pub timer: *mut Tasklet,
    /// Whose turn it would have been when `turns` came to its end; owned.
    pub interrupted: *mut Tasklet,
    /// See `switch_trap`.
    pub trap: c_int,
    /// A callback runs.
    pub locked: bool,
    /// Where the thread sleeps when nobody is runnable.
    pub bell: Bell,
}

/// The calling thread's, made if need be; null with an error. May run any code.
///
/// # Safety
///
/// The GIL is held, here and below.
#[inline(always)]
pub unsafe fn here() -> *mut Scheduler {
    // SAFETY: a thread's record is valid.
    unsafe {
        let record = record::current();
        if record.is_null() {
            return ptr::null_mut();
        }
        record::drain(record);
        let scheduler = (*record).scheduler;
        if scheduler.is_null() { make(record) } else { scheduler }
    }
}

#[cold]
#[inline(never)]
unsafe fn make(record: *mut Record) -> *mut Scheduler {
    // SAFETY: the calling thread's record. Making an object may run anything, so the place is looked at again.
    unsafe {
        let main = tasklet::alloc(GrTasklet);
        if main.is_null() {
            return ptr::null_mut();
        }
        let made = memory::place(Scheduler {
            record,
            refs: 2,
            thread_id: gr_thread_id((*record).tstate),
            main,
            current: main,
            head: ptr::null_mut(),
            count: 0,
            wake: ptr::null_mut(),
            launch: ptr::null_mut(),
            launched_by: ptr::null_mut(),
            left: ptr::null_mut(),
            begun: ptr::null_mut(),
            watchdogs: Vec::new(),
            turns: 0,
            timer: ptr::null_mut(),
            interrupted: ptr::null_mut(),
            trap: 0,
            locked: false,
            bell: Bell::new(),
        });
        let other = (*record).scheduler;
        if made.is_null() || !other.is_null() {
            if !made.is_null() {
                drop_scheduler(made);
            }
            decref(main.cast());
            if other.is_null() {
                PyErr_NoMemory();
            }
            return other;
        }
        (*main).scheduler = made;
        (*main).stage = Stage::Begun;
        (*main).greenlet = new_ref((*record).main);
        (*(*(*record).main).imp).tasklet = main;
        push_back(made, new_ref(main));
        (*record).scheduler = made;
        made
    }
}

unsafe fn drop_scheduler(scheduler: *mut Scheduler) {
    // SAFETY: nobody uses it.
    unsafe {
        ptr::drop_in_place(scheduler);
        memory::free(scheduler);
    }
}

/// Gives up a reference to one.
///
/// # Safety
///
/// The caller owns one.
pub unsafe fn unref(scheduler: *mut Scheduler) {
    // SAFETY: the caller's promise.
    unsafe {
        (*scheduler).refs -= 1;
        if (*scheduler).refs == 0 {
            drop_scheduler(scheduler);
        }
    }
}

/// Puts `t`, which is in no queue, before `place` in the ring. Takes a reference.
unsafe fn link(s: *mut Scheduler, t: *mut Tasklet, place: *mut Tasklet) {
    // SAFETY: the links of the ring are valid.
    unsafe {
        let prev = (*place).prev;
        (*t).next = place;
        (*t).prev = prev;
        (*prev).next = t;
        (*place).prev = t;
        (*t).queue = Queue::Ring;
        (*s).count += 1;
    }
}

/// Makes `t` the last whose turn comes. Takes a reference.
///
/// # Safety
///
/// It belongs to the scheduler, and is in no queue.
#[inline]
pub unsafe fn push_back(s: *mut Scheduler, t: *mut Tasklet) {
    // SAFETY: the caller's promise.
    unsafe {
        if (*s).head.is_null() {
            (*t).next = t;
            (*t).prev = t;
            (*t).queue = Queue::Ring;
            (*s).count = 1;
            (*s).head = t;
        } else {
            link(s, t, (*s).head);
        }
    }
}

/// Makes `t` the head. Takes a reference.
///
/// # Safety
///
/// As for [`push_back`].
pub unsafe fn push_front(s: *mut Scheduler, t: *mut Tasklet) {
    // SAFETY: the caller's promise.
    unsafe {
        push_back(s, t);
        (*s).head = t;
    }
}

/// Makes `t` the next one after the head. Takes a reference.
///
/// # Safety
///
/// As for [`push_back`]; the ring is not empty.
#[inline]
pub unsafe fn push_next(s: *mut Scheduler, t: *mut Tasklet) {
    // SAFETY: the caller's promise.
    unsafe { link(s, t, (*(*s).head).next) }
}

/// Puts `t` before `place`, which is in the ring. Takes a reference.
///
/// # Safety
///
/// As for [`push_back`].
pub unsafe fn push_before(s: *mut Scheduler, t: *mut Tasklet, place: *mut Tasklet) {
    // SAFETY: the caller's promise.
    unsafe { link(s, t, place) }
}

/// Takes `t` out of the ring, with the reference that it was; if it was the head, the next one is.
///
/// # Safety
///
/// It is there.
#[inline]
pub unsafe fn unlink(s: *mut Scheduler, t: *mut Tasklet) -> *mut Tasklet {
    // SAFETY: the caller's promise.
    unsafe {
        let next = (*t).next;
        if next == t {
            (*s).head = ptr::null_mut();
        } else {
            let prev = (*t).prev;
            (*prev).next = next;
            (*next).prev = prev;
            if (*s).head == t {
                (*s).head = next;
            }
        }
        (*t).next = ptr::null_mut();
        (*t).prev = ptr::null_mut();
        (*t).queue = Queue::None;
        (*s).count -= 1;
        t
    }
}

/// Whether tasklets may be moved and switched now; else an error is set.
///
/// # Safety
///
/// A valid scheduler.
#[inline]
pub unsafe fn is_free(s: *mut Scheduler) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        if (*s).locked {
            raise::<()>(PyExc_RuntimeError, c"tasklets cannot be moved or switched in a callback");
        }
        !(*s).locked
    }
}

/// Whether the trap allows a switch; else an error is set.
///
/// # Safety
///
/// A valid scheduler.
#[inline]
pub unsafe fn is_untrapped(s: *mut Scheduler) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        if (*s).trap != 0 {
            raise::<()>(PyExc_RuntimeError, c"switch_trap");
        }
        (*s).trap == 0
    }
}

/// Gives up what the one who was left, or has ended, was held by. May run any code; the error indicator is kept.
///
/// # Safety
///
/// The scheduler is the calling thread's, and the current tasklet its head.
#[inline]
pub unsafe fn drop_left(s: *mut Scheduler) {
    // SAFETY: the caller's promise.
    unsafe {
        if !(*s).left.is_null() {
            drop_left_slowly(s);
        }
    }
}

#[cold]
#[inline(never)]
unsafe fn drop_left_slowly(s: *mut Scheduler) {
    // SAFETY: what is there is owned.
    unsafe {
        let left = mem::replace(&mut (*s).left, ptr::null_mut());
        give_up([left.cast()]);
    }
}

/// Gives references up; the error indicator is kept. May run any code.
///
/// # Safety
///
/// They are owned, or null.
pub unsafe fn give_up<const N: usize>(objects: [*mut PyObject; N]) {
    // SAFETY: the caller's promise.
    unsafe {
        let error = Error::take();
        for object in objects {
            xdecref(object);
        }
        error.restore();
    }
}
