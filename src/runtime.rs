//! What a thread has: the engine's state, its main greenlet, its separate stack, the value in transit, the trace hook.

use crate::error::{OutOfMemory, Payload};
use crate::object::{Core, Stage};
use crate::raw;
use crate::stack::{DEFAULT_SIZE, Mapping};
use crate::switch;
use crate::tasklet::Scheduler;
use crate::trace::Hook;
use crate::transit::Transit;
use crate::unwind;
use alloc::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use alloc::vec::Vec;
use core::cell::{Cell, UnsafeCell};
use core::{iter, ptr};

/// Something has to be looked at after a switch: a bit each.
pub(crate) const THROWN: u8 = 1;
pub(crate) const TRACED: u8 = 2;
/// Nobody can reach the one that was left: there is no handle and no child of it, or it has finished.
pub(crate) const ORPHAN: u8 = 4;

/// The state of one thread. It lives as long as the thread or anything that refers to it: main's count is its own.
#[repr(C)]
pub(crate) struct Runtime {
    pub(crate) thread: UnsafeCell<raw::Thread>,
    /// Counted by every handle to it, every child, and the thread.
    pub(crate) main: Core,
    /// The one that has just been left.
    pub(crate) origin: Cell<*const Core>,
    /// `THROWN`, `TRACED`, `ORPHAN`.
    pub(crate) attention: Cell<u8>,
    /// The trace hook is running.
    pub(crate) tracing: Cell<bool>,
    pub(crate) transit: Transit,
    /// What is being thrown into the one that is switched to.
    pub(crate) thrown: Cell<Option<Payload>>,
    /// What is in transit instead is a result that could not be delivered: drops it.
    pub(crate) lost: Cell<Option<unsafe fn(&Transit)>>,
    pub(crate) hook: Cell<Option<Hook>>,
    /// Since the hook was taken out to be called, another was set.
    pub(crate) hook_changed: Cell<bool>,
    /// The list of the greenlets that have begun and not finished, main not among them.
    pub(crate) active: Cell<*const Core>,
    /// Of the tasklets, if there are any.
    pub(crate) scheduler: Scheduler,
    stack: UnsafeCell<raw::Stack>,
    mapping: Cell<Option<Mapping>>,
    pub(crate) stack_size: Cell<usize>,
}

impl Runtime {
    /// A new one; null if there is no memory.
    fn create() -> *const Runtime {
        let layout = Layout::new::<Runtime>();
        // SAFETY: the layout is not empty; the block is written before it is used.
        unsafe {
            let this: *mut Runtime = alloc(layout).cast();
            if this.is_null() {
                return this;
            }
            this.write(Runtime {
                thread: UnsafeCell::new(raw::Thread::new(raw::Memory::GLOBAL)),
                main: Core::main(this),
                origin: Cell::new(ptr::null()),
                attention: Cell::new(0),
                tracing: Cell::new(false),
                transit: Transit::new(),
                thrown: Cell::new(None),
                lost: Cell::new(None),
                hook: Cell::new(None),
                hook_changed: Cell::new(false),
                active: Cell::new(ptr::null()),
                scheduler: Scheduler::new(this),
                stack: UnsafeCell::new(raw::Stack::new()),
                mapping: Cell::new(None),
                stack_size: Cell::new(DEFAULT_SIZE),
            });
            (*this).main.count.set(1); // the thread's
            raw::Thread::attach((*this).thread.get(), (*this).main.raw());
            this
        }
    }

    /// Frees the thread's state. The thread has ended, and so have all its greenlets.
    ///
    /// # Safety
    ///
    /// Nothing refers to it any more.
    pub(crate) unsafe fn free(this: *const Runtime) {
        // SAFETY: the caller's promise; it was allocated with this layout.
        unsafe {
            (*(*this).stack.get()).forget();
            ptr::drop_in_place(this.cast_mut());
            dealloc(this.cast_mut().cast(), Layout::new::<Runtime>());
        }
    }

    /// The greenlet that runs.
    #[inline(always)]
    pub(crate) fn current(&self) -> *const Core {
        // SAFETY: attached; the engine's records are the first fields of cores.
        unsafe { raw::Thread::current(self.thread.get()).cast_const().cast() }
    }

    /// Notes that `current` is about to be left.
    #[inline(always)]
    pub(crate) fn leaves(&self, current: *const Core) {
        self.origin.set(current);
        // SAFETY: the running greenlet is valid.
        unsafe {
            if (*current).count.get() == 0 && !(*current).has_children() {
                self.attend(ORPHAN, true);
            }
        }
    }

