//! The end of a tasklet: its last frames, in its own greenlet, choose who is next, and the greenlet ends into that one.

use super::idle::{find_main, idle, watchdog};
use super::module;
use super::scheduler::{Scheduler, drop_left, give_up, push_back, unlink};
use super::tasklet::{Queue, Stage, Tasklet};
use super::transfer::{becomes_begun, put_back, put_call_back, take_call, take_word};
use crate::ffi::*;
use crate::life;
use crate::object::{self, Imp};
use crate::switch;
use core::{mem, ptr};

/// The function of `this`, a tasklet's greenlet, has returned `result`, or raised. Returns only if the greenlet shall end as
/// others do, because its tasklet is not the current one: with what it leaves.
///
/// # Safety
///
/// It runs, and nothing of Python is left on its stack.
pub unsafe fn end(this: *mut Imp, result: *mut PyObject) -> *mut PyObject {
    // SAFETY: the caller's promise. The tasklet is in a queue or held by somebody, until `left` has it.
    unsafe {
        let t = (*this).tasklet;
        let s = (*t).scheduler;
        drop_left(s);
        if !is_current(this, s) {
            return result;
        }
        let failed = result.is_null() && !is_silent();
        give_up([
            result,
            mem::replace(&mut (*this).run, ptr::null_mut()),
            mem::replace(&mut (*t).args, ptr::null_mut()),
            mem::replace(&mut (*t).kwargs, ptr::null_mut()),
            mem::replace(&mut (*t).error, ptr::null_mut()),
            Tasklet::set_value(t, ptr::null_mut()),
        ]);
        life::empty_trash((*(*s).record).tstate);
        drop_left(s);
        // That may have run anything.
        if !is_current(this, s) {
            return if failed { ptr::null_mut() } else { new_none() };
        }
        give_up(Tasklet::detach(t));
        (*s).left = unlink(s, t);
        let mut word_is_error = failed;
        let mut next = if failed { summon(s) } else { (*s).head };
        if next.is_null() {
            next = idle(s, true);
            if next.is_null() {
                word_is_error = true;
                next = summon(s);
            }
        }
        if module::is_watched(s) {
            next = module::watch(s, t, next);
        }
        leave(s, this, t, next, word_is_error)
    }
}

/// Whether the tasklet of `this`, if it still has one, is the current one. If not they are taken apart.
unsafe fn is_current(this: *mut Imp, s: *mut Scheduler) -> bool {
    // SAFETY: a greenlet's tasklet is valid.
    unsafe {
        let t = (*this).tasklet;
        if t.is_null() || (*s).current == t {
            return !t.is_null();
        }
        let (queued, channel) = Tasklet::leave_queue(t);
        let [root, at] = Tasklet::detach(t);
        give_up([queued.cast(), channel.cast(), root, at]);
        false
    }
}

/// Whether what a tasklet has not caught is nobody's business: TaskletExit, or the handler has seen to it.
unsafe fn is_silent() -> bool {
    // SAFETY: an exception is set.
    unsafe {
        if PyErr_ExceptionMatches(module::exit_class()) != 0 {
            PyErr_Clear();
            return true;
        }
        module::handle_error()
    }
}

/// Makes the one who gets errors runnable and the head, wherever it is. What it waited for is given up.
unsafe fn summon(s: *mut Scheduler) -> *mut Tasklet {
    // SAFETY: the tasklets are valid. The reference to the channel is not the last one: who waits there is in a call of it.
    unsafe {
        let mut woken = watchdog(s);
        if (*woken).stage != Stage::Begun || (*woken).at.is_null() {
            // Its place was taken by hand. Main's greenlet is always there.
            woken = (*s).main;
        }
        find_main(s, woken);
        if (*woken).queue != Queue::Ring {
            let (queued, channel) = Tasklet::leave_queue(woken);
            push_back(s, if queued.is_null() { new_ref(woken) } else { queued });
            if !channel.is_null() {
                give_up([channel.cast()]);
            }
        }
        (*s).head = woken;
        woken
    }
}

/// Ends into `next`.
unsafe fn leave(
    s: *mut Scheduler,
    this: *mut Imp,
    ended: *mut Tasklet,
    next: *mut Tasklet,
    word_is_error: bool,
) -> ! {
    // SAFETY: as in `end`. `next` is in the ring.
    unsafe {
        (*s).head = next;
        (*s).current = next;
        (*s).wake = next;
        (*s).locked = !(*(*s).record).tracer.is_null();
        (*this).stage = object::Stage::Done;
        if (*next).stage == Stage::Begun {
            let target = (*(*next).at).imp;
            let word = if word_is_error { ptr::null_mut() } else { take_word(next) };
            life::end_in(this, target, word);
            if word_is_error {
                PyErr_Clear();
            } else {
                put_back(next, word);
            }
        } else {
            let record = (*s).record;
            let (run, parcel) = take_call(next);
            becomes_begun(next, record);
            let greenlet = new_ref((*next).greenlet);
            switch::start_with(record, (*greenlet).imp, run, parcel, greenlet);
            decref(greenlet.cast());
            Tasklet::unlist(next);
            (*next).stage = Stage::Ready;
            put_call_back(next, run, parcel);
        }
        // Nobody can be continued without memory but the one that lies above: that one takes our place.
        (*s).wake = ptr::null_mut();
        (*s).current = ended;
        PyErr_NoMemory();
        life::end_above(this)
    }
}
