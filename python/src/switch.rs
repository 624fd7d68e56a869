//! Switching: what `switch` and `throw` do until the target runs, and what the one that is switched back to does first.
//!
//! A value crosses as the word of the engine's switch: one object, owned by nobody but the switch; null says that the
//! error indicator is set, which belongs to the thread and stays where it is. So nothing is stored in the target, and a
//! trace function or a finalizer that switches in between cannot mix anything up.

use crate::ffi::*;
use crate::object::{Imp, PyGreenlet, REFUSE, REFUSE_HARD, Stage};
use crate::record::{self, Record};
use crate::{check, cxx, life, root};

use core::{mem, ptr};
use greenlet::raw;

/// What is sent to a greenlet when it is not known yet whether it has begun: arguments, or the exception that is set.
#[derive(Clone, Copy)]
pub struct Parcel {
    /// A tuple; null for an exception.
    pub args: *mut PyObject,
    /// A dictionary, or null.
    pub kwargs: *mut PyObject,
}

impl Parcel {
    /// The exception that is set.
    pub const ERROR: Parcel = Parcel { args: ptr::null_mut(), kwargs: ptr::null_mut() };

    pub fn is_error(&self) -> bool {
        self.args.is_null()
    }

    /// From the arguments of a vectorcall; `None` with an error set.
    ///
    /// # Safety
    ///
    /// There are `count` arguments, and one more for each name.
    pub unsafe fn pack(
        args: *const *mut PyObject,
        count: Size,
        names: *mut PyObject,
    ) -> Option<Parcel> {
        // SAFETY: the caller's promise.
        unsafe {
            let tuple = PyTuple_New(count);
            if tuple.is_null() {
                return None;
            }
            for i in 0..count {
                PyTuple_SetItem(tuple, i, new_ref(*args.offset(i)));
            }
            let mut dict = ptr::null_mut();
            if !names.is_null() && PyTuple_Size(names) > 0 {
                dict = PyDict_New();
                for i in 0..PyTuple_Size(names) {
                    let (name, value) = (PyTuple_GetItem(names, i), *args.offset(count + i));
                    if dict.is_null() || PyDict_SetItem(dict, name, value) < 0 {
                        xdecref(dict);
                        decref(tuple);
                        return None;
                    }
                }
            }
            Some(Parcel { args: tuple, kwargs: dict })
        }
    }

    /// Of one object, which is taken; null stands for the exception that is set.
    ///
    /// # Safety
    ///
    /// `value` is owned.
    pub unsafe fn of(value: *mut PyObject) -> Parcel {
        if value.is_null() {
            return Parcel::ERROR;
        }
        // SAFETY: the caller's promise. Without memory the error is sent instead.
        unsafe {
            let args = PyTuple_New(1);
            if args.is_null() {
                decref(value);
            } else {
                PyTuple_SetItem(args, 0, value);
            }
            Parcel { args, kwargs: ptr::null_mut() }
        }
    }

    /// What a suspended `switch` returns for it; null if it is an exception.
    ///
    /// # Safety
    ///
    /// It owns what it holds.
    pub unsafe fn into_value(self) -> *mut PyObject {
        let Parcel { args, kwargs } = self;
        if args.is_null() {
            return args;
        }
        // SAFETY: the arguments are a tuple, the keywords a dictionary or null.
        unsafe {
            let count = PyTuple_Size(args);
            if kwargs.is_null() || PyDict_Size(kwargs) == 0 {
                xdecref(kwargs);
                if count != 1 {
                    return args;
                }
                let value = new_ref(PyTuple_GetItem(args, 0));
                decref(args);
                value
            } else if count == 0 {
                decref(args);
                kwargs
            } else {
                let pair = PyTuple_Pack(2, args, kwargs);
                decref(args);
                decref(kwargs);
                pair
            }
        }
    }

    /// Gives up what it holds.
    ///
    /// # Safety
    ///
    /// It owns that.
    pub unsafe fn drop(self) {
        // SAFETY: the caller's promise.
        unsafe {
            xdecref(self.args);
            xdecref(self.kwargs);
        }
    }
}

/// `greenlet.switch(*args, **kwargs)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn gr_switch(
    this: *mut PyGreenlet,
    args: *const *mut PyObject,
    count: Size,
    names: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by the interpreter: `count` arguments, and one more for each name. The record of a greenlet that has
    // begun is valid.
    unsafe {
        let target = (*this).imp;
        let ts = gr_thread();
        if Imp::is_open(target) && names.is_null() && count <= 1 {
            let record = (*target).record;
            let here = (*record).current;
            if (*record).tstate == ts && here != target && (*record).pending.is_null() {
                let value = if count == 1 { new_ref(*args) } else { nothing() };
                return hand_over(record, ts, here, target, value, args, count as u32);
            }
        }
        slowly(target, args, count, names)
    }
}

