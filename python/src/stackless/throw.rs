//! Exceptions on their way to a tasklet: made from what `raise` takes, raised in it, and the one that ends it.

use super::channel;
use super::ffi::*;
use super::module;
use super::run::make_runnable;
use super::scheduler::{self, Scheduler, give_up, is_free, is_untrapped, push_back, unlink};
use super::tasklet::{Queue, Stage, Tasklet};
use super::transfer::{Refused, transfer};
use crate::ffi::*;
use crate::object;
use core::ffi::{CStr, c_int};
use core::{mem, ptr};

/// Sets the error indicator to `error`, an exception or a class of exceptions, which is taken.
///
/// # Safety
///
/// Just that.
pub unsafe fn raise_object(error: *mut PyObject) {
    // SAFETY: the caller's promise.
    unsafe {
        if is_exception_class(error) {
            PyErr_Restore(error, ptr::null_mut(), ptr::null_mut());
        } else {
            let exact = new_ref(class(error)).cast();
            PyErr_Restore(exact, error, PyException_GetTraceback(error));
        }
    }
}

/// The exception `args[0](*args[1:])`; null with an error.
///
/// # Safety
///
/// `args` is a tuple.
pub unsafe fn make(args: *mut PyObject, name: &CStr) -> *mut PyObject {
    // SAFETY: the caller's promise.
    unsafe {
        let count = PyTuple_Size(args);
        let class = if count > 0 { PyTuple_GetItem(args, 0) } else { ptr::null_mut() };
        if class.is_null() || !is_exception_class(class) {
            return PyErr_Format(
                PyExc_TypeError,
                c"%s() needs a class of exceptions, and its arguments".as_ptr(),
                name.as_ptr(),
            );
        }
        let rest = PyTuple_GetSlice(args, 1, count);
        if rest.is_null() {
            return rest;
        }
        let error = PyObject_CallObject(class, rest);
        decref(rest);
        if !error.is_null() && !is_exception(error) {
            decref(error);
            return raise(PyExc_TypeError, c"calling the class of exceptions did not make one");
        }
        error
    }
}

/// The exception of `raise`'s three parts, each borrowed, with its traceback; null with an error.
///
/// # Safety
///
/// The last two may be null.
pub unsafe fn from_parts([first, value, traceback]: [*mut PyObject; 3]) -> *mut PyObject {
    // SAFETY: the caller's promise.
    unsafe {
        let given = |part: *mut PyObject| !part.is_null() && part != none();
        if given(traceback) && gr_is_traceback(traceback) == 0 {
            return raise(PyExc_TypeError, c"the third argument must be a traceback or None");
        }
        let error = if is_exception_class(first) {
            if given(value)
                && is_exception(value)
                && PyObject_IsSubclass(class(value).cast(), first) > 0
            {
                new_ref(value)
            } else if !given(value) {
                PyObject_CallNoArgs(first)
            } else if is_tuple(value) {
                PyObject_CallObject(first, value)
            } else {
                PyObject_CallFunctionObjArgs(first, value, ptr::null_mut::<PyObject>())
            }
        } else if is_exception(first) {
            if given(value) {
                return raise(PyExc_TypeError, c"instance exception may not have a separate value");
            }
            new_ref(first)
        } else {
            return PyErr_Format(
                PyExc_TypeError,
                c"exceptions must be classes, or instances, not %s".as_ptr(),
                gr_type_name(first),
            );
        };
        if error.is_null() {
            return error;
        }
        if !is_exception(error) {
            decref(error);
            return raise(PyExc_TypeError, c"calling the class of exceptions did not make one");
        }
        if given(traceback) && PyException_SetTraceback(error, traceback) < 0 {
            decref(error);
            return ptr::null_mut();
        }
        error
    }
}

/// Whether it is TaskletExit, or of a class that inherits from it.
unsafe fn is_exit(error: *mut PyObject) -> bool {
    // SAFETY: an exception or a class of those.
    unsafe {
        let class = if is_exception_class(error) { error } else { class(error).cast() };
        class == module::exit_class() || PyObject_IsSubclass(class, module::exit_class()) > 0
    }
}

