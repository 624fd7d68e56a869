//! `schedule`, `schedule_remove` and `run`: what gives others their turn.

use super::ffi::*;
use super::idle::idle;
use super::methods::leave_ring;
use super::scheduler::{
    self, Scheduler, give_up, is_free, is_untrapped, push_back, push_front, unlink,
};
use super::tasklet::{Queue, THREAD_BLOCK, Tasklet};
use super::transfer::{Refused, take_word, transfer};
use crate::ffi::*;
use core::ffi::{CStr, c_int};
use core::{mem, ptr};

/// Makes `t` the last of the runnables, and wakes its thread if that sleeps. Takes a reference.
///
/// # Safety
///
/// It belongs to the scheduler, can go on, and is in no queue.
pub unsafe fn make_runnable(s: *mut Scheduler, t: *mut Tasklet) {
    // SAFETY: the caller's promise.
    unsafe {
        push_back(s, t);
        (*s).bell.ring();
    }
}

/// The one argument `retval`, borrowed; the current tasklet if it is not given. Null with an error.
unsafe fn retval(
    s: *mut Scheduler,
    args: *const *mut PyObject,
    count: Size,
    names: *mut PyObject,
    name: &CStr,
) -> *mut PyObject {
    // SAFETY: `count` arguments, and one more for each name.
    unsafe {
        let is_retval = |name| PyUnicode_CompareWithASCIIString(name, c"retval".as_ptr()) == 0;
        let named = if names.is_null() { 0 } else { PyTuple_Size(names) };
        match (count, named) {
            (0, 0) => (*s).current.cast(),
            (1, 0) => *args,
            (0, 1) if is_retval(PyTuple_GetItem(names, 0)) => *args,
            _ => PyErr_Format(
                PyExc_TypeError,
                c"%s() takes one argument, retval".as_ptr(),
                name.as_ptr(),
            ),
        }
    }
}