/// `()`, a new reference. (From 3.12 on it is immortal, and nobody counts.)
#[inline(always)]
unsafe fn nothing() -> *mut PyObject {
    // SAFETY: made with the module.
    unsafe { if cfg!(py312) { EMPTY } else { new_ref(EMPTY) } }
}

/// The empty tuple.
pub static mut EMPTY: *mut PyObject = ptr::null_mut();

#[cold]
#[inline(never)]
unsafe fn slowly(
    target: *mut Imp,
    args: *const *mut PyObject,
    count: Size,
    names: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as in `gr_switch`.
    unsafe {
        let record = record::current();
        if record.is_null() {
            return ptr::null_mut();
        }
        record::drain(record);
        let here = (*record).current;
        (*here).call_args = args;
        (*here).call_count = if names.is_null() { count as u32 } else { u32::MAX };
        if count == 0 && names.is_null() && (*target).stage == Stage::New {
            return go(record, target, Parcel { args: nothing(), kwargs: ptr::null_mut() });
        }
        match Parcel::pack(args, count, names) {
            Some(parcel) => go(record, target, parcel),
            None => ptr::null_mut(),
        }
    }
}

/// Leaves the running greenlet, `here`, for `target`, which has begun, is of this thread and not the running one. `value` is taken.
///
/// # Safety
///
/// Just that; `args` are the arguments of the call, or null.
#[inline(always)]
pub unsafe fn hand_over(
    record: *mut Record,
    ts: *mut ThreadState,
    here: *mut Imp,
    target: *mut Imp,
    value: *mut PyObject,
    args: *const *mut PyObject,
    count: u32,
) -> *mut PyObject {
    // SAFETY: the caller's promise.
    unsafe {
        match hand(record, ts, here, target, value, args, count) {
            Ok(value) => value,
            Err(value) => {
                xdecref(value);
                PyErr_NoMemory()
            }
        }
    }
}

/// [`hand_over`] for one who wants back what was refused without memory: no error is set for that, and if the value is
/// null the exception that was to be sent still is.
///
/// # Safety
///
/// As there.
#[inline(always)]
unsafe fn hand(
    record: *mut Record,
    ts: *mut ThreadState,
    here: *mut Imp,
    target: *mut Imp,
    value: *mut PyObject,
    args: *const *mut PyObject,
    count: u32,
) -> Result<*mut PyObject, *mut PyObject> {
    // SAFETY: the caller's promise. The record and both greenlets are in the heap. Nothing reaches into the frames of
    // a suspended greenlet but `peek`: the interpreter's way there, the entry frames, is closed by `gr_frames_prepare`.
    unsafe {
        (*here).call_args = args;
        (*here).call_count = count;
        match gr_state_leave(ts, Imp::state(here), Imp::state(target), (*record).reach) {
            0 => {}
            1 => (*here).exposed = true,
            _ => return Err(value),
        }
        cxx::cross(record, here, target);
        (*record).origin = (*here).object;
        (*record).current = target;
        incref((*target).object.cast());
        let thread = &raw mut (*record).thread;
        match raw::Thread::switch_unchecked(thread, Imp::raw(target), value.cast()) {
            Ok(value) => Ok(arrived(record, ts, here, value.cast())),
            Err(_) => {
                refused(record, ts, here, target);
                Err(value)
            }
        }
    }
}

/// Leaves the running greenlet for `target` as [`hand_over`] does, in no call that has arguments; with the checks of
/// `GREENLET_DEBUG`. For schedulers: `Err` is the value again if there is no memory for the switch.
///
/// # Safety
///
/// As for [`hand_over`].
#[inline(always)]
pub unsafe fn to(
    record: *mut Record,
    target: *mut Imp,
    value: *mut PyObject,
) -> Result<*mut PyObject, *mut PyObject> {
    // SAFETY: the caller's promise.
    unsafe {
        let (ts, here) = ((*record).tstate, (*record).current);
        let switch = || hand(record, ts, here, target, value, ptr::null(), u32::MAX);
        if check::FLAG != 0 {
            return checked(record, target, switch, value);
        }
        switch()
    }
}