/// Raises `error`, which is taken, in `t`: at once, or, if `pending`, when its turn comes. Answers what the method returns.
///
/// # Safety
///
/// The GIL is held, and the caller holds `t`.
pub unsafe fn throw(t: *mut Tasklet, error: *mut PyObject, pending: bool) -> *mut PyObject {
    // SAFETY: the caller's promise. Whether it is an exit is asked first, since that may run code.
    unsafe {
        let is_exit = is_exit(error);
        let s = scheduler::here();
        if s.is_null() {
            give_up([error]);
            return ptr::null_mut();
        }
        if t == (*s).current {
            raise_object(error);
            return ptr::null_mut();
        }
        let refused = if (*t).stage == Stage::Idle {
            Some(c"You cannot throw to a dead tasklet")
        } else if Tasklet::is_orphan(t) {
            Some(c"tasklet has no thread")
        } else if Tasklet::is_lost(t) {
            Some(c"another greenlet has taken the tasklet's place")
        } else {
            None
        };
        if let Some(why) = refused {
            give_up([error]);
            if is_exit && (*t).stage != Stage::Begun {
                if (*t).stage == Stage::Ready {
                    Tasklet::unbind(t);
                }
                return new_none();
            }
            return raise(PyExc_RuntimeError, why);
        }
        if !is_free(s) {
            give_up([error]);
            return ptr::null_mut();
        }
        if is_exit && !pending && (*t).stage == Stage::Ready && (*t).scheduler == s {
            // Nothing of it would run.
            let (queued, _) = Tasklet::leave_queue(t);
            Tasklet::unbind(t);
            give_up([error, queued.cast()]);
            return new_none();
        }
        if pending || (*t).scheduler != s {
            set_pending(t, error);
            return new_none();
        }
        if !is_untrapped(s) {
            give_up([error]);
            return ptr::null_mut();
        }
        now(s, t, error)
    }
}

/// `t` gets `error`, which is taken, when its turn comes, and that does.
unsafe fn set_pending(t: *mut Tasklet, error: *mut PyObject) {
    // SAFETY: a tasklet that can go on.
    unsafe {
        let old = mem::replace(&mut (*t).error, error);
        let mut channel = ptr::null_mut();
        if (*t).queue != Queue::Ring {
            let (queued, left) = Tasklet::leave_queue(t);
            channel = left;
            make_runnable((*t).scheduler, if queued.is_null() { new_ref(t) } else { queued });
        }
        give_up([old, channel.cast()]);
    }
}

/// Switches to `t`, of this thread, which gets `error`; that is taken.
unsafe fn now(s: *mut Scheduler, t: *mut Tasklet, error: *mut PyObject) -> *mut PyObject {
    // SAFETY: as in `throw`. What is given up is given up when everything is in its place.
    unsafe {
        let was = (*t).queue;
        let (direction, place) = ((*t).direction, (*t).next);
        let mut channel = ptr::null_mut();
        if was != Queue::Ring {
            let (queued, left) = Tasklet::leave_queue(t);
            channel = left;
            push_back(s, if queued.is_null() { new_ref(t) } else { queued });
        }
        let old = mem::replace(&mut (*t).error, error);
        match transfer(s, t) {
            Ok(value) => {
                give_up([old, channel.cast()]);
                value
            }
            Err(Refused) => {
                let error = mem::replace(&mut (*t).error, old);
                match was {
                    Queue::Ring => {}
                    Queue::None => give_up([unlink(s, t).cast()]),
                    Queue::Channel => channel::relink(channel, unlink(s, t), direction, place),
                }
                give_up([error]);
                ptr::null_mut()
            }
        }
    }
}

/// How often one is asked to end before it is left alone.
const PATIENCE: c_int = 10;

/// Nobody has a reference to `t`, which has begun and is suspended, but our caller (and a channel that is garbage as well).
/// It is made to end, now or when its turn comes. The error indicator is kept.
///
/// # Safety
///
/// Its thread has not ended.
pub unsafe fn last_words(s: *mut Scheduler, t: *mut Tasklet) {
    // SAFETY: the caller's promise.
    unsafe {
        let saved = Error::take();
        let record = (*s).record;
        let exit = module::exit_class();
        let can = (*record).tstate == gr_thread()
            && (*record).scheduler == s
            && !(*s).locked
            && (*s).trap == 0
            && (*s).left.is_null()
            && (*(*s).current).queue == Queue::Ring
            && gr_collecting((*record).tstate) == 0
            && !object::is_unsafe_now((*(*t).at).imp);
        if can {
            let mut asked = 0;
            while (*t).stage == Stage::Begun && (*t).queue == Queue::None && asked < PATIENCE {
                if Tasklet::is_lost(t) {
                    break;
                }
                let me = (*s).current;
                // What is here for the current one is not for us.
                let kept = mem::replace(&mut (*me).value, ptr::null_mut());
                let back = now(s, t, new_ref(exit));
                if back.is_null() {
                    PyErr_WriteUnraisable(t.cast());
                } else {
                    decref(back);
                }
                give_up([Tasklet::set_value(me, kept)]);
                asked += 1;
            }
            if asked == PATIENCE && (*t).stage == Stage::Begun && (*t).queue == Queue::None {
                incref(t.cast()); // leaked: there is nothing else that could be done with it
                object::complain(t.cast(), c"TaskletExit did not end ");
            }
        } else {
            set_pending(t, new_ref(exit));
        }
        saved.restore();
    }
}
