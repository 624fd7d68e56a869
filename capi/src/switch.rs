//! Leaving and arriving: `greenlet_switch_to`, `greenlet_finish`, and what happens when a body returns.

use crate::object::{Greenlet, State};
use crate::status::{Status, answer};
use crate::thread::{Thread, check, current};
use core::ffi::{c_int, c_void};
use greenlet::raw;

/// `greenlet_switch_to` of the header.
///
/// # Safety
///
/// The pointers are null or valid, and nothing reaches into the frames of who is suspended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greenlet_switch_to(
    thread: *mut Thread,
    target: *mut Greenlet,
    value: *mut c_void,
    result: *mut *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise is the engine's contract; all that it is given is checked first.
    answer(unsafe {
        check_target(thread, target).and_then(|()| {
            if target == current(thread) {
                return give(result, value);
            }
            let engine = &raw mut (*thread).raw;
            (*thread).left = current(thread);
            // By a call, not inlined: a host's code may change the control words, and they stay with whoever has set them.
            let arrived = match (*target).state {
                State::Finished => return Err(Status::NotActive),
                State::Begun => raw::Thread::switch(engine, &raw mut (*target).raw, value),
                State::New => {
                    (*target).state = State::Begun;
                    (*thread).value = value;
                    let (record, stack) = (&raw mut (*target).raw, stack_of(target));
                    raw::Thread::start_called(engine, record, stack, run, target.cast())
                        .inspect_err(|_| (*target).state = State::New)
                }
            };
            let value = arrived?;
            call_hook(thread);
            let stray = core::mem::take(&mut (*thread).stray);
            give(result, value)?;
            if stray { Err(Status::Stray) } else { Ok(()) }
        })
    })
}

/// `greenlet_finish` of the header.
///
/// # Safety
///
/// As for `greenlet_switch_to`; and nobody relies on what the running frames own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greenlet_finish(
    thread: *mut Thread,
    target: *mut Greenlet,
    value: *mut c_void,
) -> c_int {
    // SAFETY: as there.
    answer(unsafe {
        check_target(thread, target).and_then(|()| Err(finish(thread, target, value)))
    })
}

/// That both are there, and the calling thread's.
unsafe fn check_target(thread: *mut Thread, target: *mut Greenlet) -> Result<(), Status> {
    // SAFETY: null or valid.
    unsafe {
        check(thread)?;
        if target.is_null() {
            return Err(Status::Invalid);
        }
        if (*target).thread == thread { Ok(()) } else { Err(Status::WrongThread) }
    }
}

unsafe fn give(result: *mut *mut c_void, value: *mut c_void) -> Result<(), Status> {
    if !result.is_null() {
        // SAFETY: valid if not null.
        unsafe { result.write(value) };
    }
    Ok(())
}

unsafe fn stack_of(target: *mut Greenlet) -> *mut raw::Stack {
    // SAFETY: a greenlet's thread and stack live longer than it.
    unsafe {
        match (*target).stack.is_null() {
            true => raw::Thread::native(&raw mut (*(*target).thread).raw),
            false => &raw mut (*(*target).stack).raw,
        }
    }
}

/// Ends the running greenlet. Comes back only if that was refused, and says why.
///
/// # Safety
///
/// Both are valid, of the calling thread; the rest as for `greenlet_finish`.
unsafe fn finish(thread: *mut Thread, target: *mut Greenlet, value: *mut c_void) -> Status {
    // SAFETY: the caller's promise.
    unsafe {
        let (engine, me) = (&raw mut (*thread).raw, current(thread));
        if me == &raw mut (*thread).main {
            return Status::InUse;
        }
        if target == me {
            return Status::Running;
        }
        (*thread).left = me;
        (*me).state = State::Finished;
        let record = &raw mut (*target).raw;
        let refused = match (*target).state {
            State::Finished => Status::NotActive,
            State::Begun => raw::Thread::finish(engine, record, value).into(),
            State::New => {
                (*target).state = State::Begun;
                (*thread).value = value;
                let stack = stack_of(target);
                let refused =
                    raw::Thread::finish_and_start(engine, record, stack, run, target.cast());
                (*target).state = State::New;
                refused.into()
            }
        };
        (*me).state = State::Begun;
        refused
    }
}

/// The bottom of every greenlet.
unsafe extern "C" fn run(word: *mut c_void) -> ! {
    let me: *mut Greenlet = word.cast();
    // SAFETY: whoever has begun `me` has passed it, and set the value.
    unsafe {
        let (thread, context) = ((*me).thread, (*me).context);
        let mut value = (*thread).value;
        call_hook(thread);
        let next = match (*me).body {
            Some(body) => body(thread, context, &raw mut value),
            None => core::ptr::null_mut(),
        };
        end(thread, next, value)
    }
}

/// After the body: to whom it said, else to somebody who can be switched to and is told that the value is not his.
unsafe fn end(thread: *mut Thread, next: *mut Greenlet, value: *mut c_void) -> ! {
    // SAFETY: `next` is null or valid, by the header; the others are in the thread's list.
    unsafe {
        let main = &raw mut (*thread).main;
        let next = if next.is_null() { main } else { next };
        if (*next).thread == thread {
            finish(thread, next, value);
        }
        (*thread).stray = true;
        if next != main {
            finish(thread, main, value);
        }
        // No memory: whoever is next above on the same stack, or lowest on another one, needs none.
        let mut other = (*thread).greenlets;
        while !other.is_null() {
            let engine = &raw mut (*thread).raw;
            let ready = (*other).state == State::Begun
                && raw::Thread::needs_no_memory(engine, &raw const (*other).raw);
            if ready {
                finish(thread, other, value);
            }
            other = (*other).next;
        }
    }
    // Not reached: the lowest on the native stack needs no memory, and if that is main it has been asked already. Not
    // `unreachable!`, which would bring the whole machinery of panics into a C library.
    // SAFETY: ends the process.
    unsafe { abort() }
}

unsafe extern "C" {
    fn abort() -> !;
}

/// Tells the host that another one runs than before.
unsafe fn call_hook(thread: *mut Thread) {
    // SAFETY: the hook does as the header says.
    unsafe {
        if let Some(hook) = (*thread).hook {
            hook((*thread).hook_ctx, thread, (*thread).left, current(thread));
        }
    }
}
