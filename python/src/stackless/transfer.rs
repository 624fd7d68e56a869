//! From one tasklet to another. What one gets when it goes on is put into it before, and taken out just before the switch.

use super::ffi::*;
use super::module;
use super::scheduler::{Scheduler, drop_left, give_up, push_front, unlink};
use super::tasklet::{Queue, Stage, Tasklet};
use crate::ffi::*;
use crate::object::{Imp, PyGreenlet};
use crate::record;
use crate::switch::{self, Parcel};
use core::{mem, ptr};

/// A switch could not be made: an error is set. All is as before, but what the caller has changed.
pub struct Refused;

/// What `t` gets: a value, or null and an exception is set.
#[inline]
pub unsafe fn take_word(t: *mut Tasklet) -> *mut PyObject {
    // SAFETY: a valid tasklet.
    unsafe {
        if !(*t).error.is_null() {
            return take_error(t);
        }
        Tasklet::take_value(t)
    }
}

#[cold]
unsafe fn take_error(t: *mut Tasklet) -> *mut PyObject {
    // SAFETY: the error is an exception or a class of those.
    unsafe {
        let error = mem::replace(&mut (*t).error, ptr::null_mut());
        if is_exception_class(error) {
            PyErr_Restore(error, ptr::null_mut(), ptr::null_mut());
        } else {
            let exact = new_ref(class(error)).cast();
            PyErr_Restore(exact, error, PyException_GetTraceback(error));
        }
        ptr::null_mut()
    }
}

/// Undoes that.
pub unsafe fn put_back(t: *mut Tasklet, word: *mut PyObject) {
    // SAFETY: both places are empty, since they were taken out and nothing has run.
    unsafe {
        if word.is_null() {
            (*t).error = Error::take().into_raised();
        } else {
            Tasklet::set_value(t, word);
        }
    }
}

/// Leaves the current tasklet, which is where it shall be, in the ring or out of it, for `next`, which is in the ring. Answers
/// what comes back: a value, or null and an exception is set.
///
/// # Safety
///
/// The scheduler is the calling thread's and free.
#[inline]
pub unsafe fn transfer(
    s: *mut Scheduler,
    mut next: *mut Tasklet,
) -> Result<*mut PyObject, Refused> {
    // SAFETY: the caller's promise. Both tasklets stay alive: what is left is in a queue, or held by the caller or by `left`.
    unsafe {
        let prev = (*s).current;
        if next != prev && module::is_watched(s) {
            next = module::watch(s, prev, next);
        }
        if next == prev {
            (*s).head = prev;
            return Ok(take_word(prev));
        }
        let record = (*s).record;
        let here = (*record).current;
        let object = (*here).object;
        let is_root = (*prev).greenlet == object;
        (*prev).at = object;
        if !is_root {
            // It may outlive the tasklet.
            incref(object.cast());
            incref(prev.cast());
        }
        (*s).head = next;
        (*s).current = next;
        (*s).wake = next;
        // A trace function of greenlets runs before the target has taken note.
        (*s).locked = !(*record).tracer.is_null();
        let mut switched = if (*next).stage == Stage::Begun {
            let target = (*(*next).at).imp;
            match switch::to(record, target, take_word(next)) {
                Ok(value) => Some(value),
                Err(word) => {
                    put_back(next, word);
                    None
                }
            }
        } else {
            begin(s, prev, next)
        };
        if !(*s).launch.is_null() {
            switched = launch(s, here, switched);
        }
        (*s).locked = false;
        match switched {
            Some(value) => {
                let back = if is_root { (*here).tasklet } else { prev };
                if (*s).wake == back && !back.is_null() {
                    (*s).wake = ptr::null_mut();
                    Ok(arrived(s, back, object, is_root, value))
                } else {
                    Ok(came_by_itself(s, back, object, is_root, value))
                }
            }
            None => {
                (*s).current = prev;
                (*s).wake = ptr::null_mut();
                if (*prev).queue == Queue::Ring {
                    (*s).head = prev;
                }
                (*prev).at = ptr::null_mut();
                if !is_root {
                    decref(object.cast()); // it runs
                    decref(prev.cast()); // our caller has it
                }
                PyErr_NoMemory();
                Err(Refused)
            }
        }
    }
}

