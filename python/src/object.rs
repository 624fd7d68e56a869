//! A greenlet: what the Python object holds, from its making to its deallocation.
//!
//! The object itself has the layout of `greenlet.h`, since extension modules embed it. All else is in an [`Imp`] that it
//! points to.

use crate::ffi::*;
use crate::record::{self, Record};
use crate::stackless::Tasklet;
use crate::{check, cxx, memory, root, switch};
use core::ffi::{CStr, c_int, c_void};
use core::ptr;
use greenlet::raw;

#[repr(C)]
pub struct PyGreenlet {
    pub base: PyObject,
    pub weakrefs: *mut PyObject,
    pub dict: *mut PyObject,
    pub imp: *mut Imp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Stage {
    /// It has not begun.
    New,
    /// It runs or is suspended.
    Active,
    /// It has ended, or can never run again.
    Done,
}

/// What a greenlet is made of: first what every switch looks at.
#[repr(C)]
pub struct Imp {
    /// The object that points here.
    pub object: *mut PyGreenlet,
    /// Its thread, from its start on; owned. Main greenlets have it from the beginning.
    pub record: *mut Record,
    /// The arguments of the call in which it is suspended.
    pub call_args: *const *mut PyObject,
    pub call_count: u32,
    pub stage: Stage,
    /// Whatever keeps a switch off the fast path. For tests: [`REFUSE`], [`REFUSE_HARD`]; for debugging: [`check::CHECKED`].
    pub refuse: u8,
    /// The entry frames are not in the frame chain now.
    pub exposed: bool,
    pub main: bool,
    pub raw: raw::Greenlet,
    /// The C++ exceptions that are its own, while it is suspended.
    pub cxx: cxx::Held,
    pub state: State,
    /// Owned; null for a main greenlet, and when it was collected.
    pub parent: *mut PyGreenlet,
    /// Owned.
    pub run: *mut PyObject,
    /// The arguments and keywords of the call of `run`, while that lasts; owned, or null.
    pub begun_with: [*mut PyObject; 2],
    /// What its memory for frames is remembered by.
    pub root_key: usize,
    /// The next one that waits to be ended in its own thread ([`Record::pending`]).
    pub next_pending: *mut PyGreenlet,
    /// The tasklet that begins and ends here, if there is one; it owns the greenlet.
    pub tasklet: *mut Tasklet,
    /// Which full collection it has met last, counted from 1.
    #[cfg(py315)]
    pub met: usize,
    /// How many of them it has met.
    #[cfg(py315)]
    pub age: u32,
}

/// Switches to it raise an error.
pub const REFUSE: u8 = 1;
/// Switches to it end the process.
pub const REFUSE_HARD: u8 = 2;

/// How many main greenlets there are.
pub static mut MAINS: usize = 0;

impl Imp {
    /// The interpreter's state of this greenlet.
    #[inline(always)]
    pub fn state(this: *mut Imp) -> *mut State {
        // SAFETY: only the address is computed.
        unsafe { &raw mut (*this).state }
    }

    /// Whether it is suspended or runs, and nothing keeps a switch to it off the fast path. (The two bytes are one word.)
    #[inline(always)]
    pub unsafe fn is_open(this: *mut Imp) -> bool {
        // SAFETY: `this` is valid.
        unsafe {
            u16::from_ne_bytes([(*this).stage as u8, (*this).refuse])
                == u16::from_ne_bytes([Stage::Active as u8, 0])
        }
    }

    #[inline(always)]
    pub fn raw(this: *mut Imp) -> *mut raw::Greenlet {
        // SAFETY: only the address is computed.
        unsafe { &raw mut (*this).raw }
    }

    /// Whether its thread has ended.
    pub unsafe fn is_orphan(this: *mut Imp) -> bool {
        // SAFETY: an owned record is valid.
        unsafe { !(*this).record.is_null() && (*(*this).record).tstate.is_null() }
    }