/// Begins `target`, which has not begun and is nobody else's business, with `run`, which is taken, as [`start_with`] does.
///
/// # Safety
///
/// As there.
pub unsafe fn begin_with(
    record: *mut Record,
    target: *mut Imp,
    run: *mut PyObject,
    parcel: Parcel,
) -> Option<*mut PyObject> {
    // SAFETY: the caller's promise.
    unsafe {
        (*(*record).current).call_args = ptr::null();
        (*(*record).current).call_count = u32::MAX;
        let switch = || start_with(record, target, run, parcel, ptr::null_mut());
        if check::FLAG != 0 {
            return checked(record, ptr::null_mut(), switch, parcel.args);
        }
        switch()
    }
}

/// Makes the frames of the running greenlet safe to look at while it is suspended. False if there is no memory for that.
///
/// # Safety
///
/// It runs.
#[inline(always)]
pub unsafe fn leave(ts: *mut ThreadState, here: *mut Imp) -> bool {
    if cfg!(not(py312)) {
        return true;
    }
    // SAFETY: the caller's promise.
    unsafe {
        match gr_frames_prepare(ts, Imp::state(here)) {
            0 => true,
            1 => {
                (*here).exposed = true;
                true
            }
            _ => false,
        }
    }
}

/// Somebody has switched back to `here`.
#[inline(always)]
pub unsafe fn arrived(
    record: *mut Record,
    ts: *mut ThreadState,
    here: *mut Imp,
    value: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: `here` is the running greenlet, its thread state is installed and its stack in place.
    unsafe {
        #[cfg(not(py312))]
        gr_state_arrived(ts);
        #[cfg(py312)]
        if (*here).exposed {
            relink(here);
        }
        let origin = mem::replace(&mut (*record).origin, ptr::null_mut());
        if !(*record).tracer.is_null() {
            return traced(record, ts, origin, here, value);
        }
        let low = &raw mut (*origin).base;
        if value.is_null() || (*low).refcnt as u32 == 1 {
            return arrived_slowly(origin, value);
        }
        decref(low);
        value
    }
}

/// The last reference, or an exception on its way: giving `origin` up may run code.
#[cold]
#[inline(never)]
unsafe fn arrived_slowly(origin: *mut PyGreenlet, value: *mut PyObject) -> *mut PyObject {
    // SAFETY: `origin` is owned.
    unsafe {
        decref(origin.cast());
        value
    }
}

#[cold]
#[inline(never)]
pub unsafe fn relink(here: *mut Imp) {
    // SAFETY: the stack is in place again.
    unsafe {
        (*here).exposed = false;
        gr_frames_relink(Imp::state(here));
    }
}

#[cold]
#[inline(never)]
unsafe fn traced(
    record: *mut Record,
    ts: *mut ThreadState,
    origin: *mut PyGreenlet,
    here: *mut Imp,
    value: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: `origin` and `value` are owned.
    unsafe {
        let fine = trace(record, ts, origin, (*here).object, value.is_null());
        decref(origin.cast());
        if fine {
            value
        } else {
            xdecref(value);
            ptr::null_mut()
        }
    }
}

/// Calls the trace function. False: it raised, and is not set any more.
///
/// # Safety
///
/// All are valid; an exception is set if `throw`.
pub unsafe fn trace(
    record: *mut Record,
    ts: *mut ThreadState,
    origin: *mut PyGreenlet,
    target: *mut PyGreenlet,
    throw: bool,
) -> bool {
    // SAFETY: the trace function is held while it runs.
    unsafe {
        let tracer = new_ref((*record).tracer);
        let error = Error::take();
        gr_thread_quiet(ts, 1);
        let event = PyUnicode_InternFromString(if throw { c"throw" } else { c"switch" }.as_ptr());
        let pair = PyTuple_Pack(2, origin, target);
        let mut result = ptr::null_mut::<PyObject>();
        if !event.is_null() && !pair.is_null() {
            let end = ptr::null_mut::<PyObject>();
            result = PyObject_CallFunctionObjArgs(tracer, event, pair, end);
        }
        xdecref(event);
        xdecref(pair);
        gr_thread_quiet(gr_thread(), 0);
        decref(tracer);
        if result.is_null() {
            clear(&raw mut (*record).tracer);
            error.forget();
            false
        } else {
            decref(result);
            error.restore();
            true
        }
    }
}

