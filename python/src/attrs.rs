//! The attributes of a greenlet, its truth and its representation.

use crate::ffi::*;
use crate::object::{self, Imp, PyGreenlet, REFUSE, REFUSE_HARD, Stage};
use core::ffi::{CStr, c_int, c_void};
use core::ptr;

/// Whether it has not ended. One whose thread has ended is made to have ended as well.
unsafe fn lives(imp: *mut Imp) -> bool {
    // SAFETY: a valid greenlet, and the GIL is held; for all functions here.
    unsafe {
        if Imp::is_orphan(imp) {
            if (*imp).stage == Stage::Active {
                object::abandon(imp);
            }
            return false;
        }
        (*imp).stage != Stage::Done
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gr_bool(this: *mut PyGreenlet) -> c_int {
    // SAFETY: called by the interpreter.
    unsafe {
        let imp = (*this).imp;
        ((*imp).stage == Stage::Active && !Imp::is_orphan(imp)).into()
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gr_get_dead(this: *mut PyGreenlet, _: *mut c_void) -> *mut PyObject {
    // SAFETY: called by the interpreter.
    unsafe { PyBool_FromLong((!lives((*this).imp)).into()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gr_repr(this: *mut PyGreenlet) -> *mut PyObject {
    // SAFETY: called by the interpreter; the formats take a string, two pointers and strings.
    unsafe {
        let imp = (*this).imp;
        let name = gr_type_name(this.cast());
        let thread = if Imp::is_orphan(imp) { ptr::null_mut() } else { (*imp).record };
        if !lives(imp) {
            let exited = if Imp::is_orphan(imp) { c"(thread exited) " } else { c"" };
            return PyUnicode_FromFormat(
                c"<%s object at %p (otid=%p) %sdead>".as_ptr(),
                name,
                this,
                thread,
                exited.as_ptr(),
            );
        }
        let begun = (*imp).stage != Stage::New;
        let place = match (Imp::is_running(imp) && is_here(imp), begun) {
            (true, _) => c" current",
            (false, true) => c" suspended",
            (false, false) => c"",
        };
        let words = [
            place,
            if begun { c" active" } else { c"" },
            if begun { c" started" } else { c" pending" },
            if (*imp).main { c" main" } else { c"" },
        ]
        .map(CStr::as_ptr);
        PyUnicode_FromFormat(
            c"<%s object at %p (otid=%p)%s%s%s%s>".as_ptr(),
            name,
            this,
            thread,
            words[0],
            words[1],
            words[2],
            words[3],
        )
    }
}

/// Whether it belongs to the calling thread.
unsafe fn is_here(imp: *mut Imp) -> bool {
    // SAFETY: its record is valid.
    unsafe { !(*imp).record.is_null() && (*(*imp).record).tstate == gr_thread() }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gr_get_dict(this: *mut PyGreenlet, _: *mut c_void) -> *mut PyObject {
    // SAFETY: called by the interpreter.
    unsafe {
        if (*this).dict.is_null() {
            (*this).dict = PyDict_New();
            if (*this).dict.is_null() {
                return ptr::null_mut();
            }
        }
        new_ref((*this).dict)
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gr_set_dict(
    this: *mut PyGreenlet,
    value: *mut PyObject,
    _: *mut c_void,
) -> c_int {
    // SAFETY: called by the interpreter.
    unsafe {
        if value.is_null() {
            raise::<()>(PyExc_TypeError, c"__dict__ may not be deleted");
            return -1;
        }
        if !is_dict(value) {
            raise::<()>(PyExc_TypeError, c"__dict__ must be a dictionary");
            return -1;
        }
        xdecref(core::mem::replace(&mut (*this).dict, new_ref(value)));
        0
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gr_get_run(this: *mut PyGreenlet, _: *mut c_void) -> *mut PyObject {
    // SAFETY: called by the interpreter.
    unsafe {
        let imp = (*this).imp;
        if (*imp).main {
            return raise(PyExc_AttributeError, c"Main greenlets do not have a run attribute.");
        }
        if (*imp).stage != Stage::New || (*imp).run.is_null() {
            return raise(PyExc_AttributeError, c"run");
        }
        new_ref((*imp).run)
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gr_set_run(
    this: *mut PyGreenlet,
    run: *mut PyObject,
    _: *mut c_void,
) -> c_int {
    // SAFETY: called by the interpreter.
    unsafe { set_run(this, run) }
}

/// `g.run = run`; null: `del g.run`.
///
/// # Safety
///
/// A greenlet, and an object or null.
pub unsafe fn set_run(this: *mut PyGreenlet, run: *mut PyObject) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        let imp = (*this).imp;
        if (*imp).main {
            raise::<()>(PyExc_AttributeError, c"Main greenlets do not have a run attribute.");
            return -1;
        }
        if (*imp).stage != Stage::New || !(*imp).tasklet.is_null() {
            raise::<()>(PyExc_AttributeError, c"run cannot be set after the start of the greenlet");
            return -1;
        }
        if !run.is_null() {
            incref(run);
        }
        xdecref(core::mem::replace(&mut (*imp).run, run));
        0
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gr_get_parent(this: *mut PyGreenlet, _: *mut c_void) -> *mut PyObject {
    // SAFETY: called by the interpreter.
    unsafe {
        let parent = (*(*this).imp).parent;
        if parent.is_null() { new_none() } else { new_ref(parent).cast() }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gr_set_parent(
    this: *mut PyGreenlet,
    parent: *mut PyObject,
    _: *mut c_void,
) -> c_int {
    // SAFETY: called by the interpreter.
    unsafe { set_parent(this, parent) }
}

/// Sets the error that an object is no greenlet.
///
/// # Safety
///
/// It is an object.
pub unsafe fn refuse_other(object: *mut PyObject) {
    // SAFETY: the caller's promise.
    unsafe {
        PyErr_Format(
            PyExc_TypeError,
            c"GreenletChecker: Expected any type of greenlet, not %s".as_ptr(),
            gr_type_name(object),
        );
    }
}

/// `g.parent = parent`; null: `del g.parent`.
///
/// # Safety
///
/// A greenlet, and an object or null.
pub unsafe fn set_parent(this: *mut PyGreenlet, parent: *mut PyObject) -> c_int {
    // SAFETY: the caller's promise; parents are valid.
    unsafe {
        let fail = |class, text| {
            raise::<()>(class, text);
            -1
        };
        let imp = (*this).imp;
        if parent.is_null() {
            return fail(PyExc_AttributeError, c"can't delete attribute");
        }
        if (*imp).main {
            return fail(PyExc_AttributeError, c"cannot set the parent of a main greenlet");
        }
        let new = as_greenlet(parent);
        if new.is_null() {
            refuse_other(parent);
            return -1;
        }
        let mut thread = ptr::null_mut();
        let mut at = new;
        while !at.is_null() {
            if at == this {
                return fail(PyExc_ValueError, c"cyclic parent chain");
            }
            thread = (*(*at).imp).record;
            at = (*(*at).imp).parent;
        }
        if thread.is_null() {
            return fail(PyExc_ValueError, c"parent must not be garbage collected");
        }
        if !(*imp).record.is_null() && (*imp).record != thread {
            return fail(PyExc_ValueError, c"parent cannot be on a different thread");
        }
        xdecref(core::mem::replace(&mut (*imp).parent, new_ref(new)));
        0
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gr_get_frame(this: *mut PyGreenlet, _: *mut c_void) -> *mut PyObject {
    // SAFETY: called by the interpreter; a suspended greenlet's frames can be read.
    unsafe {
        let imp = (*this).imp;
        if (*imp).stage != Stage::Active || Imp::is_running(imp) {
            return new_none();
        }
        if (*imp).main && Imp::is_orphan(imp) {
            return new_none();
        }
        let frame = gr_frames_top(gr_thread(), Imp::state(imp), peek, imp.cast());
        (*imp).exposed = true;
        if !frame.is_null() {
            return frame;
        }
        if PyErr_Occurred().is_null() { new_none() } else { ptr::null_mut() }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gr_get_context(this: *mut PyGreenlet, _: *mut c_void) -> *mut PyObject {
    // SAFETY: called by the interpreter.
    unsafe {
        let imp = (*this).imp;
        let context = if !Imp::is_running(imp) {
            *gr_state_context(Imp::state(imp))
        } else if is_here(imp) {
            gr_thread_context((*(*imp).record).tstate)
        } else {
            return raise(
                PyExc_ValueError,
                c"cannot get context of a greenlet that is running in a different thread",
            );
        };
        if context.is_null() { new_none() } else { new_ref(context) }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gr_set_context(
    this: *mut PyGreenlet,
    given: *mut PyObject,
    _: *mut c_void,
) -> c_int {
    // SAFETY: called by the interpreter.
    unsafe {
        let imp = (*this).imp;
        if given.is_null() {
            raise::<()>(PyExc_AttributeError, c"can't delete context attribute");
            return -1;
        }
        if given != none() && gr_is_context(given) == 0 {
            raise::<()>(PyExc_TypeError, c"greenlet context must be a contextvars.Context or None");
            return -1;
        }
        let context = if given == none() { ptr::null_mut() } else { given };
        if Imp::is_running(imp) && !is_here(imp) {
            raise::<()>(
                PyExc_ValueError,
                c"cannot set context of a greenlet that is running in a different thread",
            );
            return -1;
        }
        if !context.is_null() {
            incref(context);
        }
        if Imp::is_running(imp) {
            gr_thread_set_context((*(*imp).record).tstate, context);
        } else {
            let place = gr_state_context(Imp::state(imp));
            xdecref(core::mem::replace(&mut *place, context));
        }
        0
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gr_get_stack_saved(this: *mut PyGreenlet, _: *mut c_void) -> *mut PyObject {
    // SAFETY: called by the interpreter.
    unsafe {
        let imp = (*this).imp;
        let suspended = (*imp).stage == Stage::Active && !Imp::is_running(imp);
        let kept = if suspended { size_of::<State>() + (*imp).raw.saved() } else { 0 };
        PyLong_FromSsize_t(kept as Size)
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gr_getstate(this: *mut PyGreenlet, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by the interpreter.
    unsafe {
        PyErr_Format(
            PyExc_TypeError,
            c"cannot serialize '%s' object".as_ptr(),
            gr_type_name(this.cast()),
        )
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gr_get_refuse(this: *mut PyGreenlet, hard: *mut c_void) -> *mut PyObject {
    // SAFETY: called by the interpreter.
    unsafe { PyBool_FromLong(((*(*this).imp).refuse & refusal(hard) != 0).into()) }
}

/// Which of the two attributes is meant.
fn refusal(hard: *mut c_void) -> u8 {
    if hard.is_null() { REFUSE } else { REFUSE_HARD }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gr_set_refuse(
    this: *mut PyGreenlet,
    value: *mut PyObject,
    hard: *mut c_void,
) -> c_int {
    // SAFETY: called by the interpreter.
    unsafe {
        if value.is_null() {
            let hard = refusal(hard) == REFUSE_HARD;
            let text = if hard {
                c"Cannot delete force_slp_switch_error"
            } else {
                c"Cannot delete force_switch_error"
            };
            raise::<()>(PyExc_AttributeError, text);
            return -1;
        }
        let refuse = PyObject_IsTrue(value);
        if refuse < 0 {
            return -1;
        }
        let flags = &raw mut (*(*this).imp).refuse;
        *flags = if refuse != 0 { *flags | refusal(hard) } else { *flags & !refusal(hard) };
        0
    }
}
