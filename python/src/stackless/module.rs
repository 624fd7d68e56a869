//! The module's functions that are about the thread and the process, and the callbacks.

use super::ffi::*;
use super::scheduler::{self, Scheduler, push_before};
use super::tasklet::{Queue, Tasklet};
use crate::ffi::*;
use core::ffi::c_int;
use core::{mem, ptr};

/// `TaskletExit`.
static mut EXIT: *mut PyObject = ptr::null_mut();
/// The callbacks and the handler; owned, or null.
static mut CHANNEL_CALLBACK: *mut PyObject = ptr::null_mut();
static mut SCHEDULE_CALLBACK: *mut PyObject = ptr::null_mut();
static mut ERROR_HANDLER: *mut PyObject = ptr::null_mut();
/// The module, once it is made.
static mut MODULE: *mut PyObject = ptr::null_mut();

pub fn exit_class() -> *mut PyObject {
    // SAFETY: written once, when the module is made.
    unsafe { EXIT }
}

/// `greenlet._greenlet._stackless()`.
#[unsafe(no_mangle)]
unsafe extern "C" fn gr_mod_stackless(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by the interpreter, as all below.
    unsafe {
        if MODULE.is_null() {
            let module = sl_module_create();
            if module.is_null() || fill(module).is_none() {
                xdecref(module);
                return ptr::null_mut();
            }
            MODULE = module;
        }
        new_ref(MODULE)
    }
}

/// Puts the classes into the module; `None` with an error set.
unsafe fn fill(module: *mut PyObject) -> Option<()> {
    // SAFETY: what is added is owned.
    unsafe {
        let add = |name: &core::ffi::CStr, object: *mut PyObject| {
            let failed = PyModule_AddObject(module, name.as_ptr(), new_ref(object)) < 0;
            if failed { None } else { Some(()) }
        };
        if EXIT.is_null() {
            EXIT = PyErr_NewExceptionWithDoc(
                c"greenlet.stackless.TaskletExit".as_ptr(),
                c"Ends a tasklet in silence.".as_ptr(),
                PyExc_SystemExit,
                ptr::null_mut(),
            );
            if EXIT.is_null() {
                return None;
            }
        }
        add(c"TaskletExit", EXIT)?;
        add(c"tasklet", GrTasklet.cast())?;
        add(c"channel", GrChannel.cast())
    }
}

/// Whether a callback, or the end of somebody's turns, may change who is next.
#[inline(always)]
pub unsafe fn is_watched(s: *mut Scheduler) -> bool {
    // SAFETY: the GIL is held.
    unsafe { !SCHEDULE_CALLBACK.is_null() || (*s).turns != 0 }
}

/// Counts a turn, and calls the callback. Answers who is next, which is in the ring.
///
/// # Safety
///
/// The scheduler is the calling thread's; `next` is in the ring.
#[cold]
#[inline(never)]
pub unsafe fn watch(s: *mut Scheduler, prev: *mut Tasklet, mut next: *mut Tasklet) -> *mut Tasklet {
    // SAFETY: the caller's promise. While it is locked nobody takes `next` out of the ring.
    unsafe {
        let timer = (*s).timer;
        if (*s).turns != 0 && prev != timer && next != timer {
            (*s).turns -= 1;
            if (*s).turns == 0 && (*timer).queue == Queue::None && !(*timer).at.is_null() {
                (*s).interrupted = new_ref(next);
                push_before(s, new_ref(timer), next);
                next = timer;
            }
        }
        let callback = SCHEDULE_CALLBACK;
        if !callback.is_null() && !(*s).locked {
            let error = Error::take();
            incref(callback);
            (*s).locked = true;
            let end = ptr::null_mut::<PyObject>();
            let result = PyObject_CallFunctionObjArgs(callback, prev, next, end);
            if result.is_null() {
                PyErr_WriteUnraisable(callback);
            } else {
                decref(result);
            }
            decref(callback);
            (*s).locked = false;
            error.restore();
        }
        next
    }
}

/// Whether there is a callback for channels.
#[inline(always)]
pub fn is_heard() -> bool {
    // SAFETY: guarded by the GIL.
    unsafe { !CHANNEL_CALLBACK.is_null() }
}

