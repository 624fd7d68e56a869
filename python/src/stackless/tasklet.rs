//! A tasklet: what the object holds, from its making to its deallocation.

use super::channel::{self, Channel};
use super::ffi::*;
use super::scheduler::{self, Scheduler, give_up};
use super::{context, throw};
use crate::ffi::*;
use crate::object::{self, PyGreenlet};
use core::ffi::{c_int, c_void};
use core::{mem, ptr};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Stage {
    /// It has nothing to run: not yet, or not any more. What it is bound to is its value.
    Idle,
    /// It has a function, arguments and a greenlet, and has not begun.
    Ready,
    /// It runs, or is suspended.
    Begun,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Queue {
    None,
    Ring,
    Channel,
}

/// Flags that programs set.
pub const ATOMIC: u8 = 1;
pub const IGNORE_NESTING: u8 = 2;
pub const BLOCK_TRAP: u8 = 4;
/// It is in `run(threadblock=True)`.
pub const THREAD_BLOCK: u8 = 8;

/// New objects are all zeros, which is an idle tasklet in no queue.
#[repr(C)]
pub struct Tasklet {
    pub base: PyObject,
    pub weakrefs: *mut PyObject,
    /// Counted, not null from `tp_new` on.
    pub scheduler: *mut Scheduler,
    /// In the ring, or in the channel's queue, whose ends are null.
    pub next: *mut Tasklet,
    pub prev: *mut Tasklet,
    /// What it runs in; owned. Null if it is idle.
    pub greenlet: *mut PyGreenlet,
    /// The greenlet in which it waits for its turn; owned unless it is the above. Null while it runs, before it begins, and
    /// when the one in which it waited was continued by somebody else: then it is lost.
    pub at: *mut PyGreenlet,
    /// `tempval`: owned, unless it is the tasklet itself. Null is None.
    pub value: *mut PyObject,
    /// What is raised in it when it goes on: an exception or a class of exceptions; owned, or null.
    pub error: *mut PyObject,
    pub stage: Stage,
    pub queue: Queue,
    /// In a channel: 1 to send, -1 to receive.
    pub direction: i8,
    pub flags: u8,
    pub base_depth: c_int,
    /// In which it waits; owned.
    pub channel: *mut Channel,
    /// What it will call; owned, gone once it has begun.
    pub run: *mut PyObject,
    pub args: *mut PyObject,
    pub kwargs: *mut PyObject,
    /// The context for its greenlet, until there is one; owned.
    pub context: *mut PyObject,
    /// [`Scheduler::begun`]: the neighbours.
    pub begun: [*mut Tasklet; 2],
}

/// A new object, or null with an error.
///
/// # Safety
///
/// `class` inherits from the tasklet type.
pub unsafe fn alloc(class: *mut PyType) -> *mut Tasklet {
    // SAFETY: the caller's promise.
    unsafe { gr_alloc(class).cast() }
}

impl Tasklet {
    /// Its `tp_finalize`, as long as no class has replaced it.
    #[cfg(py315)]
    pub const FINALIZER: unsafe extern "C" fn(*mut Tasklet) = sl_tasklet_finalize;

    /// What it gets when it goes on, a new reference; the place is empty then.
    #[inline]
    pub unsafe fn take_value(this: *mut Tasklet) -> *mut PyObject {
        // SAFETY: a valid tasklet, here and below.
        unsafe {
            let value = mem::replace(&mut (*this).value, ptr::null_mut());
            if value.is_null() {
                return new_none();
            }
            if value == this.cast() {
                incref(value);
            }
            value
        }
    }

    /// Sets that; takes a reference. Answers what was there, for the caller to give up.
    #[inline]
    pub unsafe fn set_value(this: *mut Tasklet, value: *mut PyObject) -> *mut PyObject {
        // SAFETY: whoever gives a tasklet to itself holds it as well.
        unsafe {
            let old = mem::replace(&mut (*this).value, value);
            if value == this.cast() {
                decref(value);
            }
            if old == this.cast() { ptr::null_mut() } else { old }
        }
    }

    /// Whether nobody can continue it: see `at`.
    pub unsafe fn is_lost(this: *mut Tasklet) -> bool {
        // SAFETY: as above.
        unsafe {
            (*this).stage == Stage::Begun
                && (*this).at.is_null()
                && (*(*this).scheduler).current != this
        }
    }

    /// Its thread has ended.
    pub unsafe fn is_orphan(this: *mut Tasklet) -> bool {
        // SAFETY: as above.
        unsafe { (*(*this).scheduler).record.is_null() }
    }

    /// Takes it out of the queue that it is in. Answers the references that this was, for the caller to give up or use: the
    /// tasklet and the channel, each null if there was none.
    pub unsafe fn leave_queue(this: *mut Tasklet) -> (*mut Tasklet, *mut Channel) {
        // SAFETY: as above.
        unsafe {
            match (*this).queue {
                Queue::None => (ptr::null_mut(), ptr::null_mut()),
                Queue::Ring => (scheduler::unlink((*this).scheduler, this), ptr::null_mut()),
                Queue::Channel => {
                    let channel = (*this).channel;
                    (channel::unlink(channel, this), channel)
                }
            }
        }
    }

    /// Notes that it has begun.
    pub unsafe fn list(this: *mut Tasklet) {
        // SAFETY: the list is valid.
        unsafe {
            let first = &raw mut (*(*this).scheduler).begun;
            (*this).begun = [ptr::null_mut(), *first];
            if !(*first).is_null() {
                (**first).begun[0] = this;
            }
            *first = this;
        }
    }

    /// Undoes that.
    pub unsafe fn unlist(this: *mut Tasklet) {
        // SAFETY: the list is valid; main is in none.
        unsafe {
            let [prev, next] = mem::replace(&mut (*this).begun, [ptr::null_mut(); 2]);
            if !next.is_null() {
                (*next).begun[0] = prev;
            }
            if !prev.is_null() {
                (*prev).begun[1] = next;
            } else if (*(*this).scheduler).begun == this {
                (*(*this).scheduler).begun = next;
            }
        }
    }

    /// Takes it apart from its greenlet, which nobody will ask for it any more: it is idle, and the greenlet, for the caller
    /// to give up, goes its own way.
    pub unsafe fn detach(this: *mut Tasklet) -> [*mut PyObject; 2] {
        // SAFETY: as above.
        unsafe {
            if (*this).stage == Stage::Begun {
                Tasklet::unlist(this);
            }
            (*this).stage = Stage::Idle;
            let root = mem::replace(&mut (*this).greenlet, ptr::null_mut());
            let at = mem::replace(&mut (*this).at, ptr::null_mut());
            if !root.is_null() && !(*root).imp.is_null() {
                (*(*root).imp).tasklet = ptr::null_mut();
            }
            [root.cast(), if at == root { ptr::null_mut() } else { at.cast() }]
        }
    }

    /// Makes it ready: `args`, a tuple, and `kwargs`, a dictionary or null, are taken. False with an error.
    pub unsafe fn prepare(this: *mut Tasklet, args: *mut PyObject, kwargs: *mut PyObject) -> bool {
        // SAFETY: as above. Making an object may run anything, so everything is looked at afterwards.
        unsafe {
            let mut greenlet = ptr::null_mut();
            let why = 'refused: {
                if (*this).value.is_null() || (*this).value == none() {
                    break 'refused c"the tasklet was not bound to a function";
                }
                if Tasklet::is_orphan(this) {
                    break 'refused c"tasklet has no thread";
                }
                if !context::ensure(this) {
                    break 'refused c"";
                }
                greenlet = object::new_for(this);
                if greenlet.is_null() {
                    break 'refused c"";
                }
                if (*this).stage != Stage::Idle {
                    break 'refused c"tasklet is alive";
                }
                if (*this).value.is_null() || Tasklet::is_orphan(this) {
                    break 'refused c"the tasklet was changed meanwhile";
                }
                (*this).run = Tasklet::take_value(this);
                (*this).args = args;
                (*this).kwargs = kwargs;
                let place = gr_state_context(object::Imp::state((*greenlet).imp));
                *place = mem::replace(&mut (*this).context, ptr::null_mut());
                (*this).greenlet = greenlet;
                (*this).stage = Stage::Ready;
                return true;
            };
            if !why.is_empty() {
                raise::<()>(PyExc_RuntimeError, why);
            }
            if !greenlet.is_null() && !(*greenlet).imp.is_null() {
                (*(*greenlet).imp).tasklet = ptr::null_mut();
            }
            give_up([greenlet.cast(), args, kwargs]);
            false
        }
    }

    /// Forgets what it was to call, and that it was ready; what is held for that is given up. May run any code.
    pub unsafe fn unbind(this: *mut Tasklet) {
        // SAFETY: as above; a tasklet that is ready has a greenlet that has not begun.
        unsafe {
            let take = |place: *mut *mut PyObject| mem::replace(&mut *place, ptr::null_mut());
            let call = [
                take(&raw mut (*this).run),
                take(&raw mut (*this).args),
                take(&raw mut (*this).kwargs),
                take(&raw mut (*this).error),
                Tasklet::set_value(this, ptr::null_mut()),
            ];
            let greenlets = Tasklet::detach(this);
            give_up(call);
            give_up(greenlets);
        }
    }
}

