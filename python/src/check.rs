//! The debug switch: with `GREENLET_DEBUG=1` in the environment of the import every switch checks what must hold before
//! and after it, and ends the process with a message at the first thing that does not.
//!
//! Every greenlet made then has a flag that keeps it off the fast paths, so that without the switch nothing is asked.

use crate::ffi::*;
use crate::object::{Imp, PyGreenlet, Stage};
use crate::record::{self, Record};
use core::ffi::{CStr, c_char};
use greenlet::raw;

/// The flag in [`Imp::refuse`].
pub const CHECKED: u8 = 4;

/// What greenlets are made with: [`CHECKED`] or 0.
pub static mut FLAG: u8 = 0;

unsafe extern "C" {
    fn getenv(name: *const c_char) -> *const c_char;
}

/// Looks at the environment. (`std` would copy the value, and end the process if there is no memory for that.)
pub fn install() {
    // SAFETY: called when the module is made, with the GIL held; the value is looked at before anybody can change it.
    unsafe {
        let value = getenv(c"GREENLET_DEBUG".as_ptr());
        let on = !value.is_null() && !matches!(CStr::from_ptr(value).to_bytes(), b"" | b"0");
        FLAG = if on { CHECKED } else { 0 };
    }
}

/// Ends the process.
unsafe fn broken(what: &str, here: *mut Imp, target: *mut Imp) -> ! {
    let text =
        format!("greenlet: GREENLET_DEBUG: {what} (from the greenlet {here:p} to {target:p})\0");
    let text = CStr::from_bytes_until_nul(text.as_bytes()).unwrap_or(c"greenlet: GREENLET_DEBUG");
    // SAFETY: does not return.
    unsafe { Py_FatalError(text.as_ptr()) }
}

/// What of the running flow must be the same when it is back. It lies in its frames, where the words that nobody may write
/// show whether the slice came back whole.
pub struct Left {
    here: *mut Imp,
    target: *mut Imp,
    mark: [usize; MARKS],
    guard: [usize; 8],
}

/// Before a switch from the running greenlet to `target`, null if that has not begun yet.
///
/// # Safety
///
/// The record and both greenlets can be read.
pub unsafe fn leaves(record: *mut Record, target: *mut Imp, value: *mut PyObject) -> Left {
    // SAFETY: the caller's promise; the greenlets of a record are valid.
    unsafe {
        let here = (*record).current;
        let insist = |good: bool, what: &str| {
            if !good {
                broken(what, here, target)
            }
        };
        let ts = gr_thread();
        insist(!ts.is_null(), "the GIL is not held");
        insist((*record).tstate == ts, "the running greenlet is another thread's");
        insist(record::current() == record, "the thread has another record");
        insist(
            raw::Thread::current(&raw mut (*record).thread) == Imp::raw(here),
            "the engine runs another greenlet",
        );
        is_whole(record, here, here, target);
        insist((*here).stage != Stage::New, "the running greenlet has not begun");
        insist((*here).raw.saved() == 0, "frames of the running greenlet are in its slice");
        insist((*record).origin.is_null(), "another switch is on its way");
        insist(
            value.is_null() != PyErr_Occurred().is_null(),
            if value.is_null() {
                "an exception is sent, but none is set"
            } else {
                "an exception is set, but a value is sent"
            },
        );
        if !target.is_null() {
            insist(target != here, "the target is the running greenlet");
            insist((*target).stage == Stage::Active, "the target does not live");
            is_whole(record, target, here, target);
            let (start, stop) = (*target).raw.stretch();
            insist(
                start % raw::STACK_ALIGN == 0 && start < stop,
                "the target's stretch of the stack is none",
            );
            insist(
                (*target).raw.saved() <= stop - start,
                "the target's slice is larger than its stretch",
            );
            insist(
                (*target).raw.saved() <= (*target).raw.capacity(),
                "the target's slice is larger than its buffer",
            );
            let wrong = gr_frames_check(Imp::state(target), peek, target.cast());
            if !wrong.is_null() {
                broken(&CStr::from_ptr(wrong).to_string_lossy(), here, target);
            }
        }
        let mut mark = [0; MARKS];
        gr_thread_mark(ts, mark.as_mut_ptr());
        let guard = core::array::from_fn(|i| pattern(here, i));
        Left { here, target, mark, guard }
    }
}

/// Whether what points to each other does so, for a greenlet that has begun.
unsafe fn is_whole(record: *mut Record, imp: *mut Imp, here: *mut Imp, target: *mut Imp) {
    // SAFETY: as in `leaves`.
    unsafe {
        let object: *mut PyGreenlet = (*imp).object;
        let good = !object.is_null()
            && (*object).imp == imp
            && (*object).base.refcnt as u32 != 0
            && !as_greenlet(object.cast()).is_null()
            && (*imp).record == record
            && raw::Thread::of(Imp::raw(imp)) == &raw mut (*record).thread;
        if !good {
            broken("a greenlet, its object and its thread do not belong together", here, target);
        }
    }
}

fn pattern(here: *mut Imp, i: usize) -> usize {
    here.addr().rotate_left(7 * i as u32) ^ 0x5eed_f00d
}

impl Left {
    /// After it: control is back.
    ///
    /// # Safety
    ///
    /// As for [`leaves`].
    pub unsafe fn is_back(&self, record: *mut Record) {
        // SAFETY: as in `leaves`; volatile, so that the words are read from the stack.
        unsafe {
            for i in 0..self.guard.len() {
                let word = (&raw const self.guard[i]).read_volatile();
                if word != pattern((*record).current, i) {
                    broken("the frames of a greenlet came back changed", self.here, self.target);
                }
            }
            let insist = |good: bool, what: &str| {
                if !good {
                    broken(what, self.here, self.target)
                }
            };
            let ts = gr_thread();
            insist(
                (*record).tstate == ts && !ts.is_null(),
                "a greenlet came back in another thread",
            );
            insist(
                (*record).current == self.here,
                "another greenlet came back than the one that was left",
            );
            insist(
                raw::Thread::current(&raw mut (*record).thread) == Imp::raw(self.here),
                "the engine runs another greenlet than the one that came back",
            );
            insist((*self.here).raw.saved() == 0, "not all frames of a greenlet came back");
            let mut mark = [0; MARKS];
            gr_thread_mark(ts, mark.as_mut_ptr());
            for (i, name) in MARK_NAMES.iter().enumerate() {
                if mark[i] != self.mark[i] {
                    let what = format!(
                        "a greenlet came back to another {name}: {:#x}, not {:#x}",
                        mark[i], self.mark[i]
                    );
                    broken(&what, self.here, self.target);
                }
            }
        }
    }
}

/// How many words [`gr_thread_mark`] writes, and what they are.
pub const MARKS: usize = 4;
const MARK_NAMES: [&str; MARKS] =
    ["Python frame", "top of the data stack", "exception stack", "depth of recursion"];
