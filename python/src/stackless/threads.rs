//! Several threads: whose scheduler is where, tasklets of other threads, and what becomes of those whose thread ends.

use super::ffi::*;
use super::run::make_runnable;
use super::scheduler::{self, Scheduler, give_up, push_next, unlink, unref};
use super::tasklet::{Queue, Stage, Tasklet};
use crate::ffi::*;
use crate::object::{self, PyGreenlet};
use crate::record;
use core::ffi::c_ulong;
use core::{mem, ptr};

/// The scheduler of a thread, by its id; null if it has none.
///
/// # Safety
///
/// The GIL is held.
pub unsafe fn find(id: c_ulong) -> *mut Scheduler {
    // SAFETY: the caller's promise.
    unsafe {
        let mut found = ptr::null_mut();
        record::for_each(|record| {
            if gr_thread_id((*record).tstate) == id {
                found = (*record).scheduler;
            }
        });
        found
    }
}

/// The ids of all threads, the oldest first; `None` without memory.
unsafe fn ids() -> Option<Vec<c_ulong>> {
    // SAFETY: the GIL is held.
    unsafe {
        let states = record::thread_states(gr_thread())?;
        let mut ids = Vec::new();
        ids.try_reserve_exact(states.len()).ok()?;
        ids.extend(states.iter().rev().map(|&ts| gr_thread_id(ts)));
        Some(ids)
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_getthreads(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by the interpreter, as below.
    unsafe {
        let Some(ids) = ids() else {
            return PyErr_NoMemory();
        };
        let list = PyList_New(0);
        for id in ids {
            let number = if list.is_null() { ptr::null_mut() } else { PyLong_FromUnsignedLong(id) };
            if number.is_null() || PyList_Append(list, number) < 0 {
                xdecref(number);
                xdecref(list);
                return ptr::null_mut();
            }
            decref(number);
        }
        list
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_get_thread_info(_: *mut PyObject, args: *mut PyObject) -> *mut PyObject {
    let mut id: c_ulong = c_ulong::MAX;
    // SAFETY: as above; a place for an unsigned long.
    unsafe {
        if PyArg_ParseTuple(args, c"|k:get_thread_info".as_ptr(), &raw mut id) == 0 {
            return ptr::null_mut();
        }
        let s = if id == c_ulong::MAX {
            let s = scheduler::here();
            if s.is_null() {
                return ptr::null_mut();
            }
            s
        } else {
            match ids() {
                None => return PyErr_NoMemory(),
                Some(ids) if !ids.contains(&id) => {
                    return raise(PyExc_RuntimeError, c"Thread id not found");
                }
                Some(_) => find(id),
            }
        };
        let (main, current, count) = if s.is_null() {
            (none(), none(), 0)
        } else {
            ((*s).main.cast(), (*s).current.cast(), (*s).count)
        };
        incref(main);
        incref(current);
        let count = PyLong_FromSsize_t(count as Size);
        let info = if count.is_null() { count } else { PyTuple_Pack(3, main, current, count) };
        xdecref(count);
        decref(main);
        decref(current);
        info
    }
}

/// `t.run()` for one of another thread: it is the next one there.
///
/// # Safety
///
/// It can go on.
pub unsafe fn run_elsewhere(t: *mut Tasklet) {
    // SAFETY: the caller's promise.
    unsafe {
        let s = (*t).scheduler;
        if (*s).current == t || (*s).head == t {
            return;
        }
        let held = if (*t).queue == Queue::Ring { unlink(s, t) } else { new_ref(t) };
        if (*s).head.is_null() {
            make_runnable(s, held);
        } else {
            push_next(s, held);
            (*s).bell.ring();
        }
    }
}

/// The thread has ended; `s` was the record's, or is null. None of its tasklets ever runs again: what has begun is dead, and
/// in no queue; what has not can be given to another thread. As with all greenlets nothing is raised in them.
///
/// # Safety
///
/// The record's thread state is null already.
pub unsafe fn thread_ended(s: *mut Scheduler, finalizing: bool) {
    // SAFETY: the caller's promise. What is given up may run any code, so it is done one by one.
    unsafe {
        if s.is_null() {
            return;
        }
        let record = mem::replace(&mut (*s).record, ptr::null_mut());
        if finalizing {
            return;
        }
        (*s).bell.forget(); // asleep, in a process that was forked
        let running = (*record).current;
        while !(*s).head.is_null() {
            give_up([unlink(s, (*s).head).cast()]);
        }
        while let Some(t) = (*s).watchdogs.pop() {
            give_up([t.cast()]);
        }
        while !(*s).begun.is_null() {
            let t = new_ref((*s).begun);
            let (queued, channel) = Tasklet::leave_queue(t);
            let value = Tasklet::set_value(t, ptr::null_mut());
            let error = mem::replace(&mut (*t).error, ptr::null_mut());
            let greenlets = Tasklet::detach(t);
            for greenlet in greenlets {
                let greenlet: *mut PyGreenlet = greenlet.cast();
                if !greenlet.is_null() && (*greenlet).imp != running {
                    object::abandon_with((*greenlet).imp, true);
                }
            }
            give_up(greenlets);
            give_up([queued.cast(), channel.cast(), value, error, t.cast()]);
        }
        let main = (*s).main;
        let (queued, channel) = Tasklet::leave_queue(main);
        let greenlets = Tasklet::detach(main);
        (*main).stage = Stage::Idle;
        (*s).current = ptr::null_mut();
        give_up(greenlets);
        let left = mem::replace(&mut (*s).left, ptr::null_mut());
        let interrupted = mem::replace(&mut (*s).interrupted, ptr::null_mut());
        give_up([queued.cast(), channel.cast(), left.cast(), interrupted.cast()]);
        (*s).main = ptr::null_mut();
        give_up([main.cast()]);
        unref(s);
    }
}