/// The scheduler has sent us.
#[inline(always)]
unsafe fn arrived(
    s: *mut Scheduler,
    me: *mut Tasklet,
    object: *mut PyGreenlet,
    is_root: bool,
    value: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: it is the current one and in the ring, and `object` runs: so neither is given up for good.
    unsafe {
        (*me).at = ptr::null_mut();
        if !is_root {
            decref(object.cast());
            decref(me.cast());
        }
        if value.is_null() && !(*me).value.is_null() {
            give_up([Tasklet::set_value(me, ptr::null_mut())]);
        }
        drop_left(s);
        value
    }
}

/// Somebody else has continued the greenlet in which `me` waits: with `switch` or `throw`, or because another greenlet that
/// has it as its parent has ended. `me` may be null: the tasklet is gone.
///
/// If that is a kill, which comes back to where it came from, the current tasklet stays the current one, and `me` has no
/// place any more where it could go on. Else the current one is left for good: `me` takes its place.
#[cold]
#[inline(never)]
unsafe fn came_by_itself(
    s: *mut Scheduler,
    me: *mut Tasklet,
    object: *mut PyGreenlet,
    is_root: bool,
    value: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: all that is given up is given up when everything is in its place.
    unsafe {
        (*s).wake = ptr::null_mut();
        let mut loose = [ptr::null_mut::<PyObject>(); 4];
        if !me.is_null() && (*me).at == object {
            (*me).at = ptr::null_mut();
            let (queued, channel) = Tasklet::leave_queue(me);
            loose[0] = channel.cast();
            loose[2] = mem::replace(&mut (*me).error, ptr::null_mut());
            loose[3] = Tasklet::set_value(me, ptr::null_mut());
            let nested = value.is_null() && PyErr_ExceptionMatches(record::exit_class()) != 0;
            if nested {
                loose[1] = queued.cast();
            } else {
                let other = (*s).current;
                if (*other).queue == Queue::Ring {
                    loose[1] = unlink(s, other).cast();
                }
                if (*other).at == (*other).greenlet {
                    (*other).at = ptr::null_mut(); // it does not wait there for its turn
                }
                push_front(s, if queued.is_null() { new_ref(me) } else { queued });
                (*s).current = me;
            }
        }
        give_up(loose);
        if !is_root {
            give_up([object.cast(), me.cast()]);
        }
        drop_left(s);
        if !value.is_null() {
            decref(value);
            raise::<()>(
                PyExc_RuntimeError,
                c"the greenlet of a suspended tasklet was continued by somebody else than the scheduler",
            );
        }
        ptr::null_mut()
    }
}

/// What a tasklet that is ready begins with: what it calls, and the arguments, or none and an exception is set.
pub unsafe fn take_call(t: *mut Tasklet) -> (*mut PyObject, Parcel) {
    // SAFETY: a tasklet that is ready has them.
    unsafe {
        let run = mem::replace(&mut (*t).run, ptr::null_mut());
        if !(*t).error.is_null() {
            take_error(t);
            return (run, Parcel::ERROR);
        }
        let args = mem::replace(&mut (*t).args, ptr::null_mut());
        let kwargs = mem::replace(&mut (*t).kwargs, ptr::null_mut());
        (run, Parcel { args, kwargs })
    }
}

/// Undoes that.
pub unsafe fn put_call_back(t: *mut Tasklet, run: *mut PyObject, parcel: Parcel) {
    // SAFETY: as in `take_call`.
    unsafe {
        (*t).run = run;
        if parcel.is_error() {
            (*t).error = Error::take().into_raised();
        } else {
            (*t).args = parcel.args;
            (*t).kwargs = parcel.kwargs;
        }
    }
}

