//! What can be asked of tasklets and channels.

use super::channel::Channel;
use super::context;
use super::ffi::*;
use super::tasklet::{self, Queue, Stage, Tasklet};
use crate::ffi::*;
use crate::object::Imp;
use core::ffi::{CStr, c_int, c_void};
use core::ptr;

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_tasklet_get(t: *mut Tasklet, which: *mut c_void) -> *mut PyObject {
    // SAFETY: called by the interpreter, as all below.
    unsafe {
        let s = (*t).scheduler;
        let is_alive = (*t).stage != Stage::Idle;
        let is_orphan = (*s).record.is_null();
        let flag = |flag: u8| (*t).flags & flag != 0;
        let link = |other: *mut Tasklet| {
            if other.is_null() { new_none() } else { new_ref(other).cast() }
        };
        // The numbers of `tasklet_getsets`.
        let answer = match which.addr() {
            0 => is_alive,
            1 => (*t).queue == Queue::Channel,
            2 => is_alive && (*t).queue == Queue::None,
            3 => (*t).queue != Queue::None,
            4 => (*t).stage != Stage::Begun,
            5 => flag(tasklet::ATOMIC),
            6 => flag(tasklet::IGNORE_NESTING),
            7 => flag(tasklet::BLOCK_TRAP),
            8 => (*s).main == t,
            9 => (*s).current == t,
            10 => return link((*t).next),
            11 => return link((*t).prev),
            12 if is_orphan => return PyLong_FromLong(-1),
            12 => return PyLong_FromUnsignedLong((*s).thread_id),
            13 => return frame(t),
            14 => return PyLong_FromLong(depth(t).into()),
            15 => return PyLong_FromLong(((*t).stage == Stage::Begun).into()),
            16 => {
                let context = context::of(t);
                return if context.is_null() {
                    context
                } else {
                    PyLong_FromVoidPtr(context.cast())
                };
            }
            17 => return tracer(t, c"gettrace"),
            18 => return tracer(t, c"getprofile"),
            _ => {
                let channel = (*t).channel;
                return if channel.is_null() { new_none() } else { new_ref(channel).cast() };
            }
        };
        PyBool_FromLong(answer.into())
    }
}

/// Whether it is the one that runs in the calling thread.
unsafe fn runs_here(t: *mut Tasklet) -> bool {
    // SAFETY: a valid tasklet.
    unsafe {
        let s = (*t).scheduler;
        (*s).current == t && !(*s).record.is_null() && (*(*s).record).tstate == gr_thread()
    }
}

unsafe fn frame(t: *mut Tasklet) -> *mut PyObject {
    // SAFETY: a valid tasklet; one that waits is in a suspended greenlet, whose frames can be read.
    unsafe {
        if runs_here(t) {
            let frame = PyEval_GetFrame();
            return if frame.is_null() { new_none() } else { new_ref(frame) };
        }
        if (*t).at.is_null() {
            return new_none();
        }
        PyObject_GetAttrString((*t).at.cast(), c"gr_frame".as_ptr())
    }
}

unsafe fn depth(t: *mut Tasklet) -> c_int {
    // SAFETY: a valid tasklet.
    unsafe {
        if (*t).stage != Stage::Begun {
            return 0;
        }
        let state = match ((*t).at.is_null(), runs_here(t)) {
            (_, true) => ptr::null_mut(),
            (false, _) => Imp::state((*(*t).at).imp),
            _ => return 0,
        };
        gr_state_depth(gr_thread(), state) - (*t).base_depth
    }
}

/// `sys.gettrace()` or the like, which is the same for all tasklets of a thread.
unsafe fn tracer(t: *mut Tasklet, name: &CStr) -> *mut PyObject {
    // SAFETY: a valid tasklet.
    unsafe {
        let s = (*t).scheduler;
        if (*s).record.is_null() || (*(*s).record).tstate != gr_thread() {
            return new_none();
        }
        call_sys(name, ptr::null_mut())
    }
}

