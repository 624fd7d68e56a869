//! A thread: who runs there, what is on its way, and what happens when it ends.
//!
//! A record belongs to one thread state of the interpreter. A capsule in the thread state's dictionary tells when that is
//! cleared, in the ending thread itself; from then on `tstate` is null. The record lives until the last greenlet that
//! ever ran there is gone.

use crate::cxx;
use crate::ffi::*;
use crate::memory;
use crate::object::{self, Imp, PyGreenlet};
use crate::stackless::{self, Scheduler};
use core::ffi::{c_char, c_int, c_void};
use core::{mem, ptr};
use greenlet::raw;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

#[repr(C)]
pub struct Record {
    /// The thread state; null once the thread has ended.
    pub tstate: *mut ThreadState,
    /// The greenlet that runs. Its object is owned.
    pub current: *mut Imp,
    /// Who has just been left: owned, until the target has it.
    pub origin: *mut PyGreenlet,
    /// The trace function; owned, or null.
    pub tracer: *mut PyObject,
    /// No greenlet of this thread but main has frames at or above this address.
    pub reach: usize,
    /// Greenlets of this thread that must end but cannot just now: another thread gave up the last reference, or the
    /// collector did. A list by [`Imp::next_pending`]; owned.
    pub pending: *mut PyGreenlet,
    pub cxx: cxx::Watch,
    pub thread: raw::Thread,
    /// Owned.
    pub main: *mut PyGreenlet,
    /// What a greenlet begins with that is being started: owned.
    pub begin: [*mut PyObject; 3],
    pub refs: usize,
    /// Its tasklets, once it has used any; owned.
    pub scheduler: *mut Scheduler,
}

/// What is known by the address of a thread state. (The usual hasher has its keys in thread-local storage, and the C library ends the
/// process when it has no memory for a thread's.)
type ByAddress<T> = HashMap<usize, T, BuildHasherDefault<DefaultHasher>>;

/// The record that was asked for last: right as long as its thread state is the running one.
static mut LAST: *mut Record = ptr::null_mut();
static mut RECORDS: Option<ByAddress<*mut Record>> = None;
/// The thread states whose record has ended: they are being cleared, or are no more. Another one may come to lie at the same
/// address, so each has its number with it; and its interpreter, since [`forget_those_that_are_gone`] asks that for those that are there.
static mut ENDED: Option<ByAddress<(u64, usize)>> = None;
/// `greenlet.GreenletExit` and `greenlet.error`.
pub static mut EXIT: *mut PyObject = ptr::null_mut();
pub static mut ERROR: *mut PyObject = ptr::null_mut();

const CAPSULE: *const c_char = c"greenlet._greenlet.thread".as_ptr();

pub fn exit_class() -> *mut PyObject {
    // SAFETY: written once, when the module is made.
    unsafe { EXIT }
}

pub fn error_class() -> *mut PyObject {
    // SAFETY: written once, when the module is made.
    unsafe { ERROR }
}

/// The record of the calling thread, made if need be; null with an error.
#[inline(always)]
pub unsafe fn current() -> *mut Record {
    // SAFETY: the GIL is held; the last record is valid or null.
    unsafe {
        let ts = gr_thread();
        let last = LAST;
        if !last.is_null() && (*last).tstate == ts { last } else { look_up(ts) }
    }
}

#[cold]
#[inline(never)]
unsafe fn look_up(ts: *mut ThreadState) -> *mut Record {
    // SAFETY: the GIL is held.
    unsafe {
        let mut record = find(ts);
        if record.is_null() {
            record = make(ts);
        }
        if !record.is_null() {
            LAST = record;
        }
        record
    }
}

/// The record that `ts` has, or null.
unsafe fn find(ts: *mut ThreadState) -> *mut Record {
    // SAFETY: the map is guarded by the GIL, and not borrowed while anything else runs.
    unsafe {
        let map = &raw mut RECORDS;
        let found = (*map).as_ref().and_then(|map| map.get(&ts.addr()));
        found.copied().unwrap_or(ptr::null_mut())
    }
}

/// Calls `what` for the record of each thread that has one.
///
/// # Safety
///
/// The GIL is held; `what` runs nothing of Python.
pub unsafe fn for_each(mut what: impl FnMut(*mut Record)) {
    // SAFETY: the map is guarded by the GIL, and not borrowed while anything else runs.
    unsafe {
        let map = &raw const RECORDS;
        if let Some(map) = &*map {
            map.values().for_each(|&record| what(record));
        }
    }
}

