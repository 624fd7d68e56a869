//! The part of CPython's C API that this crate calls, and what its own C files (`csrc/`) offer.
//!
//! Only layouts that every supported version shares are declared here: the object header, and the object of
//! `greenlet.h`. Whatever differs between versions is behind a function of `csrc/`.

use crate::object::{Imp, PyGreenlet};
use core::ffi::{CStr, c_char, c_int, c_long, c_ulong, c_void};
use core::ptr;

pub type Size = isize;

#[repr(C)]
pub struct PyObject {
    pub refcnt: isize,
    pub class: *mut PyType,
}

#[repr(C)]
pub struct PyType {
    _opaque: [u8; 0],
}

#[repr(C)]
pub struct ThreadState {
    _opaque: [u8; 0],
}

/// `GR_STATE_WORDS` of `state.h`; a static assertion there says that it is enough.
pub const STATE_WORDS: usize = 18;

/// A flow's part of the thread state while it does not run.
#[repr(C)]
pub struct State {
    words: [usize; STATE_WORDS],
}

pub type Visit = unsafe extern "C" fn(*mut PyObject, *mut c_void) -> c_int;
pub type Peek = unsafe extern "C" fn(*mut c_void, *const c_void, *mut c_void, usize);

// csrc/
#[allow(improper_ctypes)]
unsafe extern "C" {
    pub static mut GrType: PyType;
    pub static mut GrUnswitchableType: PyType;

    pub fn gr_state_leave(
        ts: *mut ThreadState,
        from: *mut State,
        to: *mut State,
        reach: usize,
    ) -> c_int;
    pub fn gr_state_swap(ts: *mut ThreadState, from: *mut State, to: *mut State);
    pub fn gr_state_unswap(ts: *mut ThreadState, from: *mut State, to: *mut State);
    #[cfg(not(py312))]
    pub fn gr_state_arrived(ts: *mut ThreadState);
    pub fn gr_thread_hide(ts: *mut ThreadState) -> *mut c_void;
    pub fn gr_thread_show(ts: *mut ThreadState, hidden: *mut c_void);
    pub fn gr_state_begin(ts: *mut ThreadState, state: *mut State, root: *mut c_void);
    #[cfg(py313)]
    pub fn gr_state_empty_trash(ts: *mut ThreadState);
    pub fn gr_state_end(
        ts: *mut ThreadState,
        state: *mut State,
        overflowed: *mut c_int,
    ) -> *mut c_void;
    pub fn gr_state_abandon(state: *mut State, kept: c_int) -> *mut c_void;
    pub fn gr_root_need(run: *mut PyObject, key: *mut *mut PyObject) -> usize;
    pub fn gr_root_format(root: *mut c_void, size: usize);
    pub fn gr_root_size(root: *mut c_void) -> usize;
    pub fn gr_arena_install(
        alloc: unsafe extern "C" fn(usize) -> *mut c_void,
        release: unsafe extern "C" fn(*mut c_void, usize) -> c_int,
    ) -> c_int;
    pub fn gr_frames_prepare(ts: *mut ThreadState, state: *mut State) -> c_int;
    pub fn gr_frames_relink(state: *mut State);
    pub fn gr_frames_top(
        ts: *mut ThreadState,
        state: *mut State,
        peek: Peek,
        ctx: *mut c_void,
    ) -> *mut PyObject;
    pub fn gr_frames_observed(state: *mut State, peek: Peek, ctx: *mut c_void) -> c_int;
    pub fn gr_frames_visit(
        state: *mut State,
        peek: Peek,
        ctx: *mut c_void,
        visit: Visit,
        arg: *mut c_void,
    ) -> c_int;
    pub fn gr_frames_check(state: *mut State, peek: Peek, ctx: *mut c_void) -> *const c_char;
    pub fn gr_thread_mark(ts: *mut ThreadState, out: *mut usize);
    pub fn gr_frames_drop(state: *mut State, peek: Peek, ctx: *mut c_void, clear: c_int);
    pub fn gr_frames_take_call(
        state: *mut State,
        class: *mut PyType,
        args: *const *mut PyObject,
        count: c_int,
        out: *mut *mut PyObject,
    ) -> c_int;
    pub fn gr_state_forget(state: *mut State);
    pub fn gr_state_visit(state: *mut State, visit: Visit, arg: *mut c_void) -> c_int;
    pub fn gr_state_clear(state: *mut State);
    pub fn gr_state_context(state: *mut State) -> *mut *mut PyObject;
    pub fn gr_thread_context(ts: *mut ThreadState) -> *mut PyObject;
    pub fn gr_thread_set_context(ts: *mut ThreadState, context: *mut PyObject);
    pub fn gr_thread_quiet(ts: *mut ThreadState, on: c_int);
    pub fn gr_collecting(ts: *mut ThreadState) -> c_int;
    #[cfg(py315)]
    pub fn gr_full_collections(ts: *mut ThreadState, automatic: *mut c_int) -> usize;
    pub fn gr_threads(ts: *mut ThreadState, out: *mut *mut ThreadState, room: usize) -> usize;
    pub fn gr_finalizing() -> c_int;
    pub fn gr_soon(ts: *mut ThreadState, run: unsafe extern "C" fn(*mut c_void) -> c_int) -> c_int;

    pub fn gr_module_create() -> *mut PyObject;
    pub fn gr_type_set(name: *const c_char, value: *mut PyObject) -> c_int;
    pub fn gr_clocks_per_sec() -> c_long;
    pub fn gr_refuse_abstract(class: *mut PyType) -> *mut PyObject;
    pub fn gr_has_finalizer(greenlet: *mut PyObject) -> c_int;
    pub fn gr_alloc(class: *mut PyType) -> *mut PyObject;
    pub fn gr_type_name(object: *mut PyObject) -> *const c_char;
    pub fn gr_is_traceback(object: *mut PyObject) -> c_int;
    pub fn gr_is_context(object: *mut PyObject) -> c_int;
    pub fn gr_revive(object: *mut PyObject);
    pub fn gr_unrevive(object: *mut PyObject) -> c_int;
}