/// Undoes what was done for a switch from `here` to `target` that the engine has refused.
///
/// # Safety
///
/// Nothing has run in between.
#[cold]
#[inline(never)]
pub unsafe fn refused(record: *mut Record, ts: *mut ThreadState, here: *mut Imp, target: *mut Imp) {
    // SAFETY: nothing has run in between.
    unsafe {
        gr_state_unswap(ts, Imp::state(here), Imp::state(target));
        cxx::uncross(record, here, target);
        #[cfg(not(py312))]
        gr_state_arrived(ts);
        if (*here).exposed {
            relink(here);
        }
        (*record).current = here;
        (*record).origin = ptr::null_mut();
        decref((*target).object.cast());
    }
}

/// Switches to `target`, or, as long as that has ended, to its parent; begins it if it has not begun. Takes the parcel.
///
/// # Safety
///
/// `record` is the calling thread's; `target` is valid; if the parcel is an exception, one is set.
#[inline(never)]
pub unsafe fn go(record: *mut Record, target: *mut Imp, parcel: Parcel) -> *mut PyObject {
    // SAFETY: the caller's promise. `at` is kept alive by the one it is a parent of, or by our caller; code runs only
    // in `start`, which is told to hold it.
    unsafe {
        if !is_allowed(record, target) {
            parcel.drop();
            return ptr::null_mut();
        }
        let mut at = target;
        loop {
            match (*at).stage {
                Stage::Active => return resume(record, at, parcel),
                Stage::New => match begin(record, at, parcel) {
                    Started::Back(value) => return value,
                    Started::Otherwise => {}
                },
                Stage::Done => match (*at).parent {
                    parent if parent.is_null() => {
                        parcel.drop();
                        return cannot(c"cannot switch to a garbage collected greenlet");
                    }
                    parent => at = (*parent).imp,
                },
            }
        }
    }
}

/// [`start`] for one that will be switched back to.
#[inline(always)]
unsafe fn begin(record: *mut Record, at: *mut Imp, parcel: Parcel) -> Started {
    // SAFETY: as in `go`.
    unsafe {
        let begin = || start(record, at, parcel, ptr::null_mut());
        if check::FLAG != 0 {
            return checked(record, ptr::null_mut(), begin, parcel.args);
        }
        begin()
    }
}

/// A switch or start, with the checks of `GREENLET_DEBUG`. A function of its own: what it notes is no part of other frames.
#[cold]
#[inline(never)]
unsafe fn checked<T>(
    record: *mut Record,
    target: *mut Imp,
    switch: impl FnOnce() -> T,
    value: *mut PyObject,
) -> T {
    // SAFETY: as in `go`.
    unsafe {
        let left = check::leaves(record, target, value);
        let result = switch();
        left.is_back(record);
        result
    }
}

unsafe fn cannot(text: &core::ffi::CStr) -> *mut PyObject {
    // SAFETY: the class is made with the module.
    unsafe { raise(record::error_class(), text) }
}

/// To one that has begun, with all checks.
unsafe fn resume(record: *mut Record, at: *mut Imp, parcel: Parcel) -> *mut PyObject {
    // SAFETY: as in `go`.
    unsafe {
        let ts = (*record).tstate;
        if (*at).refuse & REFUSE != 0 {
            parcel.drop();
            if PyErr_Occurred().is_null() {
                raise::<()>(PyExc_SystemError, c"Failed to switch stacks into a running greenlet.");
            }
            return ptr::null_mut();
        }
        if (*at).refuse & REFUSE_HARD != 0 {
            Py_FatalError(c"greenlet: the switch was made to fail by a test".as_ptr());
        }
        let error = parcel.is_error();
        let value = parcel.into_value();
        if value.is_null() && !error {
            return value;
        }
        let here = (*record).current;
        if at == here {
            if !(*record).tracer.is_null() {
                return traced(record, ts, new_ref((*at).object), at, value);
            }
            return value;
        }
        let (args, count) = ((*here).call_args, (*here).call_count);
        if check::FLAG != 0 {
            return checked(
                record,
                at,
                || hand_over(record, ts, here, at, value, args, count),
                value,
            );
        }
        hand_over(record, ts, here, at, value, args, count)
    }
}