    /// Whether it is the one that runs on its thread.
    pub unsafe fn is_running(this: *mut Imp) -> bool {
        // SAFETY: an owned record is valid.
        unsafe {
            let record = (*this).record;
            !record.is_null() && (*record).current == this && !(*record).tstate.is_null()
        }
    }
}

/// Makes the [`Imp`] of an object; null, with an error, without memory.
///
/// # Safety
///
/// `object` is a new greenlet object.
unsafe fn attach(object: *mut PyGreenlet) -> *mut Imp {
    // SAFETY: the state is what C expects of one that holds nothing.
    unsafe {
        let imp = memory::place(Imp {
            raw: raw::Greenlet::new(),
            record: ptr::null_mut(),
            object,
            stage: Stage::New,
            main: false,
            exposed: false,
            refuse: check::FLAG,
            call_count: 0,
            call_args: ptr::null(),
            parent: ptr::null_mut(),
            run: ptr::null_mut(),
            begun_with: [ptr::null_mut(); 2],
            root_key: 0,
            next_pending: ptr::null_mut(),
            cxx: cxx::Held::NOTHING,
            tasklet: ptr::null_mut(),
            #[cfg(py315)]
            met: 0,
            #[cfg(py315)]
            age: 0,
            state: core::mem::zeroed(),
        });
        (*object).imp = imp;
        if imp.is_null() {
            PyErr_NoMemory();
        }
        imp
    }
}

/// A new main greenlet for `record`, or null with an error.
///
/// # Safety
///
/// `record` has none yet.
pub unsafe fn new_main(record: *mut Record) -> *mut PyGreenlet {
    // SAFETY: the type is ready.
    unsafe {
        let object: *mut PyGreenlet = gr_alloc(&raw mut GrType).cast();
        if object.is_null() {
            return object;
        }
        let imp = attach(object);
        if imp.is_null() {
            decref(object.cast());
            return ptr::null_mut();
        }
        (*imp).main = true;
        (*imp).stage = Stage::Active;
        (*imp).record = record;
        (*record).refs += 1;
        MAINS += 1;
        object
    }
}

/// A greenlet of `class` whose parent is the current one, or null with an error.
///
/// # Safety
///
/// `class` inherits from the greenlet type.
pub unsafe fn new(class: *mut PyType) -> *mut PyGreenlet {
    // SAFETY: the caller's promise. From the allocation on, which tells the collector of the object, nothing runs that could
    // find it before it is whole. The record is the thread's for as long as that runs.
    unsafe {
        let record = record::current();
        if record.is_null() {
            return ptr::null_mut();
        }
        record::drain(record);
        let object: *mut PyGreenlet = gr_alloc(class).cast();
        if object.is_null() {
            return object;
        }
        let imp = attach(object);
        if imp.is_null() {
            decref(object.cast());
            return ptr::null_mut();
        }
        (*imp).parent = new_ref((*(*record).current).object);
        object
    }
}

/// A greenlet for a tasklet, or null with an error. Its parent, to which a tasklet's end does not go, is the main one of the
/// tasklet's thread. May run any code.
///
/// # Safety
///
/// A valid tasklet, which the caller holds.
pub unsafe fn new_for(tasklet: *mut Tasklet) -> *mut PyGreenlet {
    // SAFETY: the caller's promise; the type is ready. The thread is asked for after the allocation, which may run anything.
    unsafe {
        let object: *mut PyGreenlet = gr_alloc(&raw mut GrType).cast();
        if object.is_null() {
            return object;
        }
        let record = (*(*tasklet).scheduler).record;
        let imp = if record.is_null() {
            raise(PyExc_RuntimeError, c"tasklet has no thread")
        } else {
            attach(object)
        };
        if imp.is_null() {
            decref(object.cast());
            return ptr::null_mut();
        }
        (*imp).tasklet = tasklet;
        (*imp).parent = new_ref((*record).main);
        object
    }
}

/// `tp_new`. Abstract classes are refused in the way of `object.__new__`.
#[unsafe(no_mangle)]
unsafe extern "C" fn gr_new(
    class: *mut PyType,
    _args: *mut PyObject,
    _kwargs: *mut PyObject,
) -> *mut PyObject {
    const ABSTRACT: core::ffi::c_ulong = 1 << 20;
    // SAFETY: called by the interpreter.
    unsafe {
        if PyType_GetFlags(class) & ABSTRACT != 0 {
            return gr_refuse_abstract(class);
        }
        new(class).cast()
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gr_new_unswitchable(
    class: *mut PyType,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by the interpreter.
    unsafe { gr_new(class, args, kwargs) }
}

/// `tp_init`.
#[unsafe(no_mangle)]
unsafe extern "C" fn gr_init(
    this: *mut PyGreenlet,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> c_int {
    let names = [c"run".as_ptr(), c"parent".as_ptr(), ptr::null()];
    let (mut run, mut parent) = (ptr::null_mut::<PyObject>(), ptr::null_mut::<PyObject>());
    // SAFETY: called by the interpreter; two places for two objects.
    unsafe {
        let format = c"|OO:green".as_ptr();
        if PyArg_ParseTupleAndKeywords(
            args,
            kwargs,
            format,
            names.as_ptr(),
            &raw mut run,
            &raw mut parent,
        ) == 0
        {
            return -1;
        }
        init(this, run, parent)
    }
}

/// Sets `run` and `parent`, each unless null (or, the parent, None).
///
/// # Safety
///
/// All are objects or null.
pub unsafe fn init(this: *mut PyGreenlet, run: *mut PyObject, parent: *mut PyObject) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        if !run.is_null() && crate::attrs::set_run(this, run) < 0 {
            return -1;
        }
        if !parent.is_null() && parent != none() {
            return crate::attrs::set_parent(this, parent);
        }
        0
    }
}

/// `greenlet(run)` and `greenlet(run, parent)` without an argument tuple.
#[unsafe(no_mangle)]
unsafe extern "C" fn gr_vectorcall(
    class: *mut PyObject,
    args: *const *mut PyObject,
    count: usize,
    names: *mut PyObject,
) -> *mut PyObject {
    const OFFSET: usize = 1 << (usize::BITS - 1);
    let count = count & !OFFSET;
    // SAFETY: called by the interpreter: `count` arguments, and one more for each name.
    unsafe {
        if class != (&raw mut GrType).cast() || !names.is_null() || count > 2 {
            // The long way, which also words the errors.
            let Some(parcel) = switch::Parcel::pack(args, count as Size, names) else {
                return ptr::null_mut();
            };
            let object = gr_new(class.cast(), ptr::null_mut(), ptr::null_mut());
            if !object.is_null() && gr_init(object.cast(), parcel.args, parcel.kwargs) < 0 {
                decref(object);
                parcel.drop();
                return ptr::null_mut();
            }
            parcel.drop();
            return object;
        }
        let object = new(class.cast());
        if object.is_null() {
            return ptr::null_mut();
        }
        let run = if count > 0 { *args } else { ptr::null_mut() };
        let parent = if count > 1 { *args.add(1) } else { ptr::null_mut() };
        if init(object, run, parent) < 0 {
            decref(object.cast());
            return ptr::null_mut();
        }
        object.cast()
    }
}

/// `tp_traverse`.
#[unsafe(no_mangle)]
unsafe extern "C" fn gr_traverse(this: *mut PyGreenlet, visit: Visit, arg: *mut c_void) -> c_int {
    // SAFETY: called by the collector: nothing runs meanwhile.
    unsafe {
        let imp = (*this).imp;
        let mut held =
            [(*this).dict, ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut()];
        if !imp.is_null() {
            let [args, kwargs] = (*imp).begun_with;
            held = [(*this).dict, (*imp).parent.cast(), (*imp).run, args, kwargs];
        }
        for object in held {
            if !object.is_null() {
                let result = visit(object, arg);
                if result != 0 {
                    return result;
                }
            }
        }
        if imp.is_null() || Imp::is_running(imp) {
            return 0;
        }
        let result = gr_state_visit(Imp::state(imp), visit, arg);
        // The frames of an ended thread's main greenlet lead to one that was a part of the thread state.
        let gone = (*imp).main && Imp::is_orphan(imp);
        if result != 0 || (*imp).stage != Stage::Active || gone {
            return result;
        }
        #[cfg(py315)]
        if !Imp::is_orphan(imp) && !(is_old(imp) && will_be_finalized(imp)) {
            return 0;
        }
        gr_frames_visit(Imp::state(imp), peek, imp.cast(), visit, arg)
    }
}

/// How many full collections a greenlet lives through before its frames are shown to the collector.
#[cfg(py315)]
const YOUNG: u32 = 6;

/// Whether the collector may look into the frames of a greenlet. Most end by themselves before it has come by often, so a
/// walk through their frames would find nothing. And the reference's tests ask that two of its leaks last
/// (`fails_leakcheck`): they turn automatic collection off, collect many times, turn it on, collect once and count,
/// up to six times over. So what is collected by hand while that is off makes nobody older.
///
/// The answer is the same from a collection's beginning to its end, as the collector needs it to be.
///
/// # Safety
///
/// Called by `tp_traverse`.
#[cfg(py315)]
unsafe fn is_old(imp: *mut Imp) -> bool {
    // SAFETY: `imp` is valid, and the GIL is held.
    unsafe {
        let mut automatic = 0;
        let completed = gr_full_collections(gr_thread(), &raw mut automatic) + 1;
        if (*imp).met != completed {
            (*imp).met = completed;
            (*imp).age = (*imp).age.saturating_add((automatic != 0).into());
        }
        (*imp).age > YOUNG
    }
}

/// Whether a suspended greenlet will be kept when the collector finds it. That is its finalizer's doing, or its tasklet's, which a
/// class with `__del__` replaces, and which is called but once. Without it all that the frames hold would be cleared before
/// they run for the last time: so nothing of that may be found unreachable.
///
/// # Safety
///
/// Called by `tp_traverse`.
#[cfg(py315)]
unsafe fn will_be_finalized(imp: *mut Imp) -> bool {
    const FINALIZE: c_int = 80;
    // SAFETY: a greenlet that is suspended has an object, and a tasklet that it has is valid; nothing runs.
    unsafe {
        let (object, finalizer): (*mut PyObject, *const c_void) = match (*imp).tasklet {
            tasklet if tasklet.is_null() => ((*imp).object.cast(), gr_finalize as *const c_void),
            tasklet => (tasklet.cast(), Tasklet::FINALIZER as *const c_void),
        };
        PyType_GetSlot(class(object), FINALIZE).cast_const() == finalizer
            && PyObject_GC_IsFinalized(object) == 0
    }
}

/// Ends a greenlet that the collector has found, of which this is the own thread now. Its finalizer is called but once, so its
/// frames are hidden from the collector from then on, and what it is in a circle with would keep it for ever.
///
/// # Safety
///
/// Called for one that was put off; it is referenced, and no exception is set.
#[cfg(py315)]
pub unsafe fn end_collected(this: *mut PyGreenlet) {
    // SAFETY: the caller's promise. It may have run, ended or lost its thread since it was put off.
    unsafe {
        let imp = (*this).imp;
        let record = (*imp).record;
        let suspended = (*imp).stage == Stage::Active && !Imp::is_orphan(imp);
        if suspended
            && imp != (*record).current
            && (*record).tstate == gr_thread()
            && (*this).base.refcnt as u32 > 1
            && PyObject_GC_IsFinalized(this.cast()) != 0
        {
            kill(this);
        }
    }
}

/// `tp_finalize`, from 3.15 on: the collector found it unreachable, together with what its frames hold. Nothing of that may
/// be cleared before the greenlet has ended, since it runs once more for that; so it is kept until then, and all of it
/// with it.
#[unsafe(no_mangle)]
unsafe extern "C" fn gr_finalize(this: *mut PyGreenlet) {
    // SAFETY: called by the interpreter. One that is listed is held, and so is never found unreachable.
    unsafe {
        let imp = (*this).imp;
        if imp.is_null() || (*imp).stage != Stage::Active || (*imp).main || Imp::is_orphan(imp) {
            return;
        }
        if !(*imp).tasklet.is_null() {
            return; // the tasklet sees to that
        }
        if gr_finalizing() == 0 && gr_collecting(gr_thread()) != 0 {
            record::postpone((*imp).record, new_ref(this));
        }
    }
}

/// `tp_clear`: the collector found it unreachable.
#[unsafe(no_mangle)]
unsafe extern "C" fn gr_clear(this: *mut PyGreenlet) -> c_int {
    // SAFETY: called by the collector.
    unsafe {
        let imp = (*this).imp;
        if !imp.is_null() {
            if (*imp).stage == Stage::Active && !(*imp).main {
                if !Imp::is_orphan(imp) {
                    // It can still run, and so must: it ends as soon as nothing is being collected.
                    record::postpone((*imp).record, new_ref(this));
                    return 0;
                }
                abandon(imp);
            }
            clear(&raw mut (*this).dict);
            if (*imp).stage != Stage::Active {
                gr_state_clear(Imp::state(imp));
            }
            clear(&raw mut (*imp).parent);
            clear(&raw mut (*imp).run);
        }
        0
    }
}

/// `tp_is_gc`, before 3.15: the frames of a suspended greenlet cannot be looked into, so it is no garbage.
#[unsafe(no_mangle)]
unsafe extern "C" fn gr_is_gc(this: *mut PyGreenlet) -> c_int {
    // SAFETY: called by the collector.
    unsafe {
        let imp = (*this).imp;
        let collectable =
            imp.is_null() || (*imp).main || (*imp).stage != Stage::Active || Imp::is_orphan(imp);
        collectable.into()
    }
}

/// `tp_dealloc`.
#[unsafe(no_mangle)]
unsafe extern "C" fn gr_dealloc(this: *mut PyGreenlet) {
    // SAFETY: called by the interpreter: nobody has a reference any more.
    unsafe {
        PyObject_GC_UnTrack(this.cast());
        let imp = (*this).imp;
        if !imp.is_null() && (*imp).stage == Stage::Active && !(*imp).main && !last_words(this) {
            return;
        }
        if !(*this).weakrefs.is_null() {
            PyObject_ClearWeakRefs(this.cast());
        }
        clear(&raw mut (*this).dict);
        let imp = core::mem::replace(&mut (*this).imp, ptr::null_mut());
        if !imp.is_null() {
            free(imp);
        }
        PyObject_GC_Del(this.cast());
    }
}

/// Gives up a parent, and with its last reference its own parent, and so on: a chain of any length takes no more of the stack
/// than one.
///
/// # Safety
///
/// It is owned, or null.
unsafe fn give_up_parents(mut parent: *mut PyGreenlet) {
    // SAFETY: who has the last reference may take out what it holds. Code that runs for it once more still finds its parent.
    unsafe {
        while !parent.is_null() {
            let (imp, mut next) = ((*parent).imp, ptr::null_mut());
            let is_last = (*parent).base.refcnt as u32 == 1 && !imp.is_null();
            if is_last && (*imp).stage != Stage::Active && gr_has_finalizer(parent.cast()) == 0 {
                next = core::mem::replace(&mut (*imp).parent, next);
            }
            decref(parent.cast());
            parent = next;
        }
    }
}

/// Frees what an object was made of.
///
/// # Safety
///
/// Nobody points to it.
unsafe fn free(imp: *mut Imp) {
    // SAFETY: the caller's promise; all that it owns is given up once.
    unsafe {
        abandon(imp);
        gr_state_clear(Imp::state(imp));
        give_up_parents(core::mem::replace(&mut (*imp).parent, ptr::null_mut()));
        clear(&raw mut (*imp).run);
        if (*imp).main {
            MAINS -= 1;
        }
        let record = (*imp).record;
        memory::free(imp);
        if !record.is_null() {
            record::unref(record);
        }
    }
}

/// Makes sure that it never runs again, without running it: what its frames hold is leaked, except what is certain.
///
/// # Safety
///
/// It is not the one that runs.
pub unsafe fn abandon(imp: *mut Imp) {
    // SAFETY: the caller's promise.
    unsafe { abandon_with(imp, false) }
}

/// [`abandon`]; `thread_ends`: its thread is ending just now. What is given up of its frames then, and what otherwise,
/// differs by version as it does in the reference, whose tests insist on either.
///
/// # Safety
///
/// As there.
pub unsafe fn abandon_with(imp: *mut Imp, thread_ends: bool) {
    // SAFETY: the caller's promise; the slice is read before it is freed.
    unsafe {
        if (*imp).main {
            return;
        }
        let suspended = (*imp).stage == Stage::Active;
        (*imp).stage = Stage::Done;
        let mut released = [ptr::null_mut(); 10];
        let mut count = 0;
        let mut kept = false;
        if suspended {
            let state = Imp::state(imp);
            // First: an exception that is being handled has a traceback, and that has frame objects.
            gr_state_clear(state);
            kept = gr_frames_observed(state, peek, imp.cast()) != 0;
            let arguments = (*imp).call_count.min(8) as c_int;
            if (thread_ends || cfg!(py311)) && (*imp).call_count as c_int == arguments {
                let (args, out) = ((*imp).call_args, released.as_mut_ptr());
                count = gr_frames_take_call(state, &raw mut GrType, args, arguments, out);
            }
            kept |= thread_ends && cfg!(not(py311));
            if !kept {
                gr_frames_drop(state, peek, imp.cast(), (!thread_ends).into());
            }
        }
        if (*imp).raw.is_active() {
            // SAFETY: it is active, so its record is there; not running, says the caller.
            let _ = raw::Thread::release(&raw mut (*(*imp).record).thread, Imp::raw(imp));
        }
        if suspended {
            root::give(gr_state_abandon(Imp::state(imp), kept.into()));
            (*imp).exposed = false;
        }
        for object in &released[..count as usize] {
            decref(*object);
        }
        // A function of C may have noted elsewhere where they are: they go with what the frames hold, or not at all.
        if cfg!(py315) && suspended && !kept && !thread_ends {
            for object in core::mem::replace(&mut (*imp).begun_with, [ptr::null_mut(); 2]) {
                xdecref(object);
            }
        }
    }
}

/// Throws GreenletExit into a suspended greenlet of this thread and reports what else comes out of it.
///
/// # Safety
///
/// It is suspended, of this thread, and referenced; no exception is set.
unsafe fn kill(this: *mut PyGreenlet) {
    // SAFETY: the caller's promise. Meanwhile its parent is the one that runs, so that control comes back here.
    unsafe {
        let imp = (*this).imp;
        let record = (*imp).record;
        // It is left in no call of ours.
        (*(*record).current).call_args = ptr::null();
        (*(*record).current).call_count = u32::MAX;
        let here = new_ref((*(*record).current).object);
        let parent = core::mem::replace(&mut (*imp).parent, here);
        PyErr_SetString(
            record::exit_class(),
            c"Killing the greenlet because all references have vanished.".as_ptr(),
        );
        let result = switch::go(record, imp, switch::Parcel::ERROR);
        // Its parent's ancestors may have changed meanwhile: no circle is made of them.
        if is_ancestor(this, parent) {
            xdecref(parent);
        } else {
            let here = core::mem::replace(&mut (*imp).parent, parent);
            xdecref(here);
        }
        if result.is_null() {
            PyErr_WriteUnraisable(this.cast());
        } else {
            decref(result);
        }
    }
}

/// Whether `this` is `at` or one of its ancestors.
///
/// # Safety
///
/// Valid greenlets; `at` may be null.
unsafe fn is_ancestor(this: *mut PyGreenlet, mut at: *mut PyGreenlet) -> bool {
    // SAFETY: the caller's promise; parents are valid.
    unsafe {
        while !at.is_null() && at != this {
            at = (*(*at).imp).parent;
        }
    }
    !at.is_null()
}

/// The thread has ended while the greenlet ran there (in a process that was forked by another thread): it never runs again, and
/// all that the interpreter had for it was the thread state's. The record's reference to it is never given up, since its
/// stretch of the stack cannot be.
///
/// # Safety
///
/// Just that.
pub unsafe fn stopped(imp: *mut Imp) {
    // SAFETY: the caller's promise; what the state notes is of its last suspension, and owned by nobody now.
    unsafe {
        (*imp).stage = Stage::Done;
        (*imp).exposed = false;
        gr_state_forget(Imp::state(imp));
    }
}

/// Whether a switch to `imp` would move frames of the garbage collector, which objects point to.
///
/// # Safety
///
/// It is suspended and of this thread.
pub unsafe fn is_unsafe_now(imp: *mut Imp) -> bool {
    let here = 0u8;
    // SAFETY: it is suspended and of this thread.
    unsafe {
        let record = (*imp).record;
        gr_collecting((*record).tstate) != 0
            && raw::Thread::would_move(
                &raw mut (*record).thread,
                Imp::raw(imp),
                (&raw const here).cast(),
            )
    }
}

/// The last reference to a suspended greenlet is gone. False: it lives on.
///
/// # Safety
///
/// Called by its deallocation.
unsafe fn last_words(this: *mut PyGreenlet) -> bool {
    // SAFETY: while it is revived it is an ordinary object.
    unsafe {
        let imp = (*this).imp;
        if gr_finalizing() != 0 {
            abandon(imp);
            return true;
        }
        gr_revive(this.cast());
        let error = Error::take();
        let record = (*imp).record;
        if Imp::is_orphan(imp) {
            abandon(imp);
        } else if (*record).tstate == gr_thread() && !is_unsafe_now(imp) {
            kill(this);
        } else {
            record::postpone(record, new_ref(this));
        }
        if (*this).base.refcnt as u32 == 1 && (*imp).stage == Stage::Active {
            incref(this.cast()); // leaked: there is nothing else that could be done with it
            complain(this.cast(), c"GreenletExit did not kill ");
        }
        error.restore();
        gr_unrevive(this.cast()) != 0
    }
}

/// Writes a line to `sys.stderr`.
///
/// # Safety
///
/// An object, and the GIL is held.
pub unsafe fn complain(object: *mut PyObject, text: &CStr) {
    // SAFETY: the file is borrowed, so it is held while it may run code.
    unsafe {
        let file = PySys_GetObject(c"stderr".as_ptr());
        if !file.is_null() {
            incref(file);
            PyFile_WriteString(text.as_ptr(), file);
            PyErr_Clear(); // with an error set no object may be written
            PyFile_WriteObject(object, file, 0);
            PyErr_Clear();
            PyFile_WriteString(c"\n".as_ptr(), file);
            PyErr_Clear();
            decref(file);
        }
    }
}
