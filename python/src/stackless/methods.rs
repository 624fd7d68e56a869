//! What can be done to a tasklet: what it runs, when, and in which thread. Raising in it is in `throw`.

use super::context;
use super::ffi::*;
use super::module;
use super::run::make_runnable;
use super::scheduler::{self, Scheduler, give_up, is_free, is_untrapped};
use super::tasklet::{self, Queue, Stage, Tasklet};
use super::threads;
use super::throw;
use super::transfer::{Refused, take_word, transfer};
use crate::ffi::*;
use core::ffi::{CStr, c_int, c_ulong};
use core::{mem, ptr};

/// The arguments `func`, `args` and `kwargs`: borrowed, null if they are not there or None.
unsafe fn bind_arguments(
    args: *mut PyObject,
    kwargs: *mut PyObject,
    format: &CStr,
) -> Option<[*mut PyObject; 3]> {
    let names = [c"func".as_ptr(), c"args".as_ptr(), c"kwargs".as_ptr(), ptr::null()];
    let mut given = [ptr::null_mut::<PyObject>(); 3];
    let [a, b, c] = &mut given;
    // SAFETY: called with a tuple and a dictionary or null; three places for three objects.
    unsafe {
        let parsed = PyArg_ParseTupleAndKeywords(
            args,
            kwargs,
            format.as_ptr(),
            names.as_ptr(),
            a as *mut *mut PyObject,
            b as *mut *mut PyObject,
            c as *mut *mut PyObject,
        );
        if parsed == 0 {
            return None;
        }
        Some(given.map(|part| if part == none() { ptr::null_mut() } else { part }))
    }
}

