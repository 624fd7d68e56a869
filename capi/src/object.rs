//! A greenlet's object: how it is made, freed, and what it says of itself. `greenlet_new`, `greenlet_free` and the questions of the
//! header; never who runs next.

use crate::memory;
use crate::status::{Status, answer};
use crate::thread::{Stack, Thread, check, current};
use core::ffi::{c_int, c_void};
use core::ptr;
use greenlet::raw;

/// `greenlet_body` of the header.
pub type Body = unsafe extern "C" fn(*mut Thread, *mut c_void, *mut *mut c_void) -> *mut Greenlet;

/// How far a greenlet has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    New,
    Begun,
    Finished,
}

/// `greenlet` of the header. The engine's record comes first, so that a pointer to one is a pointer to the other.
#[repr(C)]
pub struct Greenlet {
    pub(crate) raw: raw::Greenlet,
    pub(crate) thread: *mut Thread,
    /// Null: the native one.
    pub(crate) stack: *mut Stack,
    /// Main has none.
    pub(crate) body: Option<Body>,
    pub(crate) context: *mut c_void,
    pub(crate) state: State,
    /// The thread's list of them.
    pub(crate) next: *mut Greenlet,
    previous: *mut Greenlet,
}

impl Greenlet {
    pub(crate) fn new(
        thread: *mut Thread,
        stack: *mut Stack,
        body: Option<Body>,
        context: *mut c_void,
    ) -> Greenlet {
        Greenlet {
            raw: raw::Greenlet::new(),
            thread,
            stack,
            body,
            context,
            state: State::New,
            next: ptr::null_mut(),
            previous: ptr::null_mut(),
        }
    }
}

/// `greenlet_new` of the header.
///
/// # Safety
///
/// The pointers are null or valid, and the body does as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greenlet_new(
    thread: *mut Thread,
    stack: *mut Stack,
    body: Option<Body>,
    context: *mut c_void,
    result: *mut *mut Greenlet,
) -> c_int {
    // SAFETY: valid where not null; the new object is written before it is used.
    answer(unsafe {
        check(thread).and_then(|()| {
            if body.is_none() || result.is_null() {
                return Err(Status::Invalid);
            }
            if !stack.is_null() && (*stack).thread != thread {
                return Err(Status::WrongThread);
            }
            let this: *mut Greenlet = memory::allocate(&(*thread).memory);
            if this.is_null() {
                return Err(Status::NoMemory);
            }
            this.write(Greenlet::new(thread, stack, body, context));
            let first = (*thread).greenlets;
            (*this).next = first;
            if !first.is_null() {
                (*first).previous = this;
            }
            (*thread).greenlets = this;
            if !stack.is_null() {
                (*stack).greenlets += 1;
            }
            result.write(this);
            Ok(())
        })
    })
}

/// `greenlet_free` of the header.
///
/// # Safety
///
/// `this` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greenlet_free(this: *mut Greenlet) -> c_int {
    if this.is_null() {
        return Status::Ok as c_int;
    }
    // SAFETY: valid; nothing refers to it when it is freed.
    answer(unsafe {
        let thread = (*this).thread;
        check(thread).and_then(|()| {
            if this == &raw mut (*thread).main {
                return Err(Status::InUse);
            }
            raw::Thread::release(&raw mut (*thread).raw, &raw mut (*this).raw)?;
            let (previous, next) = ((*this).previous, (*this).next);
            match previous.is_null() {
                true => (*thread).greenlets = next,
                false => (*previous).next = next,
            }
            if !next.is_null() {
                (*next).previous = previous;
            }
            if !(*this).stack.is_null() {
                (*(*this).stack).greenlets -= 1;
            }
            memory::release(&(*thread).memory, this);
            Ok(())
        })
    })
}

/// Whether it is suspended: its stretch is known, and does not change until the next switch.
pub(crate) unsafe fn is_suspended(this: *const Greenlet) -> bool {
    // SAFETY: the caller's pointer is null or valid, and then so is its thread.
    unsafe {
        !this.is_null() && (*this).state == State::Begun && !ptr::eq(this, current((*this).thread))
    }
}

/// `greenlet_state` of the header.
///
/// # Safety
///
/// `this` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greenlet_state(this: *const Greenlet) -> c_int {
    // SAFETY: valid if not null.
    unsafe {
        match this.as_ref().map(|this| this.state) {
            Some(State::New) => 0,
            Some(State::Begun) if !is_suspended(this) => 1,
            Some(State::Begun) => 2,
            Some(State::Finished) | None => 3,
        }
    }
}

/// `greenlet_is_started` of the header.
///
/// # Safety
///
/// `this` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greenlet_is_started(this: *const Greenlet) -> c_int {
    // SAFETY: valid if not null.
    unsafe { c_int::from(this.as_ref().is_some_and(|this| this.state != State::New)) }
}

/// `greenlet_context` of the header.
///
/// # Safety
///
/// `this` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greenlet_context(this: *const Greenlet) -> *mut c_void {
    // SAFETY: valid if not null.
    unsafe { this.as_ref().map_or(ptr::null_mut(), |this| this.context) }
}

/// `greenlet_thread_of` of the header.
///
/// # Safety
///
/// `this` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greenlet_thread_of(this: *const Greenlet) -> *mut Thread {
    // SAFETY: valid if not null.
    unsafe { this.as_ref().map_or(ptr::null_mut(), |this| this.thread) }
}
