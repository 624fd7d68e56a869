//! The Python extension: an interpreter in this process, which reads the bytes as a program of greenlets or tasklets, carries it
//! out and compares it with the models of the package's own tests (`fuzz/python/programs.py`).
//!
//! Nothing of Python is linked: `cargo xtask fuzz` says in the environment where the interpreter's library is, where its own modules
//! are, and where the extension is that it has built with counters in it. Those find libFuzzer in this program, which
//! therefore exports what it has (`fuzz/build.rs`). It must never know what a program means.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

/// The interpreter's library.
const LIBRARY: &str = "GREENLET_FUZZ_PYTHON";

#[link(name = "dl")]
unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlerror() -> *const c_char;
}

const RTLD_NOW: c_int = 2;
const RTLD_GLOBAL: c_int = 0x100;

/// The few functions of the interpreter that are called, and the one of `programs.py`.
struct Python {
    bytes: unsafe extern "C" fn(*const c_char, isize) -> *mut c_void,
    call: unsafe extern "C" fn(*mut c_void, *mut c_void) -> *mut c_void,
    decref: unsafe extern "C" fn(*mut c_void),
    print: unsafe extern "C" fn(),
    one: *mut c_void,
}

// SAFETY: it is used by libFuzzer's one thread, which holds the interpreter's lock.
unsafe impl Send for Python {}
// SAFETY: as above.
unsafe impl Sync for Python {}

static PYTHON: OnceLock<Python> = OnceLock::new();

/// A symbol of the library, as a pointer to a function of the type that is asked for.
///
/// # Safety
///
/// It has that type.
unsafe fn symbol<F: Copy>(library: *mut c_void, name: &CStr) -> F {
    assert_eq!(size_of::<F>(), size_of::<*mut c_void>());
    // SAFETY: the library is open.
    let found = unsafe { dlsym(library, name.as_ptr()) };
    assert!(!found.is_null(), "{name:?} is not in the library");
    // SAFETY: the caller's promise; a pointer to a function is as wide as one to data here.
    unsafe { std::mem::transmute_copy(&found) }
}

fn begin() {
    let path = std::env::var(LIBRARY).unwrap_or_else(|_| {
        panic!("{LIBRARY} has to be the interpreter's library; `cargo xtask fuzz python` sets it")
    });
    let path = CString::new(path).expect("a path has no 0 in it");
    // SAFETY: the interpreter's own functions, called as they are declared in its headers, by one thread.
    let python = unsafe {
        let library = dlopen(path.as_ptr(), RTLD_NOW | RTLD_GLOBAL);
        assert!(!library.is_null(), "{:?}", CStr::from_ptr(dlerror()));
        let initialize: unsafe extern "C" fn(c_int) = symbol(library, c"Py_InitializeEx");
        let import: unsafe extern "C" fn(*const c_char) -> *mut c_void =
            symbol(library, c"PyImport_ImportModule");
        let attribute: unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void =
            symbol(library, c"PyObject_GetAttrString");
        let print: unsafe extern "C" fn() = symbol(library, c"PyErr_Print");
        initialize(0); // without signal handlers: they are libFuzzer's
        let module = import(c"programs".as_ptr());
        let one = match module.is_null() {
            true => ptr::null_mut(),
            false => attribute(module, c"one".as_ptr()),
        };
        if one.is_null() {
            print();
            std::process::abort();
        }
        Python {
            bytes: symbol(library, c"PyBytes_FromStringAndSize"),
            call: symbol(library, c"PyObject_CallOneArg"),
            decref: symbol(library, c"Py_DecRef"),
            print,
            one,
        }
    };
    assert!(PYTHON.set(python).is_ok(), "it is begun once");
}

fuzz_target!(init: begin(), |data: &[u8]| {
    let python = PYTHON.get().expect("it has begun");
    // SAFETY: this is the thread that began the interpreter. What it raises is printed, and ends the process.
    unsafe {
        let data = (python.bytes)(data.as_ptr().cast(), data.len() as isize);
        let result = (python.call)(python.one, data);
        if result.is_null() {
            (python.print)();
            std::process::abort();
        }
        (python.decref)(result);
        (python.decref)(data);
    }
});