/// The arguments of a call to come, owned: a tuple, and a dictionary or null. `None` with an error.
unsafe fn call_arguments(
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> Option<(*mut PyObject, *mut PyObject)> {
    // SAFETY: objects or null.
    unsafe {
        let args = if args.is_null() { PyTuple_New(0) } else { PySequence_Tuple(args) };
        if args.is_null() {
            return None;
        }
        let mut copy = ptr::null_mut();
        if !kwargs.is_null() {
            if !is_dict(kwargs) {
                decref(args);
                raise::<()>(PyExc_TypeError, c"kwargs must be a dictionary");
                return None;
            }
            if PyDict_Size(kwargs) > 0 {
                copy = PyDict_Copy(kwargs);
                if copy.is_null() {
                    decref(args);
                    return None;
                }
            }
        }
        Some((args, copy))
    }
}

/// Whether it may be bound to something else; else an error is set.
unsafe fn can_bind(t: *mut Tasklet) -> bool {
    // SAFETY: a valid tasklet.
    unsafe {
        let s = (*t).scheduler;
        let why = if (*s).current == t && !(*s).record.is_null() {
            c"can't (re)bind the current tasklet"
        } else if (*t).queue != Queue::None {
            c"tasklet is scheduled"
        } else if (*t).stage == Stage::Begun {
            c"tasklet has C state on its stack"
        } else {
            return true;
        };
        raise::<()>(PyExc_RuntimeError, why);
        false
    }
}

/// `bind`, for `__init__` as well.
unsafe fn bind(t: *mut Tasklet, [function, args, kwargs]: [*mut PyObject; 3]) -> bool {
    // SAFETY: objects or null.
    unsafe {
        if !function.is_null() && PyCallable_Check(function) == 0 {
            raise::<()>(PyExc_TypeError, c"tasklet function must be a callable or None");
            return false;
        }
        if !can_bind(t) {
            return false;
        }
        let keeps = function.is_null() && !(args.is_null() && kwargs.is_null());
        let call = if args.is_null() && kwargs.is_null() {
            None
        } else {
            match call_arguments(args, kwargs) {
                // The arguments may come out of an iterator, and so run anything.
                Some((args, kwargs)) if !can_bind(t) => {
                    give_up([args, kwargs]);
                    return false;
                }
                Some(call) => Some(call),
                None => return false,
            }
        };
        let function = if keeps {
            // What it was bound to: the value, or, if it was ready, what it would have called.
            let bound = if (*t).stage == Stage::Ready { (*t).run } else { (*t).value };
            if bound.is_null() { none() } else { bound }
        } else if function.is_null() {
            none()
        } else {
            function
        };
        incref(function);
        Tasklet::unbind(t);
        give_up([Tasklet::set_value(t, function)]);
        if !keeps && function != none() && !context::inherit(t) {
            if let Some((args, kwargs)) = call {
                give_up([args, kwargs]);
            }
            return false;
        }
        match call {
            Some((args, kwargs)) => Tasklet::prepare(t, args, kwargs),
            None => true,
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_tasklet_init(
    t: *mut Tasklet,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> c_int {
    // SAFETY: called by the interpreter, as all below.
    unsafe {
        match bind_arguments(args, kwargs, c"|OOO:tasklet") {
            Some(given) if bind(t, given) => 0,
            _ => -1,
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_tasklet_bind(
    t: *mut Tasklet,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as above.
    unsafe {
        match bind_arguments(args, kwargs, c"|OOO:bind") {
            Some(given) if bind(t, given) => new_ref(t).cast(),
            _ => ptr::null_mut(),
        }
    }
}

/// `tp_call`, and `setup`.
#[unsafe(no_mangle)]
unsafe extern "C" fn sl_tasklet_call(
    t: *mut Tasklet,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as above.
    unsafe {
        if (*t).stage != Stage::Idle {
            return raise(PyExc_RuntimeError, c"tasklet is alive");
        }
        let Some((args, kwargs)) = call_arguments(args, kwargs) else {
            return ptr::null_mut();
        };
        if !Tasklet::prepare(t, args, kwargs) {
            return ptr::null_mut();
        }
        make_runnable((*t).scheduler, new_ref(t));
        new_ref(t).cast()
    }
}

/// Whether it can be made runnable, or is; else an error is set.
unsafe fn can_run(t: *mut Tasklet) -> bool {
    // SAFETY: a valid tasklet.
    unsafe {
        let why = if (*t).queue == Queue::Channel {
            c"You cannot run a blocked tasklet"
        } else if Tasklet::is_orphan(t) {
            c"tasklet has no thread"
        } else if (*t).stage == Stage::Idle {
            c"You cannot run an unbound(dead) tasklet"
        } else if Tasklet::is_lost(t) {
            c"another greenlet has taken the tasklet's place"
        } else {
            return true;
        };
        raise::<()>(PyExc_RuntimeError, why);
        false
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_tasklet_insert(t: *mut Tasklet, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: as above.
    unsafe {
        let s = scheduler::here();
        if s.is_null() || !is_free(s) || !can_run(t) {
            return ptr::null_mut();
        }
        if (*t).queue == Queue::None {
            make_runnable((*t).scheduler, new_ref(t));
        }
        new_ref(t).cast()
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_tasklet_remove(t: *mut Tasklet, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: as above; the caller holds it.
    unsafe {
        let s = (*t).scheduler;
        if !is_free(s) {
            return ptr::null_mut();
        }
        match (*t).queue {
            Queue::Channel => raise(PyExc_RuntimeError, c"You cannot remove a blocked tasklet."),
            Queue::Ring if (*s).current == t => {
                raise(PyExc_RuntimeError, c"The current tasklet cannot be removed.")
            }
            Queue::Ring => scheduler::unlink(s, t).cast(),
            Queue::None => new_ref(t).cast(),
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_tasklet_run(t: *mut Tasklet, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: as above; the caller holds it.
    unsafe {
        let s = scheduler::here();
        if s.is_null() || !is_free(s) || !can_run(t) {
            return ptr::null_mut();
        }
        if (*t).scheduler != s {
            threads::run_elsewhere(t);
            return new_none();
        }
        if t != (*s).current && !is_untrapped(s) {
            return ptr::null_mut();
        }
        let inserted = (*t).queue == Queue::None;
        if inserted {
            scheduler::push_back(s, new_ref(t));
        }
        match transfer(s, t) {
            Ok(value) => value,
            Err(Refused) => {
                if inserted {
                    give_up([scheduler::unlink(s, t).cast()]);
                }
                ptr::null_mut()
            }
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_tasklet_switch(t: *mut Tasklet, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: as above; the caller holds it.
    unsafe {
        let s = scheduler::here();
        if s.is_null() || !is_free(s) || !can_run(t) {
            return ptr::null_mut();
        }
        if (*t).scheduler != s {
            return raise(PyExc_RuntimeError, c"can't switch to a different thread.");
        }
        let me = (*s).current;
        if t == me {
            return take_word(me);
        }
        if !is_untrapped(s) {
            return ptr::null_mut();
        }
        let inserted = (*t).queue == Queue::None;
        if inserted {
            scheduler::push_back(s, new_ref(t));
        }
        leave_ring(s, t).unwrap_or_else(|Refused| {
            if inserted {
                give_up([scheduler::unlink(s, t).cast()]);
            }
            ptr::null_mut()
        })
    }
}

/// The current tasklet leaves the ring and is paused; `next` runs.
///
/// # Safety
///
/// As for [`transfer`].
pub unsafe fn leave_ring(s: *mut Scheduler, next: *mut Tasklet) -> Result<*mut PyObject, Refused> {
    // SAFETY: the caller's promise. Nothing is in `left` where code of the user's can run.
    unsafe {
        let me = (*s).current;
        (*s).left = scheduler::unlink(s, me);
        let result = transfer(s, next);
        if result.is_err() {
            let held = mem::replace(&mut (*s).left, ptr::null_mut());
            scheduler::push_front(s, held);
        }
        result
    }
}

/// `pending`'s truth; -1 with an error.
unsafe fn truth(flag: *mut PyObject) -> c_int {
    // SAFETY: an object or null.
    unsafe { if flag.is_null() { 0 } else { PyObject_IsTrue(flag) } }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_tasklet_kill(
    t: *mut Tasklet,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> *mut PyObject {
    let names = [c"pending".as_ptr(), ptr::null()];
    let mut pending = ptr::null_mut::<PyObject>();
    // SAFETY: as above; one place for an object.
    unsafe {
        let place = &raw mut pending;
        let format = c"|O:kill".as_ptr();
        if PyArg_ParseTupleAndKeywords(args, kwargs, format, names.as_ptr(), place) == 0 {
            return ptr::null_mut();
        }
        match truth(pending) {
            -1 => ptr::null_mut(),
            pending => throw::throw(t, new_ref(module::exit_class()), pending != 0),
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_tasklet_throw(
    t: *mut Tasklet,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> *mut PyObject {
    let names =
        [c"exc".as_ptr(), c"val".as_ptr(), c"tb".as_ptr(), c"pending".as_ptr(), ptr::null()];
    let mut given = [ptr::null_mut::<PyObject>(); 4];
    let [class, value, traceback, pending] = &mut given;
    // SAFETY: as above; four places for four objects.
    unsafe {
        let parsed = PyArg_ParseTupleAndKeywords(
            args,
            kwargs,
            c"O|OOO:throw".as_ptr(),
            names.as_ptr(),
            class as *mut *mut PyObject,
            value as *mut *mut PyObject,
            traceback as *mut *mut PyObject,
            pending as *mut *mut PyObject,
        );
        if parsed == 0 {
            return ptr::null_mut();
        }
        let pending = truth(given[3]);
        if pending < 0 {
            return ptr::null_mut();
        }
        let error = throw::from_parts([given[0], given[1], given[2]]);
        if error.is_null() { error } else { throw::throw(t, error, pending != 0) }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_tasklet_raise_exception(
    t: *mut Tasklet,
    args: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as above.
    unsafe {
        let error = throw::make(args, c"raise_exception");
        if error.is_null() { error } else { throw::throw(t, error, false) }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_tasklet_bind_thread(t: *mut Tasklet, args: *mut PyObject) -> *mut PyObject {
    let mut id: c_ulong = c_ulong::MAX;
    // SAFETY: as above.
    unsafe {
        let format = c"|k:bind_thread".as_ptr();
        if PyArg_ParseTuple(args, format, &raw mut id) == 0 {
            return ptr::null_mut();
        }
        let here = scheduler::here();
        let s = if id == c_ulong::MAX { here } else { threads::find(id) };
        if here.is_null() {
            return ptr::null_mut();
        }
        if s.is_null() {
            return raise(PyExc_ValueError, c"bad thread");
        }
        if (*t).scheduler == s {
            return new_none();
        }
        if (*t).queue != Queue::None {
            return raise(PyExc_RuntimeError, c"can't (re)bind a runnable tasklet");
        }
        if (*t).stage == Stage::Begun {
            return raise(PyExc_RuntimeError, c"tasklet has C state on its stack");
        }
        (*s).refs += 1;
        let old = mem::replace(&mut (*t).scheduler, s);
        if !(*t).greenlet.is_null() {
            let parent = &raw mut (*(*(*t).greenlet).imp).parent;
            let main = new_ref((*(*s).record).main);
            let old_main = mem::replace(&mut *parent, main);
            give_up([old_main.cast()]);
        }
        scheduler::unref(old);
        new_none()
    }
}

/// Sets a flag; answers what it was.
unsafe fn set_flag(t: *mut Tasklet, flag: u8, value: *mut PyObject) -> *mut PyObject {
    // SAFETY: as above.
    unsafe {
        let on = PyObject_IsTrue(value);
        if on < 0 {
            return ptr::null_mut();
        }
        let flags = &raw mut (*t).flags;
        let old = *flags & flag != 0;
        *flags = if on != 0 { *flags | flag } else { *flags & !flag };
        PyBool_FromLong(old.into())
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_tasklet_set_atomic(t: *mut Tasklet, value: *mut PyObject) -> *mut PyObject {
    // SAFETY: as above.
    unsafe { set_flag(t, tasklet::ATOMIC, value) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_tasklet_set_ignore_nesting(
    t: *mut Tasklet,
    value: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as above.
    unsafe { set_flag(t, tasklet::IGNORE_NESTING, value) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_refuse_pickle(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: as above.
    unsafe {
        PyErr_Format(PyExc_TypeError, c"cannot pickle '%s' object".as_ptr(), gr_type_name(this))
    }
}