/// `tp_new`: the arguments are `__init__`'s.
#[unsafe(no_mangle)]
unsafe extern "C" fn sl_tasklet_new(
    class: *mut PyType,
    _args: *mut PyObject,
    _kwargs: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by the interpreter. The scheduler is the thread's for good, and nothing runs from the allocation on: nobody
    // finds a tasklet without one.
    unsafe {
        let s = scheduler::here();
        if s.is_null() {
            return ptr::null_mut();
        }
        let this = alloc(class);
        if this.is_null() {
            return ptr::null_mut();
        }
        (*this).scheduler = s;
        (*s).refs += 1;
        (*this).flags = (*(*s).current).flags & ATOMIC;
        this.cast()
    }
}

/// `tp_traverse`. What a queue holds is visited by the queue, if that can be garbage.
#[unsafe(no_mangle)]
unsafe extern "C" fn sl_tasklet_traverse(
    this: *mut Tasklet,
    visit: Visit,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: called by the collector: nothing runs meanwhile.
    unsafe {
        let t = &*this;
        let held = [
            class(this.cast()).cast(),
            t.greenlet.cast(),
            if t.at == t.greenlet { ptr::null_mut() } else { t.at.cast() },
            if t.value == this.cast() { ptr::null_mut() } else { t.value },
            t.error,
            t.channel.cast(),
            t.run,
            t.args,
            t.kwargs,
            t.context,
        ];
        for object in held {
            if !object.is_null() {
                let result = visit(object, arg);
                if result != 0 {
                    return result;
                }
            }
        }
        0
    }
}