/// Whether this thread may switch to `target`; else an error is set.
///
/// # Safety
///
/// As for [`go`].
pub unsafe fn is_allowed(record: *mut Record, target: *mut Imp) -> bool {
    // SAFETY: parents are valid or null.
    unsafe {
        let mut at = target;
        // One that has begun belongs to its thread; before, to that of its parent.
        let theirs = loop {
            if !(*at).record.is_null() {
                break (*at).record;
            }
            let parent = (*at).parent;
            if parent.is_null() || (*parent).imp.is_null() {
                cannot(c"cannot switch to a garbage collected greenlet");
                return false;
            }
            at = (*parent).imp;
        };
        if theirs == record {
            return true;
        }
        if (*theirs).tstate.is_null() {
            cannot(c"cannot switch to a different thread (which happens to have exited)");
        } else {
            PyErr_Format(
                record::error_class(),
                c"Cannot switch to a different thread\n\tCurrent:  %R\n\tExpected: %R".as_ptr(),
                (*record).main,
                (*theirs).main,
            );
        }
        false
    }
}

/// What became of an attempt to begin a greenlet.
pub enum Started {
    /// It was, or could not be; control is back with this value.
    Back(*mut PyObject),
    /// Somebody else has begun it meanwhile; the parcel is not used.
    Otherwise,
}

/// Begins `target`. If `finish` is not null, the running greenlet ends with it, and this returns only if that failed;
/// a reference to `finish` is then given up.
///
/// # Safety
///
/// As for [`go`].
pub unsafe fn start(
    record: *mut Record,
    target: *mut Imp,
    parcel: Parcel,
    finish: *mut PyGreenlet,
) -> Started {
    // SAFETY: as in `go`; the target is held while code runs.
    unsafe {
        let error = if parcel.is_error() { Some(Error::take()) } else { None };
        let object = new_ref((*target).object);
        let run = PyObject_GetAttr(object.cast(), crate::module::run_name());
        // Held by whoever we were called for; if not, there is nothing to begin.
        let only_ours = (*object).base.refcnt as u32 == 1;
        if run.is_null() || only_ours || !is_allowed(record, target) {
            xdecref(run);
            if let Some(error) = error {
                error.forget();
            }
            parcel.drop();
            if PyErr_Occurred().is_null() {
                cannot(c"cannot switch to a garbage collected greenlet");
            }
            decref(object.cast());
            return Started::Back(ptr::null_mut());
        }
        if let Some(error) = error {
            error.restore();
        }
        decref(object.cast());
        if (*target).stage != Stage::New {
            decref(run);
            return Started::Otherwise;
        }
        if (*target).refuse & REFUSE != 0 {
            decref(run);
            parcel.drop();
            raise::<()>(
                PyExc_SystemError,
                c"Failed to switch stacks into a greenlet for the first time.",
            );
            return Started::Back(ptr::null_mut());
        }
        Started::Back(match start_with(record, target, run, parcel, finish) {
            Some(value) => value,
            None => {
                decref(run);
                parcel.drop();
                PyErr_NoMemory()
            }
        })
    }
}

/// The part of [`start`] after which nothing but memory can be missing: `None` if it is, and then `run` and the parcel are
/// not taken, and no error is set for it.
///
/// # Safety
///
/// As for [`start`]; the target has not begun and is held, and `run` and the parcel are owned.
pub unsafe fn start_with(
    record: *mut Record,
    target: *mut Imp,
    run: *mut PyObject,
    parcel: Parcel,
    finish: *mut PyGreenlet,
) -> Option<*mut PyObject> {
    // SAFETY: the caller's promise.
    unsafe {
        let ts = (*record).tstate;
        let here = (*record).current;
        // The greenlet's frames will all lie below this one.
        let reach = (&raw const ts).addr();
        (*record).reach = (*record).reach.max(reach);
        let (root, key) = root::take(run);
        if !leave(ts, here) {
            root::give(root);
            return None;
        }
        (*target).root_key = key;
        (*target).record = record;
        (*record).refs += 1;
        (*target).stage = Stage::Active;
        gr_state_begin(ts, Imp::state(target), root);
        if !finish.is_null() {
            life::dismantle(ts, here);
        }
        gr_state_swap(ts, Imp::state(here), Imp::state(target));
        cxx::cross(record, here, target);
        (*record).begin = [run, parcel.args, parcel.kwargs];
        (*record).origin = (*here).object;
        (*record).current = target;
        incref((*target).object.cast());

        let thread = &raw mut (*record).thread;
        let stack = raw::Thread::native(thread);
        let word = record::as_void(target);
        let refusal = if !finish.is_null() {
            decref(finish.cast()); // the parents of the running one hold it as well
            let refusal =
                raw::Thread::finish_and_start(thread, Imp::raw(target), stack, life::body, word);
            incref(finish.cast());
            refusal
        } else {
            // Not `start`: what called us is C, whose floating-point control words are kept.
            match raw::Thread::start_called(thread, Imp::raw(target), stack, life::body, word) {
                Ok(value) => return Some(arrived(record, ts, here, value.cast())),
                Err(refusal) => refusal,
            }
        };
        let _ = refusal;
        (*record).begin = [ptr::null_mut(); 3];
        refused(record, ts, here, target);
        root::give(gr_state_abandon(Imp::state(target), 0));
        (*target).stage = Stage::New;
        (*target).record = ptr::null_mut();
        (*record).refs -= 1;
        None
    }
}