unsafe fn make(ts: *mut ThreadState) -> *mut Record {
    // SAFETY: the record is complete before anybody can find it. Making an object may run anything, and so make one.
    unsafe {
        if has_ended(ts) {
            return raise(PyExc_RuntimeError, c"greenlet: this thread is ending");
        }
        let record = memory::place(Record {
            thread: raw::Thread::new(memory::SLICES),
            tstate: ts,
            current: ptr::null_mut(),
            origin: ptr::null_mut(),
            tracer: ptr::null_mut(),
            reach: 0,
            main: ptr::null_mut(),
            pending: ptr::null_mut(),
            begin: [ptr::null_mut(); 3],
            cxx: cxx::Watch::NEW,
            refs: 1,
            scheduler: ptr::null_mut(),
        });
        if record.is_null() {
            PyErr_NoMemory();
            return ptr::null_mut();
        }
        let main = object::new_main(record);
        let other = find(ts);
        let map = &raw mut RECORDS;
        // Reserved now: meanwhile other threads may have used up what was there.
        let room = (*map).get_or_insert_default().try_reserve(1).is_ok();
        if main.is_null() || !other.is_null() || !room {
            xdecref(main);
            memory::free(record);
            if main.is_null() {
                return ptr::null_mut();
            }
            if other.is_null() {
                PyErr_NoMemory();
            }
            return other;
        }
        (*record).main = main;
        (*record).current = (*main).imp;
        incref(main.cast());
        raw::Thread::attach(&raw mut (*record).thread, Imp::raw((*main).imp));

        (*map).get_or_insert_default().insert(ts.addr(), record); // room is reserved

        let dict = PyThreadState_GetDict();
        let capsule = PyCapsule_New(record.cast(), CAPSULE, Some(capsule_gone));
        if dict.is_null() || capsule.is_null() || PyDict_SetItemString(dict, CAPSULE, capsule) < 0 {
            if PyErr_Occurred().is_null() {
                PyErr_NoMemory(); // for the thread state's dictionary: nobody else has said so
            }
            if capsule.is_null() {
                end(record);
            } else {
                decref(capsule); // ends the record
                forget_ended(ts); // but not the thread
            }
            return ptr::null_mut();
        }
        decref(capsule);
        record
    }
}

unsafe extern "C" fn capsule_gone(capsule: *mut PyObject) {
    // SAFETY: the capsule's pointer is the record, which the capsule owns a reference to.
    unsafe {
        let record: *mut Record = PyCapsule_GetPointer(capsule, CAPSULE).cast();
        let ts = (*record).tstate;
        let map = &raw mut ENDED;
        let map = (*map).get_or_insert_default();
        let interpreter = PyThreadState_GetInterpreter(ts).addr();
        if map.len() == map.capacity() {
            forget_those_that_are_gone(map, ts, interpreter);
        }
        if map.try_reserve(1).is_ok() {
            map.insert(ts.addr(), (PyThreadState_GetID(ts), interpreter));
        }
        end(record);
    }
}

/// The thread states of the interpreter of `ts`, the youngest first; `None` without memory.
///
/// # Safety
///
/// The GIL is held.
pub unsafe fn thread_states(ts: *mut ThreadState) -> Option<Vec<*mut ThreadState>> {
    // SAFETY: the caller's promise, so the list does not change; it may be read twice.
    unsafe {
        let mut states = Vec::new();
        let count = gr_threads(ts, ptr::null_mut(), 0);
        states.try_reserve_exact(count).ok()?;
        states.resize(count, ptr::null_mut());
        let count = gr_threads(ts, states.as_mut_ptr(), count).min(count);
        states.truncate(count);
        Some(states)
    }
}

/// Takes out what no thread state lies at any more, in the interpreter of `ts`: nobody tells of their end. Called when there is no
/// room left, so the map stays as small as what there was of threads at a time.
unsafe fn forget_those_that_are_gone(
    map: &mut ByAddress<(u64, usize)>,
    ts: *mut ThreadState,
    interpreter: usize,
) {
    // SAFETY: the GIL is held, so those that are being cleared, here or while another one waits for the GIL, are in the list.
    unsafe {
        let Some(mut states) = thread_states(ts) else { return };
        states.sort_unstable();
        map.retain(|&at, &mut (_, theirs)| {
            theirs != interpreter || states.binary_search_by_key(&at, |ts| ts.addr()).is_ok()
        });
    }
}

/// Whether `ts`, the running thread's, is being cleared and has had its record: what it still runs (the destructors of its
/// thread-local and context variables) may not make another one, which nobody would tell of the end.
unsafe fn has_ended(ts: *mut ThreadState) -> bool {
    // SAFETY: the map is guarded by the GIL, and not borrowed while anything else runs.
    unsafe {
        let map = &raw const ENDED;
        let number = (*map).as_ref().and_then(|map| map.get(&ts.addr()));
        number.is_some_and(|&(number, _)| number == PyThreadState_GetID(ts))
    }
}

unsafe fn forget_ended(ts: *mut ThreadState) {
    // SAFETY: as above.
    unsafe {
        let map = &raw mut ENDED;
        if let Some(map) = &mut *map {
            map.remove(&ts.addr());
        }
    }
}

/// An interpreter begins, whose threads are numbered anew.
pub fn forget_all_ended() {
    // SAFETY: called when the module is made, with the GIL held.
    unsafe { ENDED = None };
}

