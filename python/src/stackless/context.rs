//! In which `contextvars.Context` a tasklet runs: that of the one who bound it, unless it was given another.

use super::ffi::*;
use super::scheduler::give_up;
use super::tasklet::{Queue, Stage, Tasklet};
use crate::ffi::*;
use crate::object::Imp;
use core::{mem, ptr};

/// The context of the calling flow, made if need be, borrowed; null with an error.
unsafe fn current() -> *mut PyObject {
    // SAFETY: the GIL is held.
    unsafe {
        let ts = gr_thread();
        if gr_thread_context(ts).is_null() {
            // That makes one.
            let copy = PyContext_CopyCurrent();
            if copy.is_null() {
                return copy;
            }
            decref(copy);
        }
        gr_thread_context(ts)
    }
}

/// The tasklet, which is about to be bound, gets the context of the calling flow. False with an error.
pub unsafe fn inherit(t: *mut Tasklet) -> bool {
    // SAFETY: a valid tasklet without a greenlet.
    unsafe {
        let context = current();
        if context.is_null() {
            return false;
        }
        let old = mem::replace(&mut (*t).context, new_ref(context));
        give_up([old]);
        true
    }
}

/// The same, unless it has one.
pub unsafe fn ensure(t: *mut Tasklet) -> bool {
    // SAFETY: as above.
    unsafe { !(*t).context.is_null() || inherit(t) }
}

/// Where the context of a tasklet is that does not run; null if it runs, or nobody knows.
unsafe fn place(t: *mut Tasklet) -> *mut *mut PyObject {
    // SAFETY: a valid tasklet; greenlets of tasklets are valid.
    unsafe {
        match (*t).stage {
            Stage::Idle => &raw mut (*t).context,
            Stage::Ready => gr_state_context(Imp::state((*(*t).greenlet).imp)),
            Stage::Begun if (*t).at.is_null() || (*(*t).scheduler).current == t => ptr::null_mut(),
            Stage::Begun => gr_state_context(Imp::state((*(*t).at).imp)),
        }
    }
}

/// The context of a tasklet, borrowed; null with an error.
pub unsafe fn of(t: *mut Tasklet) -> *mut PyObject {
    // SAFETY: a valid tasklet.
    unsafe {
        let at = place(t);
        if !at.is_null() {
            if (*at).is_null() {
                let context = current();
                if context.is_null() {
                    return context;
                }
                *at = new_ref(context);
            }
            return *at;
        }
        let s = (*t).scheduler;
        if (*s).record.is_null() || (*s).current != t {
            return raise(PyExc_RuntimeError, c"the tasklet has no context any more");
        }
        if (*(*s).record).tstate == gr_thread() {
            return current();
        }
        let context = gr_thread_context((*(*s).record).tstate);
        if context.is_null() {
            return raise(
                PyExc_RuntimeError,
                c"the tasklet runs in another thread, without a context",
            );
        }
        context
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_tasklet_set_context(
    t: *mut Tasklet,
    context: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by the interpreter, as below.
    unsafe {
        if gr_is_context(context) == 0 {
            return raise(PyExc_TypeError, c"context must be a contextvars.Context");
        }
        let s = (*t).scheduler;
        let runs = (*s).current == t && !(*s).record.is_null();
        let foreign = (*s).record.is_null() || (*(*s).record).tstate != gr_thread();
        if foreign && (runs || (*t).queue != Queue::None) {
            return raise(PyExc_RuntimeError, c"tasklet belongs to a different thread");
        }
        let old = of(t);
        if old.is_null() {
            return old;
        }
        // Whoever is in `Context.run` leaves exactly that one. Only entering it tells.
        incref(old);
        let entered = PyContext_Enter(old) < 0 || PyContext_Exit(old) < 0;
        decref(old);
        if entered {
            return ptr::null_mut();
        }
        let at = place(t);
        if at.is_null() {
            gr_thread_set_context(gr_thread(), new_ref(context));
        } else {
            let old = mem::replace(&mut *at, new_ref(context));
            give_up([old]);
        }
        new_ref(t).cast()
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_tasklet_context_run(
    t: *mut Tasklet,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as above. What the flow's context was is kept here, in its own frame, and is put back when it is over.
    unsafe {
        let count = PyTuple_Size(args);
        if count < 1 {
            return raise(
                PyExc_TypeError,
                c"context_run() missing 1 required argument: 'callable'",
            );
        }
        let context = of(t);
        if context.is_null() {
            return context;
        }
        incref(context); // what follows may run code that gives the tasklet another one
        let rest = PyTuple_GetSlice(args, 1, count);
        let ours = if rest.is_null() { rest } else { current() };
        if ours.is_null() {
            give_up([rest, context]);
            return ours;
        }
        incref(ours);
        gr_thread_set_context(gr_thread(), context);
        let result = PyObject_Call(PyTuple_GetItem(args, 0), rest, kwargs);
        gr_thread_set_context(gr_thread(), ours);
        give_up([rest]);
        result
    }
}