// CPython
#[allow(clashing_extern_declarations)]
unsafe extern "C" {
    /// The running thread state; null without the GIL.
    #[cfg_attr(py313, link_name = "PyThreadState_GetUnchecked")]
    #[cfg_attr(not(py313), link_name = "_PyThreadState_UncheckedGet")]
    pub fn gr_thread() -> *mut ThreadState;

    pub static mut _Py_NoneStruct: PyObject;
    pub static mut PyExc_AttributeError: *mut PyObject;
    pub static mut PyExc_BaseException: *mut PyObject;
    pub static mut PyExc_Exception: *mut PyObject;
    pub static mut PyExc_ImportError: *mut PyObject;
    pub static mut PyExc_MemoryError: *mut PyObject;
    pub static mut PyExc_RuntimeError: *mut PyObject;
    pub static mut PyExc_SystemError: *mut PyObject;
    pub static mut PyExc_TypeError: *mut PyObject;
    pub static mut PyExc_ValueError: *mut PyObject;

    pub fn _Py_Dealloc(object: *mut PyObject);
    #[cfg(any(py_debug, target_endian = "big", target_pointer_width = "32"))]
    pub fn Py_IncRef(object: *mut PyObject);
    #[cfg(any(py_debug, target_endian = "big", target_pointer_width = "32"))]
    pub fn Py_DecRef(object: *mut PyObject);

    pub fn PyType_IsSubtype(class: *mut PyType, base: *mut PyType) -> c_int;
    pub fn PyType_GetFlags(class: *mut PyType) -> c_ulong;
    #[cfg(py315)]
    pub fn PyType_GetSlot(class: *mut PyType, slot: c_int) -> *mut c_void;
    #[cfg(py315)]
    pub fn PyObject_GC_IsFinalized(object: *mut PyObject) -> c_int;
    pub fn PyObject_IsTrue(object: *mut PyObject) -> c_int;
    pub fn PyObject_GetAttr(object: *mut PyObject, name: *mut PyObject) -> *mut PyObject;
    pub fn PyObject_GetAttrString(object: *mut PyObject, name: *const c_char) -> *mut PyObject;
    pub fn PyObject_Call(
        callable: *mut PyObject,
        args: *mut PyObject,
        kwargs: *mut PyObject,
    ) -> *mut PyObject;
    pub fn PyObject_CallNoArgs(callable: *mut PyObject) -> *mut PyObject;
    pub fn PyObject_CallFunctionObjArgs(callable: *mut PyObject, ...) -> *mut PyObject;
    pub fn PyObject_ClearWeakRefs(object: *mut PyObject);
    pub fn PyObject_GC_UnTrack(object: *mut c_void);
    pub fn PyObject_GC_Del(object: *mut c_void);

    pub fn PyTuple_New(size: Size) -> *mut PyObject;
    pub fn PyTuple_Size(tuple: *mut PyObject) -> Size;
    pub fn PyTuple_GetItem(tuple: *mut PyObject, index: Size) -> *mut PyObject;
    pub fn PyTuple_SetItem(tuple: *mut PyObject, index: Size, item: *mut PyObject) -> c_int;
    pub fn PyTuple_Pack(size: Size, ...) -> *mut PyObject;
    pub fn PyDict_New() -> *mut PyObject;
    pub fn PyDict_Size(dict: *mut PyObject) -> Size;
    pub fn PyDict_SetItem(dict: *mut PyObject, key: *mut PyObject, value: *mut PyObject) -> c_int;
    pub fn PyDict_SetItemString(
        dict: *mut PyObject,
        key: *const c_char,
        value: *mut PyObject,
    ) -> c_int;
    pub fn PyBool_FromLong(value: c_long) -> *mut PyObject;
    pub fn PyLong_FromLong(value: c_long) -> *mut PyObject;
    pub fn PyLong_FromSsize_t(value: Size) -> *mut PyObject;
    pub fn PyUnicode_FromFormat(format: *const c_char, ...) -> *mut PyObject;
    pub fn PyUnicode_InternFromString(text: *const c_char) -> *mut PyObject;
    pub fn PyArg_ParseTupleAndKeywords(
        args: *mut PyObject,
        kwargs: *mut PyObject,
        format: *const c_char,
        names: *const *const c_char,
        ...
    ) -> c_int;

    pub fn PyMem_RawMalloc(size: usize) -> *mut c_void;
    pub fn PyMem_RawRealloc(block: *mut c_void, size: usize) -> *mut c_void;
    pub fn PyMem_RawFree(block: *mut c_void);
    pub fn PyErr_Occurred() -> *mut PyObject;
    pub fn PyErr_Clear();
    pub fn PyErr_SetString(class: *mut PyObject, text: *const c_char);
    pub fn PyErr_Format(class: *mut PyObject, format: *const c_char, ...) -> *mut PyObject;
    pub fn PyErr_NoMemory() -> *mut PyObject;
    pub fn PyErr_BadArgument() -> c_int;
    pub fn PyErr_ExceptionMatches(class: *mut PyObject) -> c_int;
    pub fn PyErr_Fetch(
        class: *mut *mut PyObject,
        value: *mut *mut PyObject,
        traceback: *mut *mut PyObject,
    );
    pub fn PyErr_Restore(class: *mut PyObject, value: *mut PyObject, traceback: *mut PyObject);
    pub fn PyErr_NormalizeException(
        class: *mut *mut PyObject,
        value: *mut *mut PyObject,
        traceback: *mut *mut PyObject,
    );
    pub fn PyException_SetTraceback(error: *mut PyObject, traceback: *mut PyObject) -> c_int;
    pub fn PyErr_WriteUnraisable(object: *mut PyObject);
    pub fn PyErr_NewExceptionWithDoc(
        name: *const c_char,
        doc: *const c_char,
        base: *mut PyObject,
        dict: *mut PyObject,
    ) -> *mut PyObject;
    pub fn Py_GetVersion() -> *const c_char;
    pub fn Py_FatalError(text: *const c_char) -> !;

    pub fn PySys_GetObject(name: *const c_char) -> *mut PyObject;
    pub fn PyFile_WriteString(text: *const c_char, file: *mut PyObject) -> c_int;
    pub fn PyFile_WriteObject(object: *mut PyObject, file: *mut PyObject, flags: c_int) -> c_int;

    pub fn PyThreadState_GetInterpreter(ts: *mut ThreadState) -> *mut c_void;
    pub fn PyThreadState_GetID(ts: *mut ThreadState) -> u64;
    pub fn PyThreadState_GetDict() -> *mut PyObject;
    pub fn PyCapsule_New(
        pointer: *mut c_void,
        name: *const c_char,
        destructor: Option<unsafe extern "C" fn(*mut PyObject)>,
    ) -> *mut PyObject;
    pub fn PyCapsule_GetPointer(capsule: *mut PyObject, name: *const c_char) -> *mut c_void;
    pub fn PyModule_AddObject(
        module: *mut PyObject,
        name: *const c_char,
        value: *mut PyObject,
    ) -> c_int;
}