/// `tp_clear`: the collector found it unreachable, and it has had its last words.
#[unsafe(no_mangle)]
unsafe extern "C" fn sl_tasklet_clear(this: *mut Tasklet) -> c_int {
    // SAFETY: called by the collector, which holds it.
    unsafe {
        if (*this).scheduler.is_null() || (*(*this).scheduler).main == this {
            return 0;
        }
        let (queued, channel) = Tasklet::leave_queue(this);
        let context = mem::replace(&mut (*this).context, ptr::null_mut());
        Tasklet::unbind(this);
        give_up([queued.cast(), channel.cast(), context]);
        0
    }
}

/// `tp_finalize`: nobody, or only garbage, has a reference. What has begun must end, so TaskletExit is raised in it: at once,
/// or, where one cannot switch now, when its turn comes.
#[unsafe(no_mangle)]
unsafe extern "C" fn sl_tasklet_finalize(this: *mut Tasklet) {
    // SAFETY: called by the interpreter, which holds it.
    unsafe {
        let s = (*this).scheduler;
        if s.is_null() || (*this).stage != Stage::Begun || gr_finalizing() != 0 {
            return;
        }
        if (*s).record.is_null() || (*s).main == this || Tasklet::is_lost(this) {
            return;
        }
        throw::last_words(s, this);
    }
}

/// `tp_dealloc`.
#[unsafe(no_mangle)]
unsafe extern "C" fn sl_tasklet_dealloc(this: *mut Tasklet) {
    // SAFETY: called by the interpreter: nobody has a reference any more, so it is in no queue.
    unsafe {
        if sl_finalize_from_dealloc(this.cast()) < 0 {
            return;
        }
        PyObject_GC_UnTrack(this.cast());
        if !(*this).weakrefs.is_null() {
            PyObject_ClearWeakRefs(this.cast());
        }
        if !(*this).scheduler.is_null() {
            // What still has begun is ended as any greenlet is that nobody can switch to.
            Tasklet::unbind(this);
            let context = mem::replace(&mut (*this).context, ptr::null_mut());
            give_up([context]);
            scheduler::unref((*this).scheduler);
        }
        sl_free(this.cast());
    }
}