/// Switches to a tasklet that is ready. `None` if there is no memory for that.
///
/// A greenlet begins below the one that begins it, on the stack and in depth of recursion. So that tasklets that begin each
/// other do not lie ever deeper, all begin below main: what main waits in, if it does, is sent there to begin it.
#[inline(never)]
unsafe fn begin(
    s: *mut Scheduler,
    prev: *mut Tasklet,
    next: *mut Tasklet,
) -> Option<*mut PyObject> {
    // SAFETY: as in `transfer`. What main waits in is a `transfer`, since it waits in its own greenlet.
    unsafe {
        let main = (*s).main;
        if prev == main || (*main).at.is_null() || (*main).at != (*main).greenlet {
            return begin_here(s, next);
        }
        (*s).launch = next;
        (*s).launched_by = (*prev).at;
        match switch::to((*s).record, (*(*main).at).imp, new_none()) {
            Ok(value) => Some(value),
            Err(word) => {
                decref(word);
                (*s).launch = ptr::null_mut();
                None
            }
        }
    }
}

/// Something came back to `here` while one is to be begun.
#[cold]
#[inline(never)]
unsafe fn launch(
    s: *mut Scheduler,
    here: *mut Imp,
    mut switched: Option<*mut PyObject>,
) -> Option<*mut PyObject> {
    // SAFETY: as in `transfer`. The one that asked for it is suspended in `begin`, and held by its tasklet.
    unsafe {
        while let Some(value) = switched
            && !(*s).launch.is_null()
        {
            let next = mem::replace(&mut (*s).launch, ptr::null_mut());
            let by = mem::replace(&mut (*s).launched_by, ptr::null_mut());
            if next == REFUSED {
                // We have asked, and nothing has changed.
                xdecref(value);
                return None;
            }
            if value.is_null() || here != (*(*(*s).main).greenlet).imp {
                return switched; // somebody else has come in between
            }
            decref(value);
            switched = begin_here(s, next);
            if switched.is_none() {
                (*s).launch = REFUSED;
                switched = switch::to((*s).record, (*by).imp, new_none()).ok();
                if switched.is_none() {
                    // There is no memory even for that: it is ours to go on.
                    (*s).launch = ptr::null_mut();
                    PyErr_NoMemory();
                    return Some(ptr::null_mut());
                }
            }
        }
        switched
    }
}

/// In [`Scheduler::launch`]: it could not be begun.
const REFUSED: *mut Tasklet = ptr::without_provenance_mut(1);

/// Begins one below the running greenlet.
unsafe fn begin_here(s: *mut Scheduler, next: *mut Tasklet) -> Option<*mut PyObject> {
    // SAFETY: as in `transfer`; its greenlet has not begun, and nobody else can begin it, since it has no `run`.
    unsafe {
        let record = (*s).record;
        let (run, parcel) = take_call(next);
        becomes_begun(next, record);
        let back = switch::begin_with(record, (*(*next).greenlet).imp, run, parcel);
        if back.is_none() {
            Tasklet::unlist(next);
            (*next).stage = Stage::Ready;
            put_call_back(next, run, parcel);
        }
        back
    }
}

/// Notes that a tasklet begins.
pub unsafe fn becomes_begun(next: *mut Tasklet, record: *mut record::Record) {
    // SAFETY: as in `begin`.
    unsafe {
        (*next).stage = Stage::Begun;
        (*next).base_depth = gr_state_depth((*record).tstate, ptr::null_mut());
        Tasklet::list(next);
    }
}

/// The first that a tasklet's greenlet does.
///
/// # Safety
///
/// It runs.
pub unsafe fn begun(this: *mut Imp) {
    // SAFETY: the caller's promise.
    unsafe {
        let s = (*(*this).tasklet).scheduler;
        (*s).wake = ptr::null_mut();
        (*s).locked = false;
        drop_left(s);
    }
}