pub fn none() -> *mut PyObject {
    &raw mut _Py_NoneStruct
}

/// A new reference to None.
pub fn new_none() -> *mut PyObject {
    // SAFETY: None is an object, and whoever asks holds the GIL.
    unsafe { new_ref(none()) }
}

/// Takes a reference.
///
/// # Safety
///
/// `object` is an object, and the GIL is held.
#[inline(always)]
pub unsafe fn incref(object: *mut PyObject) {
    // SAFETY: the header of a live object may be written under the GIL; the rules for immortal objects are those of
    // the interpreter's own header, for 64 bits and little endian (else its function is called).
    unsafe {
        #[cfg(any(py_debug, target_endian = "big", target_pointer_width = "32"))]
        Py_IncRef(object);
        #[cfg(not(any(py_debug, target_endian = "big", target_pointer_width = "32")))]
        {
            #[cfg(not(py312))]
            {
                (*object).refcnt += 1;
            }
            #[cfg(py312)]
            {
                let low = (&raw mut (*object).refcnt).cast::<u32>();
                let count = *low;
                #[cfg(py314)]
                if count >= 3 << 30 {
                    return;
                }
                let more = count.wrapping_add(1);
                if more != 0 {
                    *low = more;
                }
            }
        }
    }
}

/// Gives a reference up.
///
/// # Safety
///
/// The caller owns a reference to `object`, and the GIL is held. May run any code.
#[inline(always)]
pub unsafe fn decref(object: *mut PyObject) {
    // SAFETY: as for `incref`.
    unsafe {
        #[cfg(any(py_debug, target_endian = "big", target_pointer_width = "32"))]
        Py_DecRef(object);
        #[cfg(not(any(py_debug, target_endian = "big", target_pointer_width = "32")))]
        {
            #[cfg(not(py312))]
            {
                (*object).refcnt -= 1;
                if (*object).refcnt == 0 {
                    _Py_Dealloc(object);
                }
            }
            #[cfg(py312)]
            {
                let low = (&raw mut (*object).refcnt).cast::<u32>();
                let count = *low;
                if (count as i32) < 0 {
                    return;
                }
                *low = count - 1;
                if count == 1 {
                    _Py_Dealloc(object);
                }
            }
        }
    }
}

