//! The module: what it is made of, and its functions.

use crate::ffi::*;
use crate::object::{self, PyGreenlet};
use crate::record;
use crate::{capi, check, root, switch};
use core::ffi::{CStr, c_long};
use core::ptr;

/// `"run"`.
static mut RUN: *mut PyObject = ptr::null_mut();
/// Whether the optional cleanup is said to be on.
static mut CLEANUP: bool = true;

pub fn run_name() -> *mut PyObject {
    // SAFETY: written once, when the module is made.
    unsafe { RUN }
}

/// Called by the import system.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PyInit__greenlet() -> *mut PyObject {
    // SAFETY: the interpreter calls this with the GIL held. On a free-threaded one no object may be looked into: their
    // layout is another.
    unsafe {
        if is_free_threaded() {
            return raise(
                PyExc_ImportError,
                c"greenlet does not support free-threaded builds of CPython yet: use the ordinary build",
            );
        }
        let module = gr_module_create();
        if module.is_null() || fill(module).is_none() {
            xdecref(module);
            return ptr::null_mut();
        }
        record::forget_all_ended();
        root::install();
        check::install();
        module
    }
}

/// Whether the interpreter is one without a GIL. Extensions for both are told apart by their names only.
unsafe fn is_free_threaded() -> bool {
    const MARK: &[u8] = b"free-threading build";
    // SAFETY: the interpreter's own text.
    let version = unsafe { CStr::from_ptr(Py_GetVersion()) }.to_bytes();
    version.windows(MARK.len()).any(|part| part == MARK)
}

/// Puts everything into the module; `None` with an error set.
unsafe fn fill(module: *mut PyObject) -> Option<()> {
    // SAFETY: as in `PyInit__greenlet`. What is added is owned.
    unsafe {
        let made = |object: *mut PyObject| if object.is_null() { None } else { Some(object) };
        let add = |name: &CStr, object: *mut PyObject| {
            if PyModule_AddObject(module, name.as_ptr(), new_ref(object)) < 0 {
                None
            } else {
                Some(())
            }
        };
        RUN = made(PyUnicode_InternFromString(c"run".as_ptr()))?;
        switch::EMPTY = made(PyTuple_New(0))?;
        record::ERROR = made(PyErr_NewExceptionWithDoc(
            c"greenlet.error".as_ptr(),
            c"A greenlet was used in a way that is not possible.".as_ptr(),
            PyExc_Exception,
            ptr::null_mut(),
        ))?;
        record::EXIT = made(PyErr_NewExceptionWithDoc(
            c"greenlet.GreenletExit".as_ptr(),
            c"Ends a greenlet; its parent gets the exception as a value.".as_ptr(),
            PyExc_BaseException,
            ptr::null_mut(),
        ))?;
        add(c"greenlet", (&raw mut GrType).cast())?;
        add(c"UnswitchableGreenlet", (&raw mut GrUnswitchableType).cast())?;
        add(c"error", record::error_class())?;
        add(c"GreenletExit", record::exit_class())?;
        for (name, value) in [
            (c"GREENLET_USE_GC", 1),
            (c"GREENLET_USE_TRACING", 1),
            (c"GREENLET_USE_CONTEXT_VARS", 1),
            (c"GREENLET_USE_STANDARD_THREADING", 1),
            (c"CLOCKS_PER_SEC", gr_clocks_per_sec()),
        ] {
            add(name, made(PyLong_FromLong(value as c_long))?)?;
        }
        for name in [c"getcurrent", c"error", c"GreenletExit", c"settrace", c"gettrace"] {
            let object = made(PyObject_GetAttrString(module, name.as_ptr()))?;
            if gr_type_set(name.as_ptr(), object) < 0 {
                return None;
            }
            decref(object);
        }
        add(c"_C_API", made(capi::capsule())?)
    }
}

/// The current greenlet, a new reference; null with an error.
///
/// # Safety
///
/// The GIL is held.
pub unsafe fn getcurrent() -> *mut PyGreenlet {
    // SAFETY: the caller's promise.
    unsafe {
        if gr_finalizing() != 0 {
            return raise(PyExc_RuntimeError, c"greenlet is being finalized");
        }
        let record = record::current();
        if record.is_null() {
            return ptr::null_mut();
        }
        record::drain(record);
        new_ref((*(*record).current).object)
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gr_mod_getcurrent(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by the interpreter.
    unsafe { getcurrent().cast() }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gr_mod_settrace(_: *mut PyObject, tracer: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by the interpreter.
    unsafe {
        let record = record::current();
        if record.is_null() {
            return ptr::null_mut();
        }
        let new = if tracer == none() { ptr::null_mut() } else { new_ref(tracer) };
        let old = core::mem::replace(&mut (*record).tracer, new);
        if old.is_null() { new_none() } else { old }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gr_mod_gettrace(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by the interpreter.
    unsafe {
        let record = record::current();
        if record.is_null() {
            return ptr::null_mut();
        }
        let tracer = (*record).tracer;
        if tracer.is_null() { new_none() } else { new_ref(tracer) }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gr_mod_set_thread_local(
    _: *mut PyObject,
    args: *const *mut PyObject,
    count: Size,
) -> *mut PyObject {
    // SAFETY: called by the interpreter with `count` arguments.
    unsafe {
        if count != 2 {
            return PyErr_Format(
                PyExc_TypeError,
                c"set_thread_local expected 2 arguments, got %zd".as_ptr(),
                count,
            );
        }
        let dict = PyThreadState_GetDict();
        if dict.is_null() {
            return PyErr_NoMemory(); // it does not say so itself
        }
        if PyDict_SetItem(dict, *args, *args.add(1)) < 0 {
            return ptr::null_mut();
        }
        new_none()
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gr_mod_pending_cleanups(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by the interpreter. A thread is cleaned up after when it ends: none ever waits.
    unsafe { PyLong_FromLong(0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gr_mod_total_mains(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by the interpreter; the count is guarded by the GIL.
    unsafe { PyLong_FromSsize_t(object::MAINS as Size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gr_mod_clocks(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by the interpreter.
    unsafe { if CLEANUP { PyLong_FromLong(0) } else { new_none() } }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gr_mod_enable_cleanup(_: *mut PyObject, on: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by the interpreter.
    unsafe {
        let on = PyObject_IsTrue(on);
        if on < 0 {
            return ptr::null_mut();
        }
        CLEANUP = on != 0;
        new_none()
    }
}
