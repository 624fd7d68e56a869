//! What a greenlet runs, from its first call to its end: the only frames of ours at the bottom of every slice.

use crate::ffi::*;
use crate::object::{Imp, Stage};
use crate::record;
use crate::root;
use crate::stackless;
use crate::switch::{self, Parcel, Started};
use crate::{check, cxx};
use core::ffi::c_void;
use core::{mem, ptr};
use greenlet::raw;

/// The body that the engine runs; the word is the greenlet. Its own frame is part of every slice, so it is kept small.
pub unsafe extern "C" fn body(word: *mut c_void) -> ! {
    let this: *mut Imp = word.cast();
    // SAFETY: `switch::start` has made this the current greenlet of its record, and left what to call there.
    unsafe {
        let (args, kwargs) = enter(this);
        let run = (*this).run;
        let result = if args.is_null() {
            if run.is_null() { ptr::null_mut() } else { PyObject_CallNoArgs(run) }
        } else {
            call(this, args, kwargs)
        };
        leave(this, result)
    }
}

/// The call of `run` with arguments: a tuple and a dictionary or null, both owned. They lie where the collector sees them.
#[inline(never)]
unsafe fn call(this: *mut Imp, args: *mut PyObject, kwargs: *mut PyObject) -> *mut PyObject {
    // SAFETY: the caller owns them.
    unsafe {
        (*this).begun_with = [args, kwargs];
        let result = PyObject_Call((*this).run, args, kwargs);
        (*this).begun_with = [ptr::null_mut(); 2];
        xdecref(kwargs);
        decref(args);
        result
    }
}

/// Before the first call: the starter is traced and given up, and what was to be run before is forgotten. Answers the
/// arguments, null if there are none; `run` is null if there is an exception instead.
#[inline(never)]
unsafe fn enter(this: *mut Imp) -> (*mut PyObject, *mut PyObject) {
    // SAFETY: as in `body`. The record's slots are emptied before any code runs.
    unsafe {
        let record = (*this).record;
        let ts = (*record).tstate;
        #[cfg(not(py312))]
        gr_state_arrived(ts);
        let [run, args, kwargs] = mem::replace(&mut (*record).begin, [ptr::null_mut(); 3]);
        let origin = mem::replace(&mut (*record).origin, ptr::null_mut());
        let mut error = args.is_null();
        let old = mem::replace(&mut (*this).run, run);
        xdecref(old);
        if !(*record).tracer.is_null() {
            error |= !switch::trace(record, ts, origin, (*this).object, error);
        }
        decref(origin.cast());
        if !(*this).tasklet.is_null() {
            stackless::begun(this);
        }
        if error {
            xdecref(args);
            xdecref(kwargs);
            clear(&raw mut (*this).run);
            return (ptr::null_mut(), ptr::null_mut());
        }
        if kwargs.is_null() && PyTuple_Size(args) == 0 {
            decref(args);
            return (ptr::null_mut(), ptr::null_mut());
        }
        (args, kwargs)
    }
}

/// After the call: control goes to the parent, and never comes back.
#[inline(never)]
unsafe fn leave(this: *mut Imp, result: *mut PyObject) -> ! {
    // SAFETY: the greenlet runs, and nothing of Python is left on its stack.
    unsafe {
        let result = if (*this).tasklet.is_null() { result } else { stackless::end(this, result) };
        let mut no_memory = false;
        let mut parcel = if result.is_null() { Parcel::of_exit() } else { Parcel::of(result) };
        clear(&raw mut (*this).run);
        empty_trash((*(*this).record).tstate);
        (*this).stage = Stage::Done;
        let mut parent = (*this).parent;
        while !parent.is_null() {
            incref(parent.cast());
            no_memory |= end_into(this, (*parent).imp, parcel);
            // That failed, and the next one gets the reason.
            parcel = Parcel::ERROR;
            let next = (*(*parent).imp).parent;
            // The chain is as long as the parents live; the last reference to this one may be ours.
            if !next.is_null() {
                incref(next.cast());
            }
            decref(parent.cast());
            parent = next;
            xdecref(next);
        }
        if no_memory {
            end_above(this);
        }
        PyErr_WriteUnraisable((*this).object.cast());
        Py_FatalError(
            c"greenlet: ran out of parent greenlets while propagating exception; cannot continue"
                .as_ptr(),
        )
    }
}