/// Calls it. False: it raised.
///
/// # Safety
///
/// The scheduler is the calling thread's, and free.
pub unsafe fn notify_channel(
    s: *mut Scheduler,
    channel: *mut PyObject,
    sends: bool,
    blocks: bool,
) -> bool {
    // SAFETY: the caller's promise. True and False outlive their references here.
    unsafe {
        let callback = new_ref(CHANNEL_CALLBACK);
        (*s).locked = true;
        let (sends, blocks) = (PyLong_FromLong(sends.into()), PyLong_FromLong(blocks.into()));
        let end = ptr::null_mut::<PyObject>();
        let result = if sends.is_null() || blocks.is_null() {
            ptr::null_mut()
        } else {
            PyObject_CallFunctionObjArgs(callback, channel, (*s).current, sends, blocks, end)
        };
        (*s).locked = false;
        xdecref(sends);
        xdecref(blocks);
        decref(callback);
        xdecref(result);
        !result.is_null()
    }
}

/// Gives the exception that is set to the handler, if there is one. False: there is none, or it raised in turn, and an
/// exception is set.
pub unsafe fn handle_error() -> bool {
    // SAFETY: an exception is set.
    unsafe {
        if ERROR_HANDLER.is_null() {
            return false;
        }
        let handler = new_ref(ERROR_HANDLER);
        let value = Error::take().into_raised();
        let traceback = PyException_GetTraceback(value);
        let result = PyObject_CallFunctionObjArgs(
            handler,
            class(value),
            value,
            if traceback.is_null() { none() } else { traceback },
            ptr::null_mut::<PyObject>(),
        );
        xdecref(traceback);
        decref(value);
        decref(handler);
        xdecref(result);
        !result.is_null()
    }
}

/// Sets a callback; answers the one that was set.
unsafe fn set_callback(place: *mut *mut PyObject, callback: *mut PyObject) -> *mut PyObject {
    // SAFETY: one of the places above.
    unsafe {
        if callback != none() && PyCallable_Check(callback) == 0 {
            return raise(PyExc_TypeError, c"a callback must be callable, or None");
        }
        let new = if callback == none() { ptr::null_mut() } else { new_ref(callback) };
        let old = mem::replace(&mut *place, new);
        if old.is_null() { new_none() } else { old }
    }
}

unsafe fn get_callback(callback: *mut PyObject) -> *mut PyObject {
    // SAFETY: an object or null.
    unsafe { if callback.is_null() { new_none() } else { new_ref(callback) } }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_set_channel_callback(
    _: *mut PyObject,
    callback: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as above.
    unsafe { set_callback(&raw mut CHANNEL_CALLBACK, callback) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_get_channel_callback(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: as above.
    unsafe { get_callback(CHANNEL_CALLBACK) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_set_schedule_callback(
    _: *mut PyObject,
    callback: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as above.
    unsafe { set_callback(&raw mut SCHEDULE_CALLBACK, callback) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_get_schedule_callback(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: as above.
    unsafe { get_callback(SCHEDULE_CALLBACK) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_set_error_handler(
    _: *mut PyObject,
    handler: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as above.
    unsafe { set_callback(&raw mut ERROR_HANDLER, handler) }
}

/// Calls `answer` with the calling thread's scheduler.
unsafe fn with_scheduler(answer: impl FnOnce(*mut Scheduler) -> *mut PyObject) -> *mut PyObject {
    // SAFETY: the GIL is held.
    unsafe {
        let s = scheduler::here();
        if s.is_null() { ptr::null_mut() } else { answer(s) }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_getcurrent(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: as above.
    unsafe { with_scheduler(|s| new_ref((*s).current).cast()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_getmain(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: as above.
    unsafe { with_scheduler(|s| new_ref((*s).main).cast()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_getcurrentid(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: as above.
    unsafe {
        with_scheduler(|s| {
            if (*s).current == (*s).main {
                PyLong_FromUnsignedLong((*s).thread_id)
            } else {
                PyLong_FromVoidPtr((*s).current.cast())
            }
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_getruncount(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: as above.
    unsafe { with_scheduler(|s| PyLong_FromSsize_t((*s).count as Size)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_switch_trap(_: *mut PyObject, args: *mut PyObject) -> *mut PyObject {
    let mut change: c_int = 0;
    // SAFETY: as above; a place for an int.
    unsafe {
        if PyArg_ParseTuple(args, c"|i:switch_trap".as_ptr(), &raw mut change) == 0 {
            return ptr::null_mut();
        }
        with_scheduler(|s| {
            let old = (*s).trap;
            (*s).trap = old.wrapping_add(change);
            PyLong_FromLong(old.into())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_enable_softswitch(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: as above.
    unsafe { PyBool_FromLong(0) }
}