/// `greenlet.throw([type[, value[, traceback]]])`.
#[unsafe(no_mangle)]
unsafe extern "C" fn gr_throw(
    this: *mut PyGreenlet,
    args: *const *mut PyObject,
    count: Size,
) -> *mut PyObject {
    // SAFETY: called by the interpreter with `count` arguments.
    unsafe {
        if count > 3 {
            return PyErr_Format(
                PyExc_TypeError,
                c"throw() takes at most 3 arguments (%zd given)".as_ptr(),
                count,
            );
        }
        let arg = |i: Size| if i < count { *args.offset(i) } else { ptr::null_mut() };
        let class = if count > 0 { arg(0) } else { record::exit_class() };
        throw(this, class, arg(1), arg(2), args, count as u32)
    }
}

/// Throws into a greenlet. `value` and `traceback` may be null.
///
/// # Safety
///
/// All others are objects; `args` are the arguments of the call, or null.
pub unsafe fn throw(
    this: *mut PyGreenlet,
    class: *mut PyObject,
    value: *mut PyObject,
    traceback: *mut PyObject,
    args: *const *mut PyObject,
    count: u32,
) -> *mut PyObject {
    // SAFETY: the caller's promise.
    unsafe {
        let record = record::current();
        if record.is_null() || !raise_given(class, value, traceback) {
            return ptr::null_mut();
        }
        record::drain(record);
        let target = (*this).imp;
        let here = (*record).current;
        (*here).call_args = args;
        (*here).call_count = count;
        if Imp::is_open(target) && (*target).record == record && target != here {
            let value = ptr::null_mut();
            return hand_over(record, (*record).tstate, here, target, value, args, count);
        }
        if (*target).stage == Stage::Done {
            // A dead one takes an exit for an ordinary end.
            return go(record, target, Parcel::of_exit());
        }
        go(record, target, Parcel::ERROR)
    }
}

impl Parcel {
    /// The exception that is set; if that is GreenletExit, the exception object as a value instead.
    ///
    /// # Safety
    ///
    /// An exception is set.
    pub unsafe fn of_exit() -> Parcel {
        // SAFETY: the caller's promise.
        unsafe {
            if PyErr_ExceptionMatches(record::exit_class()) == 0 {
                return Parcel::ERROR;
            }
            Parcel::of(Error::take().into_value())
        }
    }
}

/// Makes the exception that the arguments of a throw describe the one that is set. False: they describe none, and
/// another one is set that says so.
unsafe fn raise_given(
    class: *mut PyObject,
    value: *mut PyObject,
    traceback: *mut PyObject,
) -> bool {
    // SAFETY: the arguments of `throw`.
    unsafe {
        let traceback = if traceback == none() { ptr::null_mut() } else { traceback };
        if !traceback.is_null() && gr_is_traceback(traceback) == 0 {
            raise::<()>(PyExc_TypeError, c"throw() third argument must be a traceback object");
            return false;
        }
        if is_exception_class(class) {
            let mut parts = [class, value, traceback];
            for part in parts {
                if !part.is_null() {
                    incref(part);
                }
            }
            let [c, v, t] = &mut parts;
            PyErr_NormalizeException(c, v, t);
            PyErr_Restore(parts[0], parts[1], parts[2]);
            return true;
        }
        if is_exception(class) {
            if !value.is_null() && value != none() {
                raise::<()>(PyExc_TypeError, c"instance exception may not have a separate value");
                return false;
            }
            if !traceback.is_null() {
                incref(traceback);
            }
            let exact = crate::ffi::class(class).cast::<PyObject>();
            PyErr_Restore(new_ref(exact), new_ref(class), traceback);
            return true;
        }
        PyErr_Format(
            PyExc_TypeError,
            c"exceptions must be classes, or instances, not %s".as_ptr(),
            gr_type_name(class),
        );
        false
    }
}