/// The value for the current tasklet's place; what was there is given up.
unsafe fn set_value(s: *mut Scheduler, value: *mut PyObject) {
    // SAFETY: the value is borrowed from the caller's arguments.
    unsafe {
        let old = Tasklet::set_value((*s).current, new_ref(value));
        if !old.is_null() {
            give_up([old]);
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_schedule(
    _: *mut PyObject,
    args: *const *mut PyObject,
    count: Size,
    names: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by the interpreter, as all below.
    unsafe {
        let s = scheduler::here();
        if s.is_null() || !is_free(s) {
            return ptr::null_mut();
        }
        let value = retval(s, args, count, names, c"schedule");
        if value.is_null() {
            return value;
        }
        set_value(s, value);
        let me = (*s).current;
        let next = (*me).next;
        if next == me {
            return take_word(me);
        }
        if !is_untrapped(s) {
            return ptr::null_mut();
        }
        transfer(s, next).unwrap_or(ptr::null_mut())
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_schedule_remove(
    _: *mut PyObject,
    args: *const *mut PyObject,
    count: Size,
    names: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as above.
    unsafe {
        let s = scheduler::here();
        if s.is_null() || !is_free(s) {
            return ptr::null_mut();
        }
        let value = retval(s, args, count, names, c"schedule_remove");
        if value.is_null() || !is_untrapped(s) {
            return ptr::null_mut();
        }
        set_value(s, value);
        let me = (*s).current;
        let next = (*me).next;
        if next != me {
            return leave_ring(s, next).unwrap_or(ptr::null_mut());
        }
        let held = unlink(s, me);
        let next = idle(s, false);
        if next.is_null() || next == me {
            // Woken again, by another thread or because there is nobody else.
            if (*me).queue == Queue::None {
                push_front(s, held);
            } else {
                give_up([held.cast()]);
            }
            return if next.is_null() { next.cast() } else { take_word(me) };
        }
        (*s).left = held;
        transfer(s, next).unwrap_or_else(|Refused| {
            let held = mem::replace(&mut (*s).left, ptr::null_mut());
            if (*me).queue == Queue::None {
                push_front(s, held);
            } else {
                give_up([held.cast()]);
            }
            ptr::null_mut()
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_run(
    _: *mut PyObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> *mut PyObject {
    let names = [
        c"timeout".as_ptr(),
        c"threadblock".as_ptr(),
        c"soft".as_ptr(),
        c"ignore_nesting".as_ptr(),
        c"totaltimeout".as_ptr(),
        ptr::null(),
    ];
    let mut timeout: Size = 0;
    let mut flags = [0 as c_int; 4];
    let [threadblock, soft, ignore_nesting, totaltimeout] = &mut flags;
    // SAFETY: as above; places of the types that the format says.
    unsafe {
        let parsed = PyArg_ParseTupleAndKeywords(
            args,
            kwargs,
            c"|npppp:run".as_ptr(),
            names.as_ptr(),
            &raw mut timeout,
            threadblock as *mut c_int,
            soft as *mut c_int,
            ignore_nesting as *mut c_int,
            totaltimeout as *mut c_int,
        );
        let s = if parsed == 0 { ptr::null_mut() } else { scheduler::here() };
        if s.is_null() || !is_free(s) {
            return ptr::null_mut();
        }
        if (*s).count > 1 && !is_untrapped(s) {
            return ptr::null_mut();
        }
        if (*s).watchdogs.try_reserve(1).is_err() {
            return PyErr_NoMemory();
        }
        let [threadblock, soft, _, totaltimeout] = flags;
        let turns = if totaltimeout != 0 && timeout > 0 { timeout as usize } else { 0 };
        run(s, threadblock != 0, turns, soft != 0)
    }
}

/// Waits until nobody else is runnable, or `turns` turns are over.
unsafe fn run(s: *mut Scheduler, threadblock: bool, turns: usize, soft: bool) -> *mut PyObject {
    // SAFETY: the calling thread's scheduler, free, with room for one more watchdog.
    unsafe {
        let me = (*s).current;
        let old_flags = (*me).flags;
        if threadblock {
            (*me).flags |= THREAD_BLOCK;
        } else {
            (*me).flags &= !THREAD_BLOCK;
        }
        // Only the first that counts does.
        let counts = turns != 0 && (*s).turns == 0;
        if counts {
            (*s).turns = turns;
            (*s).timer = me;
        }
        (*s).watchdogs.push(unlink(s, me));
        let mut next = (*s).head;
        if next.is_null() {
            next = idle(s, false);
        }
        let result = if next.is_null() { Err(Refused) } else { transfer(s, next) };
        if (*me).queue == Queue::None {
            push_front(s, new_ref(me));
        }
        // Those that began to wait after us have not been woken; if we were woken by an earlier one we are not listed.
        while (*s).watchdogs.contains(&me) {
            let popped = (*s).watchdogs.pop().unwrap_or(me);
            if (*popped).queue == Queue::None && !(*popped).at.is_null() {
                push_back(s, popped);
            } else {
                give_up([popped.cast()]);
            }
        }
        (*me).flags = (*me).flags & !THREAD_BLOCK | old_flags & THREAD_BLOCK;
        if counts {
            (*s).turns = 0;
            (*s).timer = ptr::null_mut();
        }
        let interrupted = if counts {
            mem::replace(&mut (*s).interrupted, ptr::null_mut())
        } else {
            ptr::null_mut()
        };
        let value = result.unwrap_or(ptr::null_mut());
        if value.is_null() {
            give_up([interrupted.cast()]);
            return value;
        }
        give_up([value]);
        if interrupted.is_null() {
            return new_none();
        }
        if soft {
            give_up([interrupted.cast()]);
            return new_none();
        }
        if (*interrupted).queue == Queue::Ring && (*s).current != interrupted {
            give_up([unlink(s, interrupted).cast()]);
        }
        interrupted.cast()
    }
}
