//! A thread's state and its stacks: `greenlet_thread_*`, `greenlet_stack_*` and `greenlet_set_hook` of the header.

use crate::memory::{self, CMemory};
use crate::object::{Greenlet, State};
use crate::status::{Status, answer};
use core::cell::Cell;
use core::ffi::{c_int, c_void};
use core::ptr;
use greenlet::raw::{self, Memory};

/// `greenlet_hook` of the header.
pub type Hook =
    Option<unsafe extern "C" fn(*mut c_void, *mut Thread, *mut Greenlet, *mut Greenlet)>;

/// `greenlet_thread` of the header.
pub struct Thread {
    pub(crate) raw: raw::Thread,
    pub(crate) main: Greenlet,
    /// The operating system's thread that made it.
    owner: usize,
    pub(crate) memory: Memory,
    /// All that `greenlet_new` has made and that are not freed, in a list.
    pub(crate) greenlets: *mut Greenlet,
    stacks: usize,
    /// Who ran before the one that arrives.
    pub(crate) left: *mut Greenlet,
    /// On its way to a greenlet that begins.
    pub(crate) value: *mut c_void,
    /// The one that arrives is not the one that was meant.
    pub(crate) stray: bool,
    pub(crate) hook: Hook,
    pub(crate) hook_ctx: *mut c_void,
}

/// `greenlet_stack` of the header.
pub struct Stack {
    pub(crate) raw: raw::Stack,
    pub(crate) thread: *mut Thread,
    /// How many greenlets were made for it and are not freed.
    pub(crate) greenlets: usize,
}

/// The least that is worth having: what the switch pushes takes hundreds of bytes.
const LEAST_STACK: usize = 1024;

std::thread_local! {
    // Its address is the mark of a thread.
    static MARK: Cell<u8> = const { Cell::new(0) };
}

fn mark() -> usize {
    MARK.with(|mark| ptr::from_ref(mark).addr())
}

/// That `thread` is not null and is the calling thread's.
///
/// # Safety
///
/// It is null or valid.
pub(crate) unsafe fn check(thread: *const Thread) -> Result<(), Status> {
    if thread.is_null() {
        return Err(Status::Invalid);
    }
    // SAFETY: valid; and nobody writes `owner` once it is made.
    if unsafe { (*thread).owner } != mark() {
        return Err(Status::WrongThread);
    }
    Ok(())
}

/// `greenlet_thread_new` of the header.
///
/// # Safety
///
/// The pointers are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greenlet_thread_new(
    memory: *const CMemory,
    result: *mut *mut Thread,
) -> c_int {
    // SAFETY: as the header says.
    answer(unsafe { new(memory, result) })
}

unsafe fn new(memory: *const CMemory, result: *mut *mut Thread) -> Result<(), Status> {
    // SAFETY: both are null or valid; the new object is written before it is used.
    unsafe {
        let memory = match memory.as_ref() {
            None => memory::C_LIBRARY,
            Some(&CMemory { resize: Some(resize), ctx }) => Memory { resize, ctx },
            Some(_) => return Err(Status::Invalid),
        };
        if result.is_null() {
            return Err(Status::Invalid);
        }
        let this: *mut Thread = memory::allocate(&memory);
        if this.is_null() {
            return Err(Status::NoMemory);
        }
        this.write(Thread {
            raw: raw::Thread::new(memory),
            main: Greenlet::new(this, ptr::null_mut(), None, ptr::null_mut()),
            owner: mark(),
            memory,
            greenlets: ptr::null_mut(),
            stacks: 0,
            left: ptr::null_mut(),
            value: ptr::null_mut(),
            stray: false,
            hook: None,
            hook_ctx: ptr::null_mut(),
        });
        (*this).main.state = State::Begun;
        raw::Thread::attach(&raw mut (*this).raw, &raw mut (*this).main.raw);
        result.write(this);
        Ok(())
    }
}

/// `greenlet_thread_free` of the header.
///
/// # Safety
///
/// `this` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greenlet_thread_free(this: *mut Thread) -> c_int {
    // SAFETY: null or valid; nothing refers to it any more when it is freed.
    answer(unsafe {
        check(this).and_then(|()| {
            let main = current(this) == &raw mut (*this).main;
            if !main || !(*this).greenlets.is_null() || (*this).stacks != 0 {
                return Err(Status::InUse);
            }
            let memory = (*this).memory;
            // Main is suspended never again, and what was saved of it is back: only its buffer is left.
            raw::Thread::detach(&raw mut (*this).raw);
            memory::release(&memory, this);
            Ok(())
        })
    })
}

/// Who runs on a thread.
///
/// # Safety
///
/// `this` is valid.
pub(crate) unsafe fn current(this: *const Thread) -> *mut Greenlet {
    // SAFETY: the engine only knows records that lie at the beginning of a `Greenlet`.
    unsafe { raw::Thread::current(&raw const (*this).raw as *mut raw::Thread).cast() }
}

/// `greenlet_main` of the header.
///
/// # Safety
///
/// `this` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greenlet_main(this: *const Thread) -> *mut Greenlet {
    if this.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: valid.
    unsafe { &raw const (*this).main as *mut Greenlet }
}

/// `greenlet_current` of the header.
///
/// # Safety
///
/// `this` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greenlet_current(this: *const Thread) -> *mut Greenlet {
    // SAFETY: valid if not null.
    if this.is_null() { ptr::null_mut() } else { unsafe { current(this) } }
}

/// `greenlet_set_hook` of the header.
///
/// # Safety
///
/// `this` is null or valid, and the hook does as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greenlet_set_hook(
    this: *mut Thread,
    hook: Hook,
    ctx: *mut c_void,
) -> c_int {
    // SAFETY: valid once it is checked.
    answer(unsafe {
        check(this).map(|()| {
            (*this).hook = hook;
            (*this).hook_ctx = ctx;
        })
    })
}

/// `greenlet_stack_new` of the header.
///
/// # Safety
///
/// The pointers are null or valid, and the memory as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greenlet_stack_new(
    thread: *mut Thread,
    memory: *mut u8,
    size: usize,
    result: *mut *mut Stack,
) -> c_int {
    // SAFETY: as the header says; the new object is written before it is used.
    answer(unsafe {
        check(thread).and_then(|()| {
            if memory.is_null() || size < LEAST_STACK || result.is_null() {
                return Err(Status::Invalid);
            }
            let this: *mut Stack = memory::allocate(&(*thread).memory);
            if this.is_null() {
                return Err(Status::NoMemory);
            }
            this.write(Stack { raw: raw::Stack::new(), thread, greenlets: 0 });
            (*this).raw.attach(&raw mut (*thread).raw, memory, size);
            (*thread).stacks += 1;
            result.write(this);
            Ok(())
        })
    })
}

/// `greenlet_stack_free` of the header.
///
/// # Safety
///
/// `this` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greenlet_stack_free(this: *mut Stack) -> c_int {
    if this.is_null() {
        return Status::Ok as c_int;
    }
    // SAFETY: valid; no greenlet refers to it when it is freed.
    answer(unsafe {
        let thread = (*this).thread;
        check(thread).and_then(|()| {
            if (*this).greenlets != 0 {
                return Err(Status::InUse);
            }
            (*thread).stacks -= 1;
            memory::release(&(*thread).memory, this);
            Ok(())
        })
    })
}