/// `sys.name()`, or `sys.name(argument)`.
unsafe fn call_sys(name: &CStr, argument: *mut PyObject) -> *mut PyObject {
    // SAFETY: the function is held while it runs.
    unsafe {
        let function = PySys_GetObject(name.as_ptr());
        if function.is_null() {
            return raise(PyExc_RuntimeError, c"sys has lost a function");
        }
        incref(function);
        let end = ptr::null_mut::<PyObject>();
        let result = PyObject_CallFunctionObjArgs(function, argument, end);
        decref(function);
        result
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_tasklet_set_tracer(
    t: *mut Tasklet,
    value: *mut PyObject,
    which: *mut c_void,
) -> c_int {
    // SAFETY: as above.
    unsafe {
        if value.is_null() {
            return cannot_delete();
        }
        if !runs_here(t) {
            raise::<()>(
                PyExc_RuntimeError,
                c"tracing belongs to the thread: set it in the current tasklet",
            );
            return -1;
        }
        let name = if which.addr() == 17 { c"settrace" } else { c"setprofile" };
        let result = call_sys(name, value);
        xdecref(result);
        if result.is_null() { -1 } else { 0 }
    }
}

unsafe fn cannot_delete() -> c_int {
    // SAFETY: the GIL is held.
    unsafe { raise::<()>(PyExc_AttributeError, c"can't delete attribute") };
    -1
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_tasklet_set_block_trap(
    t: *mut Tasklet,
    value: *mut PyObject,
    _: *mut c_void,
) -> c_int {
    // SAFETY: as above.
    unsafe {
        if value.is_null() {
            return cannot_delete();
        }
        let on = PyObject_IsTrue(value);
        if on < 0 {
            return -1;
        }
        let flags = (*t).flags & !tasklet::BLOCK_TRAP;
        (*t).flags = if on != 0 { flags | tasklet::BLOCK_TRAP } else { flags };
        0
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_tasklet_get_tempval(t: *mut Tasklet, _: *mut c_void) -> *mut PyObject {
    // SAFETY: as above.
    unsafe { if (*t).value.is_null() { new_none() } else { new_ref((*t).value) } }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_tasklet_set_tempval(
    t: *mut Tasklet,
    value: *mut PyObject,
    _: *mut c_void,
) -> c_int {
    // SAFETY: as above.
    unsafe {
        if value.is_null() {
            return cannot_delete();
        }
        xdecref(Tasklet::set_value(t, new_ref(value)));
        0
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_tasklet_repr(t: *mut Tasklet) -> *mut PyObject {
    // SAFETY: as above; the format takes a string, a pointer and strings.
    unsafe {
        let s = (*t).scheduler;
        let state = match ((*t).stage, (*t).queue) {
            (Stage::Idle, _) => c"not alive",
            _ if (*s).current == t => c"current",
            (_, Queue::Channel) => c"blocked",
            (_, Queue::Ring) => c"scheduled",
            (_, Queue::None) => c"paused",
        };
        let main = if (*s).main == t { c", main" } else { c"" };
        PyUnicode_FromFormat(
            c"<%s object at %p, %s%s>".as_ptr(),
            gr_type_name(t.cast()),
            t,
            state.as_ptr(),
            main.as_ptr(),
        )
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_channel_get(c: *mut Channel, which: *mut c_void) -> *mut PyObject {
    // SAFETY: as above. The numbers of `channel_getsets`.
    unsafe {
        match which.addr() {
            0 => PyLong_FromSsize_t((*c).balance),
            1 if (*c).first.is_null() => new_none(),
            1 => new_ref((*c).first).cast(),
            2 => PyBool_FromLong((*c).closing.into()),
            3 => PyBool_FromLong(((*c).closing && (*c).balance == 0).into()),
            4 => PyLong_FromLong((*c).preference.into()),
            _ => PyBool_FromLong((*c).schedule_all.into()),
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_channel_set(
    c: *mut Channel,
    value: *mut PyObject,
    which: *mut c_void,
) -> c_int {
    // SAFETY: as above.
    unsafe {
        if value.is_null() {
            return cannot_delete();
        }
        let number = PyLong_AsLong(value);
        if number == -1 && !PyErr_Occurred().is_null() {
            return -1;
        }
        if which.addr() == 4 {
            (*c).preference = number.signum() as i8;
        } else {
            (*c).schedule_all = number != 0;
        }
        0
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_channel_repr(c: *mut Channel) -> *mut PyObject {
    // SAFETY: as above; the format takes a string, a pointer, a number and a string.
    unsafe {
        PyUnicode_FromFormat(
            c"<%s object at %p, balance %zd%s>".as_ptr(),
            gr_type_name(c.cast()),
            c,
            (*c).balance,
            if (*c).closing { c", closed" } else { c"" }.as_ptr(),
        )
    }
}