/// [`incref`], and the object.
///
/// # Safety
///
/// As there.
#[inline(always)]
pub unsafe fn new_ref<T>(object: *mut T) -> *mut T {
    // SAFETY: the caller's promise.
    unsafe { incref(object.cast()) };
    object
}

/// [`decref`], unless it is null.
///
/// # Safety
///
/// As there.
#[inline]
pub unsafe fn xdecref<T>(object: *mut T) {
    if !object.is_null() {
        // SAFETY: the caller's promise.
        unsafe { decref(object.cast()) };
    }
}

/// Nulls the place, then gives up what was there.
///
/// # Safety
///
/// The place owns its reference. May run any code.
pub unsafe fn clear<T>(place: *mut *mut T) {
    // SAFETY: the caller's promise.
    unsafe { xdecref(core::mem::replace(&mut *place, ptr::null_mut())) }
}

/// The class of an object.
///
/// # Safety
///
/// `object` is an object.
#[inline(always)]
pub unsafe fn class(object: *mut PyObject) -> *mut PyType {
    // SAFETY: the caller's promise.
    unsafe { (*object).class }
}

/// The greenlet that `object` is, or null.
///
/// # Safety
///
/// `object` is an object or null.
#[inline]
pub unsafe fn as_greenlet(object: *mut PyObject) -> *mut PyGreenlet {
    let base = &raw mut GrType;
    // SAFETY: every instance of the type begins with that struct.
    unsafe {
        if !object.is_null()
            && (class(object) == base || PyType_IsSubtype(class(object), base) != 0)
        {
            object.cast()
        } else {
            ptr::null_mut()
        }
    }
}

const TUPLE_SUBCLASS: c_ulong = 1 << 26;
const DICT_SUBCLASS: c_ulong = 1 << 29;
const BASE_EXCEPTION_SUBCLASS: c_ulong = 1 << 30;
const TYPE_SUBCLASS: c_ulong = 1 << 31;

/// Whether the class of `object` says that it is one of those.
///
/// # Safety
///
/// `object` is an object.
unsafe fn has(object: *mut PyObject, flag: c_ulong) -> bool {
    // SAFETY: an object's class is a type.
    unsafe { PyType_GetFlags(class(object)) & flag != 0 }
}

/// `isinstance(object, tuple)`.
///
/// # Safety
///
/// `object` is an object.
pub unsafe fn is_tuple(object: *mut PyObject) -> bool {
    // SAFETY: the caller's promise.
    unsafe { has(object, TUPLE_SUBCLASS) }
}

