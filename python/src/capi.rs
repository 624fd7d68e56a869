//! The C API for other extension modules: a capsule of twelve pointers. `greenlet.h` is their side of it.

use crate::ffi::*;
use crate::object::{self, PyGreenlet, Stage};
use crate::record;
use crate::switch::{self, Parcel};
use crate::{attrs, module};
use core::ffi::{c_int, c_void};
use core::ptr;

static mut TABLE: [*mut c_void; 12] = [ptr::null_mut(); 12];

/// The capsule `greenlet._C_API`, or null with an error.
///
/// # Safety
///
/// The module's classes are made.
pub unsafe fn capsule() -> *mut PyObject {
    // SAFETY: the table is static and written before anybody has it.
    unsafe {
        TABLE = [
            (&raw mut GrType).cast(),
            record::error_class().cast(),
            record::exit_class().cast(),
            new as *mut c_void,
            get_current as *mut c_void,
            throw as *mut c_void,
            switch as *mut c_void,
            set_parent as *mut c_void,
            is_main as *mut c_void,
            has_started as *mut c_void,
            is_active as *mut c_void,
            get_parent as *mut c_void,
        ];
        PyCapsule_New((&raw mut TABLE).cast(), c"greenlet._C_API".as_ptr(), None)
    }
}

/// The greenlet that a caller passed, or null with an error.
unsafe fn checked(this: *mut PyObject) -> *mut PyGreenlet {
    // SAFETY: an object or null, as for all functions here.
    unsafe {
        let greenlet = as_greenlet(this);
        if greenlet.is_null() {
            PyErr_BadArgument();
        }
        greenlet
    }
}

unsafe extern "C" fn new(run: *mut PyObject, parent: *mut PyObject) -> *mut PyGreenlet {
    // SAFETY: called with objects or null.
    unsafe {
        let object = object::new(&raw mut GrType);
        if !object.is_null() && object::init(object, run, parent) < 0 {
            decref(object.cast());
            return ptr::null_mut();
        }
        object
    }
}

unsafe extern "C" fn get_current() -> *mut PyGreenlet {
    // SAFETY: the GIL is held.
    unsafe { module::getcurrent() }
}

unsafe extern "C" fn throw(
    this: *mut PyObject,
    class: *mut PyObject,
    value: *mut PyObject,
    traceback: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called with objects or null.
    unsafe {
        let this = checked(this);
        if this.is_null() || class.is_null() {
            if class.is_null() {
                PyErr_BadArgument();
            }
            return ptr::null_mut();
        }
        switch::throw(this, class, value, traceback, ptr::null(), u32::MAX)
    }
}

unsafe extern "C" fn switch(
    this: *mut PyObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called with a tuple or null, and a dictionary or null.
    unsafe {
        let this = checked(this);
        let record = if this.is_null() { ptr::null_mut() } else { record::current() };
        if record.is_null() {
            return ptr::null_mut();
        }
        record::drain(record);
        let here = (*record).current;
        (*here).call_args = ptr::null();
        (*here).call_count = u32::MAX;
        let args = if args.is_null() { switch::EMPTY } else { args };
        let kwargs =
            if kwargs.is_null() || !is_dict(kwargs) { ptr::null_mut() } else { new_ref(kwargs) };
        if !is_tuple(args) {
            xdecref(kwargs);
            PyErr_BadArgument();
            return ptr::null_mut();
        }
        switch::go(record, (*this).imp, Parcel { args: new_ref(args), kwargs })
    }
}

unsafe extern "C" fn set_parent(this: *mut PyObject, parent: *mut PyObject) -> c_int {
    // SAFETY: called with objects or null.
    unsafe {
        let greenlet = as_greenlet(this);
        if !greenlet.is_null() {
            return attrs::set_parent(greenlet, parent);
        }
        if this.is_null() {
            PyErr_BadArgument();
        } else {
            attrs::refuse_other(this);
        }
        -1
    }
}

unsafe extern "C" fn is_main(this: *mut PyObject) -> c_int {
    // SAFETY: called with an object or null.
    unsafe {
        let this = checked(this);
        if this.is_null() { -1 } else { (*(*this).imp).main.into() }
    }
}

unsafe extern "C" fn has_started(this: *mut PyObject) -> c_int {
    // SAFETY: called with an object or null.
    unsafe {
        let this = checked(this);
        if this.is_null() { -1 } else { ((*(*this).imp).stage != Stage::New).into() }
    }
}

unsafe extern "C" fn is_active(this: *mut PyObject) -> c_int {
    // SAFETY: called with an object or null.
    unsafe {
        let this = checked(this);
        if this.is_null() { -1 } else { ((*(*this).imp).stage == Stage::Active).into() }
    }
}

unsafe extern "C" fn get_parent(this: *mut PyObject) -> *mut PyGreenlet {
    // SAFETY: called with an object or null.
    unsafe {
        let this = checked(this);
        if this.is_null() {
            return ptr::null_mut();
        }
        let parent = (*(*this).imp).parent;
        if parent.is_null() { parent } else { new_ref(parent) }
    }
}
