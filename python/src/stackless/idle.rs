//! When nobody is runnable: who is woken, when the thread sleeps until another one brings work, and what is a deadlock.
//!
//! The innermost `run()` is woken first, else main, if nothing holds it but that. If they are blocked as well then only
//! another thread can help; if there is none that could, it is a deadlock.

use super::ffi::*;
use super::scheduler::{Scheduler, push_back};
use super::tasklet::{Queue, Stage, THREAD_BLOCK, Tasklet};
use crate::ffi::*;
use core::cell::Cell;
use core::ptr;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// Rung by other threads that have made a tasklet runnable. Guarded by its own lock, since who waits for it has no GIL.
pub struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
    /// The thread sleeps, and nobody has woken it; guarded by the GIL.
    sleeps: Cell<bool>,
}

/// How many threads sleep that nobody has woken.
static mut SLEEPING: usize = 0;
/// How long one sleeps before it looks whether there is still anybody who could wake it, and for signals: the end of a
/// thread that never used a scheduler rings no bell.
const LOOK: Duration = Duration::from_millis(50);

impl Bell {
    pub const fn new() -> Bell {
        Bell { rung: Mutex::new(false), changed: Condvar::new(), sleeps: Cell::new(false) }
    }

    /// Wakes the thread, if it sleeps.
    pub fn ring(&self) {
        if self.falls_asleep_or_wakes(false) {
            *self.rung.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = true;
            self.changed.notify_one();
        }
    }

    /// Notes it. False if it was so already.
    fn falls_asleep_or_wakes(&self, sleeps: bool) -> bool {
        if self.sleeps.replace(sleeps) == sleeps {
            return false;
        }
        // SAFETY: guarded by the GIL.
        unsafe { SLEEPING = if sleeps { SLEEPING + 1 } else { SLEEPING - 1 } };
        true
    }

    /// Nobody sleeps there any more.
    pub fn forget(&self) {
        self.falls_asleep_or_wakes(false);
    }

    /// Sleeps until it rings, or a while.
    fn wait(&self) {
        let rung = self.rung.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let waited = self.changed.wait_timeout_while(rung, LOOK, |rung| !*rung);
        let (mut rung, _) = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
        *rung = false;
    }
}

/// The innermost one that is in `run()`, or main.
pub unsafe fn watchdog(s: *mut Scheduler) -> *mut Tasklet {
    // SAFETY: a valid scheduler; the list is not borrowed while anything runs.
    unsafe {
        let list = &(*s).watchdogs;
        list.last().copied().unwrap_or((*s).main)
    }
}

/// Whether nothing keeps it from going on but that it is in no queue.
unsafe fn is_floating(s: *mut Scheduler, t: *mut Tasklet) -> bool {
    // SAFETY: a valid tasklet.
    unsafe {
        (*t).stage == Stage::Begun
            && (*t).queue == Queue::None
            && (!(*t).at.is_null() || (*s).current == t)
    }
}

/// If `t` is main, and its place was taken by a switch of greenlets: it can go on in its greenlet, which is in that switch, as
/// long as that is not the one that runs.
pub unsafe fn find_main(s: *mut Scheduler, t: *mut Tasklet) {
    // SAFETY: main's greenlet is the thread's, and lives as long.
    unsafe {
        let lost = t == (*s).main && (*t).at.is_null() && (*s).current != t;
        if lost && (*(*s).record).current != (*(*t).greenlet).imp {
            (*t).at = (*t).greenlet;
        }
    }
}

/// Who goes on when the ring is empty: it is put into it. Null if there is nobody, and a RuntimeError is set, or what a
/// signal handler raised. `ended`: the current tasklet has ended, so the error is for the one that is woken with it.
///
/// # Safety
///
/// The scheduler is the calling thread's, and everything is in its place.
#[cold]
pub unsafe fn idle(s: *mut Scheduler, ended: bool) -> *mut Tasklet {
    // SAFETY: the caller's promise; what other threads change while this one sleeps is looked at again.
    unsafe {
        loop {
            if !(*s).head.is_null() {
                return (*s).head;
            }
            let woken = watchdog(s);
            find_main(s, woken);
            let floating = is_floating(s, woken) && !(ended && woken == (*s).current);
            let may_sleep = !floating || (*woken).flags & THREAD_BLOCK != 0;
            if may_sleep && others_run((*(*s).record).tstate) {
                if !sleep(s) {
                    return ptr::null_mut();
                }
                continue;
            }
            if floating {
                push_back(s, new_ref(woken));
                return woken;
            }
            return raise(
                PyExc_RuntimeError,
                match (ended, (*woken).direction) {
                    (false, _) => c"Deadlock: the last runnable tasklet cannot be blocked.",
                    (_, 1) => c"the main tasklet is sending without a receiver available.",
                    _ => c"the main tasklet is receiving without a sender available.",
                },
            );
        }
    }
}

/// Whether another thread of the interpreter could do anything.
unsafe fn others_run(ts: *mut ThreadState) -> bool {
    // SAFETY: the GIL is held.
    unsafe { gr_threads(ts, ptr::null_mut(), 0) > SLEEPING + 1 }
}

/// Lets other threads run for a while. False if a signal handler has raised.
unsafe fn sleep(s: *mut Scheduler) -> bool {
    // SAFETY: without the GIL only the bell is touched, which has its own lock.
    unsafe {
        let bell = &raw mut (*s).bell;
        (*bell).falls_asleep_or_wakes(true);
        let ts = PyEval_SaveThread();
        (*bell).wait();
        PyEval_RestoreThread(ts);
        (*bell).falls_asleep_or_wakes(false);
        // A handler finds the current tasklet in a channel: it may not move any.
        (*s).locked = true;
        let fine = PyErr_CheckSignals() == 0;
        (*s).locked = false;
        fine
    }
}