/// `isinstance(object, dict)`.
///
/// # Safety
///
/// `object` is an object.
pub unsafe fn is_dict(object: *mut PyObject) -> bool {
    // SAFETY: the caller's promise.
    unsafe { has(object, DICT_SUBCLASS) }
}

/// Whether it is an exception.
///
/// # Safety
///
/// `object` is an object.
pub unsafe fn is_exception(object: *mut PyObject) -> bool {
    // SAFETY: the caller's promise.
    unsafe { has(object, BASE_EXCEPTION_SUBCLASS) }
}

/// Whether it is a class of exceptions.
///
/// # Safety
///
/// `object` is an object.
pub unsafe fn is_exception_class(object: *mut PyObject) -> bool {
    // SAFETY: what has the first flag is a type.
    unsafe {
        has(object, TYPE_SUBCLASS) && PyType_GetFlags(object.cast()) & BASE_EXCEPTION_SUBCLASS != 0
    }
}

/// Sets `class(text)` and answers null.
///
/// # Safety
///
/// `class` is an exception class.
pub unsafe fn raise<T>(class: *mut PyObject, text: &CStr) -> *mut T {
    // SAFETY: the caller's promise.
    unsafe { PyErr_SetString(class, text.as_ptr()) };
    ptr::null_mut()
}

/// An exception that is set aside, or none.
pub struct Error([*mut PyObject; 3]);

impl Error {
    /// Takes the one that is set, if any.
    ///
    /// # Safety
    ///
    /// The GIL is held, here and below.
    pub unsafe fn take() -> Error {
        let mut parts = [ptr::null_mut(); 3];
        let [class, value, traceback] = &mut parts;
        // SAFETY: three places to write to.
        unsafe { PyErr_Fetch(class, value, traceback) };
        Error(parts)
    }

    /// Sets it again.
    ///
    /// # Safety
    ///
    /// As for [`Error::take`].
    pub unsafe fn restore(self) {
        // SAFETY: the parts are owned.
        unsafe { PyErr_Restore(self.0[0], self.0[1], self.0[2]) }
    }

    /// Forgets it.
    ///
    /// # Safety
    ///
    /// As for [`Error::take`].
    pub unsafe fn forget(self) {
        for part in self.0 {
            // SAFETY: the parts are owned.
            unsafe { xdecref(part) };
        }
    }

    /// The exception object, with its traceback.
    ///
    /// # Safety
    ///
    /// As for [`Error::take`]; there is an exception.
    pub unsafe fn into_raised(mut self) -> *mut PyObject {
        // SAFETY: the parts are owned. Before 3.12 the traceback is not yet the exception's.
        unsafe {
            let [class, value, traceback] = &mut self.0;
            PyErr_NormalizeException(class, value, traceback);
            if !(*traceback).is_null() {
                PyException_SetTraceback(*value, *traceback);
            }
            xdecref(*class);
            xdecref(*traceback);
            *value
        }
    }

    /// The exception object; the rest is forgotten.
    ///
    /// # Safety
    ///
    /// As for [`Error::take`]; there is an exception.
    pub unsafe fn into_value(mut self) -> *mut PyObject {
        // SAFETY: the parts are owned.
        unsafe {
            let [class, value, traceback] = &mut self.0;
            PyErr_NormalizeException(class, value, traceback);
            xdecref(*class);
            xdecref(*traceback);
            *value
        }
    }
}

/// Reads what a suspended greenlet (`ctx`, its [`Imp`]) had at an address: on its machine stack, or anywhere else.
///
/// # Safety
///
/// `ctx` is valid, and so are `size` bytes at `to` and, for the greenlet, at `at`.
pub unsafe extern "C" fn peek(ctx: *mut c_void, at: *const c_void, to: *mut c_void, size: usize) {
    let imp: *mut Imp = ctx.cast();
    // SAFETY: the caller's promise. What is not in the slice is where it was.
    unsafe {
        let to = core::slice::from_raw_parts_mut(to.cast::<u8>(), size);
        let raw = &(*imp).raw;
        let in_stretch = |address| raw.locate(address).is_some();
        if in_stretch(at.addr()) && in_stretch(at.addr() + size - 1) {
            raw.read(at.addr(), to);
        } else {
            ptr::copy_nonoverlapping(at.cast(), to.as_mut_ptr(), size);
        }
    }
}