    /// The separate stack, mapped at the first call.
    #[inline(always)]
    pub(crate) fn stack(&self) -> Result<*mut raw::Stack, OutOfMemory> {
        if self.has_stack() { Ok(self.stack.get()) } else { self.new_stack() }
    }

    #[cold]
    #[inline(never)]
    fn new_stack(&self) -> Result<*mut raw::Stack, OutOfMemory> {
        let stack = self.stack.get();
        let mapping = Mapping::new(self.stack_size.get())?;
        // SAFETY: only this thread looks at the stack, and nobody keeps a reference.
        unsafe { mapping.attach(stack, self.thread.get()) };
        self.mapping.set(Some(mapping));
        Ok(stack)
    }

    /// Whether the separate stack has been made.
    pub(crate) fn has_stack(&self) -> bool {
        // SAFETY: as in `stack`.
        unsafe { (*self.stack.get()).bounds().1 != 0 }
    }

    /// Sets or clears a bit of `attention`.
    pub(crate) fn attend(&self, bit: u8, on: bool) {
        let bits = self.attention.get();
        self.attention.set(if on { bits | bit } else { bits & !bit });
    }

    /// The calling thread's state.
    ///
    /// # Panics
    ///
    /// When the thread is ending and its state is gone.
    #[inline(always)]
    pub(crate) fn of_this_thread() -> *const Runtime {
        let this = RUNTIME.get();
        if this.is_null() { Self::of_new_thread() } else { this }
    }

    #[cold]
    #[inline(never)]
    fn of_new_thread() -> *const Runtime {
        Self::try_of_this_thread().unwrap_or_else(|_| handle_alloc_error(Layout::new::<Runtime>()))
    }

    /// The same, where running out of memory for it must not end the process.
    pub(crate) fn try_of_this_thread() -> Result<*const Runtime, OutOfMemory> {
        let made = ENDING.try_with(|ending| {
            if ending.0.get().is_null() {
                let this = Self::create();
                ending.0.set(this);
                RUNTIME.set(this);
            }
            ending.0.get()
        });
        match made.expect("greenlet: the thread is ending, and its greenlets have ended") {
            this if this.is_null() => Err(OutOfMemory),
            this => Ok(this),
        }
    }
}

std::thread_local! {
    static RUNTIME: Cell<*const Runtime> = const { Cell::new(ptr::null()) };
    static ENDING: Ending = const { Ending(Cell::new(ptr::null())) };
}

/// Kills one that is still suspended as its thread ends, and gives a count of it back.
///
/// # Safety
///
/// The count is the caller's, and both are valid.
unsafe fn end(this: *const Runtime, core: *const Core) {
    // A panic must not leave the destructor of a thread-local variable: that ends the process.
    // SAFETY: the caller's promise.
    unwind::quietly(|| unsafe {
        if (*core).stage.get() == Stage::Active && core != (*this).current() {
            switch::kill_dropped(core);
        }
    });
    // SAFETY: the same.
    unwind::quietly(|| unsafe { Core::release(core) });
}

/// Its destructor runs when the thread ends.
struct Ending(Cell<*const Runtime>);

impl Drop for Ending {
    /// Kills what is still suspended, so that its destructors run, and lets go of the state. A greenlet that refuses to die,
    /// or is held by a handle that nobody drops, is left as it is.
    fn drop(&mut self) {
        let this = self.0.get();
        if this.is_null() {
            return;
        }
        // SAFETY: the state is held by the count that is given back at the end; what is in the list is valid.
        unsafe {
            (*this).scheduler.end();
            let first = |this: *const Runtime| (*this).active.get();
            let mut cores = Vec::new();
            let there = |core: *const Core| (!core.is_null()).then_some(core);
            let many = iter::successors(there(first(this)), |core| there((**core).next.get()));
            let count = many.clone().count();
            if cores.try_reserve_exact(count).is_ok() {
                cores.extend(many.inspect(|core| (**core).hold()));
                cores.into_iter().for_each(|core| end(this, core));
            } else {
                // Without memory for a list one after the other, until one refuses. The others are left as they are.
                for _ in 0..count {
                    let core = first(this);
                    if core.is_null() {
                        break;
                    }
                    (*core).hold();
                    end(this, core);
                    if first(this) == core {
                        break;
                    }
                }
            }
            // The hook may hold main.
            (*this).attend(TRACED, false);
            unwind::quietly(|| drop((*this).hook.take()));
            RUNTIME.set(ptr::null());
            if (*this).current() == &raw const (*this).main {
                unwind::quietly(|| Core::release(&(*this).main)); // it may have a payload that it has not found
            }
        }
    }
}
