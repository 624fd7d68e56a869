//! What of CPython's C API, and of our own C files, only the tasklets call.

use super::channel::Channel;
use crate::ffi::{PyObject, PyType, Size, State, ThreadState};
use core::ffi::{c_char, c_int, c_long, c_ulong, c_void};

#[allow(improper_ctypes)]
unsafe extern "C" {
    // csrc/
    pub static mut GrTasklet: *mut PyType;
    pub static mut GrChannel: *mut PyType;
    pub fn sl_module_create() -> *mut PyObject;
    pub fn sl_free(object: *mut PyObject);
    pub fn sl_finalize_from_dealloc(object: *mut PyObject) -> c_int;
    pub fn gr_state_depth(ts: *mut ThreadState, state: *mut State) -> c_int;
    pub fn gr_thread_id(ts: *mut ThreadState) -> c_ulong;

    // CPython
    pub static mut PyExc_SystemExit: *mut PyObject;
    pub fn PyCallable_Check(object: *mut PyObject) -> c_int;
    pub fn PyObject_GetIter(object: *mut PyObject) -> *mut PyObject;
    pub fn PyIter_Next(iterator: *mut PyObject) -> *mut PyObject;
    pub fn PyObject_IsSubclass(class: *mut PyObject, base: *mut PyObject) -> c_int;
    pub fn PyObject_CallObject(callable: *mut PyObject, args: *mut PyObject) -> *mut PyObject;
    pub fn PyTuple_GetSlice(tuple: *mut PyObject, from: Size, to: Size) -> *mut PyObject;
    pub fn PySequence_Tuple(sequence: *mut PyObject) -> *mut PyObject;
    pub fn PyDict_Copy(dict: *mut PyObject) -> *mut PyObject;
    pub fn PyList_New(size: Size) -> *mut PyObject;
    pub fn PyList_Append(list: *mut PyObject, item: *mut PyObject) -> c_int;
    pub fn PyLong_AsLong(number: *mut PyObject) -> c_long;
    pub fn PyLong_FromUnsignedLong(value: c_ulong) -> *mut PyObject;
    pub fn PyLong_FromVoidPtr(pointer: *mut c_void) -> *mut PyObject;
    pub fn PyUnicode_CompareWithASCIIString(text: *mut PyObject, other: *const c_char) -> c_int;
    pub fn PyErr_CheckSignals() -> c_int;
    pub fn PyException_GetTraceback(error: *mut PyObject) -> *mut PyObject;
    pub fn PyEval_GetFrame() -> *mut PyObject;
    pub fn PyEval_SaveThread() -> *mut ThreadState;
    pub fn PyEval_RestoreThread(ts: *mut ThreadState);
    pub fn PyContext_CopyCurrent() -> *mut PyObject;
    pub fn PyContext_Enter(context: *mut PyObject) -> c_int;
    pub fn PyContext_Exit(context: *mut PyObject) -> c_int;
    pub fn PyArg_ParseTuple(args: *mut PyObject, format: *const c_char, ...) -> c_int;
}

/// For `PyType_Spec`.
#[unsafe(no_mangle)]
static GR_TASKLET_SIZE: usize = size_of::<super::Tasklet>();
#[unsafe(no_mangle)]
static GR_CHANNEL_SIZE: usize = size_of::<Channel>();