/// Gives up what the running greenlet has put off giving up. Each has a list of its own (CPython 3.13 and newer), which
/// the interpreter takes up as soon as there is enough of the stack left: of one that began deep, never. May run any code.
///
/// # Safety
///
/// The greenlet is about to end, and still can be switched away from.
pub unsafe fn empty_trash(ts: *mut ThreadState) {
    #[cfg(py313)]
    // SAFETY: the caller's promise.
    unsafe {
        gr_state_empty_trash(ts);
    }
    #[cfg(not(py313))]
    let _ = ts;
}

/// Ends `this` and continues `target`, or the first ancestor of it that has not ended. Takes the parcel and a reference
/// to the target. Returns with an exception set if it could not, and the reference is not taken then; true: there was
/// no memory to save what lies where the target's frames belong.
unsafe fn end_into(this: *mut Imp, target: *mut Imp, parcel: Parcel) -> bool {
    // SAFETY: as in `leave`.
    unsafe {
        let record = (*this).record;
        if !switch::is_allowed(record, target) {
            parcel.drop();
            return false;
        }
        let mut at = target;
        loop {
            match (*at).stage {
                Stage::Active => break,
                Stage::New => match switch::start(record, at, parcel, (*target).object) {
                    Started::Back(_) => return PyErr_ExceptionMatches(PyExc_MemoryError) != 0,
                    Started::Otherwise => {}
                },
                Stage::Done => {
                    let parent = (*at).parent;
                    if parent.is_null() {
                        parcel.drop();
                        raise::<()>(
                            record::error_class(),
                            c"cannot switch to a garbage collected greenlet",
                        );
                        return false;
                    }
                    at = (*parent).imp;
                }
            }
        }
        let error = parcel.is_error();
        let value = parcel.into_value();
        if value.is_null() && !error {
            return false;
        }
        // The reference that `leave` took: the chain of parents holds the target as well.
        decref((*target).object.cast());
        end_in(this, at, value);
        incref((*target).object.cast());
        xdecref(value);
        PyErr_NoMemory();
        true
    }
}

/// Ends `this` and continues `at`, which is suspended in this thread. Returns if there is no memory for that, and nothing
/// has changed then but that nothing is left of what the interpreter had for `this`.
///
/// # Safety
///
/// `this` runs, and nothing of Python is left on its stack; `value` is owned, or null, and an exception is set.
pub unsafe fn end_in(this: *mut Imp, at: *mut Imp, value: *mut PyObject) {
    // SAFETY: as in `leave`.
    unsafe {
        let record = (*this).record;
        let ts = (*record).tstate;
        if check::FLAG != 0 {
            check::leaves(record, at, value);
        }
        dismantle(ts, this);
        gr_state_swap(ts, Imp::state(this), Imp::state(at));
        cxx::cross(record, this, at);
        (*record).origin = (*this).object;
        (*record).current = at;
        incref((*at).object.cast());
        // It comes back only without memory: all else has been checked.
        let _ = raw::Thread::finish(&raw mut (*record).thread, Imp::raw(at), value.cast());
        switch::refused(record, ts, this, at);
    }
}

/// No ancestor could be continued without memory: ends `this`, and the greenlet that lies just above it on the stack gets
/// the exception that is set, since that one needs none.
///
/// # Safety
///
/// As for [`end_in`].
pub unsafe fn end_above(this: *mut Imp) -> ! {
    // SAFETY: as in `leave`. What has bytes on the stack is suspended, and lives in an `Imp`.
    unsafe {
        let above = raw::Thread::above(Imp::raw(this));
        if !above.is_null() {
            end_in(this, above.byte_sub(mem::offset_of!(Imp, raw)).cast(), ptr::null_mut());
        }
        Py_FatalError(c"greenlet: out of memory at the end of a greenlet".as_ptr());
    }
}

/// Takes apart what the interpreter has for the running greenlet alone, when no Python frame of it is left.
///
/// # Safety
///
/// Just that.
pub unsafe fn dismantle(ts: *mut ThreadState, this: *mut Imp) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut overflowed = 0;
        let block = gr_state_end(ts, Imp::state(this), &mut overflowed);
        if !block.is_null() {
            if overflowed != 0 {
                root::remember((*this).root_key, gr_root_size(block));
            }
            root::give(block);
        }
    }
}