/// The thread has ended (or, after a fork, is not in this process).
unsafe fn end(record: *mut Record) {
    // SAFETY: the caller gives up the thread's own reference; what the record owns is given up once.
    unsafe {
        let map = &raw mut RECORDS;
        if let Some(map) = &mut *map {
            map.retain(|_, other| *other != record);
        }
        if LAST == record {
            LAST = ptr::null_mut();
        }
        (*record).tstate = ptr::null_mut();
        let finalizing = gr_finalizing() != 0;
        let error = Error::take();
        let tracer = mem::replace(&mut (*record).tracer, ptr::null_mut());
        let mut pending = mem::replace(&mut (*record).pending, ptr::null_mut());
        let current = (*record).current;
        if !current.is_null() && current != (*(*record).main).imp {
            object::stopped(current);
        }
        let main = mem::replace(&mut (*record).main, ptr::null_mut());
        stackless::thread_ended(
            mem::replace(&mut (*record).scheduler, ptr::null_mut()),
            finalizing,
        );
        if !finalizing {
            xdecref(tracer);
            while !pending.is_null() {
                let greenlet = take_first(&mut pending);
                object::abandon_with((*greenlet).imp, true);
                decref(greenlet.cast());
            }
            // If it is another one, the thread was stopped inside a greenlet: that one is left as it is.
            if !current.is_null() && current == (*main).imp {
                decref((*current).object.cast());
            }
            decref(main.cast());
            if !PyErr_Occurred().is_null() {
                PyErr_WriteUnraisable(ptr::null_mut());
            }
        }
        error.restore();
        unref(record);
    }
}

/// Gives up a reference to a record.
///
/// # Safety
///
/// The caller owns one.
pub unsafe fn unref(record: *mut Record) {
    // SAFETY: the caller's promise.
    unsafe {
        (*record).refs -= 1;
        if (*record).refs == 0 {
            memory::free(record);
        }
    }
}

/// Takes the first one out of a list of pending ones, which is not empty.
unsafe fn take_first(list: &mut *mut PyGreenlet) -> *mut PyGreenlet {
    // SAFETY: what is listed is owned.
    unsafe {
        let first = *list;
        *list = mem::replace(&mut (*(*first).imp).next_pending, ptr::null_mut());
        first
    }
}

/// Has `greenlet`, which is taken, ended by its own thread: at its next use of greenlets, or before, as soon as the
/// interpreter lets us.
///
/// # Safety
///
/// It is suspended, not listed yet, and belongs to the thread of `record`, which has not ended.
pub unsafe fn postpone(record: *mut Record, greenlet: *mut PyGreenlet) {
    // SAFETY: the caller's promise.
    unsafe {
        (*(*greenlet).imp).next_pending = mem::replace(&mut (*record).pending, greenlet);
        if (*record).tstate == gr_thread() {
            gr_soon((*record).tstate, drain_soon);
        }
    }
}

/// Called by the interpreter between two instructions of whatever runs.
unsafe extern "C" fn drain_soon(_: *mut c_void) -> c_int {
    // SAFETY: the GIL is held.
    unsafe {
        let ts = gr_thread();
        let record = find(ts);
        // Another thread may have come first: then it waits for its own thread's next use of greenlets.
        if !record.is_null() && (*record).tstate == ts && !(*record).pending.is_null() {
            if gr_collecting(ts) != 0 {
                gr_soon(ts, drain_soon);
            } else {
                drain(record);
            }
        }
        0
    }
}

/// Ends the greenlets of this thread that wait for it. May run any code.
///
/// # Safety
///
/// It is the calling thread's.
#[inline(always)]
pub unsafe fn drain(record: *mut Record) {
    // SAFETY: the caller's promise.
    unsafe {
        if !(*record).pending.is_null() {
            drain_slowly(record);
        }
    }
}

#[cold]
#[inline(never)]
unsafe fn drain_slowly(record: *mut Record) {
    // SAFETY: the list is taken before anything runs; each reference is given up once.
    unsafe {
        let mut list = mem::replace(&mut (*record).pending, ptr::null_mut());
        if gr_finalizing() != 0 {
            return;
        }
        let mut pending = ptr::null_mut(); // the first that came first
        while !list.is_null() {
            let greenlet = take_first(&mut list);
            (*(*greenlet).imp).next_pending = mem::replace(&mut pending, greenlet);
        }
        let error = Error::take();
        while !pending.is_null() {
            let greenlet = take_first(&mut pending);
            #[cfg(py315)]
            object::end_collected(greenlet);
            decref(greenlet.cast());
            if !PyErr_Occurred().is_null() {
                PyErr_WriteUnraisable(ptr::null_mut());
            }
        }
        error.restore();
    }
}

/// For C callers that pass it on.
pub fn as_void(imp: *mut Imp) -> *mut c_void {
    imp.cast()
}
