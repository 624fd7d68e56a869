//! The per-thread state of the engine, and the operations on it: start, switch, finish, release.
//!
//! Everything with a branch that a switch does is here; the assembly only saves registers and moves
//! the stack pointer. Nothing here may touch thread-local storage or unwind.

use super::stack::nowhere;
use super::{Greenlet, Memory, STACK_ALIGN, Stack, arch, bounds, tools};
use core::ffi::c_void;
use core::marker::PhantomPinned;
use core::{fmt, hint, ptr};

/// What a greenlet runs: called once with the word that its start was given. It ends by
/// [`Thread::finish`], never by returning, and it may not unwind.
pub type Body = unsafe extern "C" fn(*mut c_void) -> !;

/// Why the engine refused. Whatever it says, nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// There was no memory for the bytes that had to be saved.
    OutOfMemory,
    /// The greenlet has not begun, or it has finished.
    NotActive,
    /// The greenlet has begun already.
    AlreadyStarted,
    /// The greenlet, or the stack, belongs to another thread.
    WrongThread,
    /// It is the running greenlet, which this operation does not take.
    Running,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::OutOfMemory => "out of memory while saving a greenlet's stack",
            Error::NotActive => "the greenlet has not begun or has finished",
            Error::AlreadyStarted => "the greenlet has begun already",
            Error::WrongThread => "the greenlet or stack belongs to another thread",
            Error::Running => "the greenlet is the one that runs",
        })
    }
}

impl core::error::Error for Error {}

/// The state of one thread. It must not lie on a stack that is sliced, unless above every
/// greenlet's stop: in a static, on the heap, or in a frame of main's below which all greenlets begin.
#[repr(C)]
#[derive(Debug)]
pub struct Thread {
    current: *mut Greenlet,
    /// Who is switched to: set by the operation, read by `save`.
    target: *mut Greenlet,
    /// The word on its way to the target.
    word: *mut c_void,
    /// What the target begins with, when it is being started.
    body: Option<Body>,
    native: Stack,
    memory: Memory,
    _pinned: PhantomPinned,
}

/// What becomes of the one that is left, and how the target goes on: fixed per operation, so that no switch
/// asks again.
trait Transfer {
    /// The one that is left never runs again.
    const FINISH: bool;
    /// The target has not begun.
    const START: bool;
}
struct Switch;
struct Start;
struct Finish;
struct FinishAndStart;
impl Transfer for Switch {
    const FINISH: bool = false;
    const START: bool = false;
}
impl Transfer for Start {
    const FINISH: bool = false;
    const START: bool = true;
}
impl Transfer for Finish {
    const FINISH: bool = true;
    const START: bool = false;
}
impl Transfer for FinishAndStart {
    const FINISH: bool = true;
    const START: bool = true;
}

impl Thread {
    /// A thread's state, not attached yet.
    pub const fn new(memory: Memory) -> Thread {
        Thread {
            current: ptr::null_mut(),
            target: ptr::null_mut(),
            word: ptr::null_mut(),
            body: None,
            native: Stack::new(),
            memory,
            _pinned: PhantomPinned,
        }
    }

    /// Makes `main` the running greenlet: the flow of control that called this, on the native stack.
    ///
    /// # Safety
    ///
    /// Both are valid and stay where they are; `this` has no other greenlet; the calling thread is the
    /// one that will pass `this` to every other operation.
    pub unsafe fn attach(this: *mut Thread, main: *mut Greenlet) {
        // SAFETY: both are valid, and nobody else looks at them yet.
        unsafe {
            (*this).native.thread = this;
            (*this).native.head = main;
            (*this).native.fiber.learn();
            (*main).stack = &raw mut (*this).native;
            (*main).stop = usize::MAX & !(STACK_ALIGN - 1);
            (*this).current = main;
        }
    }

    /// Undoes [`Thread::attach`]: the running greenlet's slice buffer is freed, and its record is as new.
    ///
    /// # Safety
    ///
    /// `this` is attached, main runs, and no other greenlet of this thread is active.
    pub unsafe fn detach(this: *mut Thread) {
        // SAFETY: the running one is valid, and nothing of it is saved.
        unsafe {
            (*(*this).current).reset(&(*this).memory);
            (*this).native.head = ptr::null_mut();
            (*this).current = ptr::null_mut();
        }
    }

    /// The greenlet that runs.
    ///
    /// # Safety
    ///
    /// `this` is valid.
    #[inline(always)]
    pub unsafe fn current(this: *mut Thread) -> *mut Greenlet {
        // SAFETY: `this` is valid.
        unsafe { (*this).current }
    }

    /// The thread's native stack.
    ///
    /// # Safety
    ///
    /// `this` is valid.
    #[inline(always)]
    pub unsafe fn native(this: *mut Thread) -> *mut Stack {
        // SAFETY: `this` is valid.
        unsafe { &raw mut (*this).native }
    }

    /// The thread that an active greenlet belongs to; null for one that is not active.
    ///
    /// # Safety
    ///
    /// `greenlet` is valid.
    #[inline(always)]
    pub unsafe fn of(greenlet: *const Greenlet) -> *mut Thread {
        // SAFETY: the stack of an active greenlet is valid as long as the greenlet is active; that of the others always is.
        unsafe { (*(*greenlet).stack).thread }
    }

    /// Begins `target` on `stack`: right below the running frames if that is the stack that runs,
    /// else at its top, or, on the native stack, below the lowest frames there. (At the top again when less than a quarter
    /// of a separate stack is left: greenlets that begin each other do not reach ever deeper.) `body` is called with `word`. Returns when somebody switches back, with
    /// the word that was passed then.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyStarted`], [`Error::WrongThread`], [`Error::OutOfMemory`].
    ///
    /// # Safety
    ///
    /// `this` is the calling thread's, attached; `target` and `stack` are valid and stay where they
    /// are until the greenlet has finished or was released. Nothing reaches into the
    /// frames of a greenlet while it is suspended, nor into those of the running one while another runs.
    pub unsafe fn start(
        this: *mut Thread,
        target: *mut Greenlet,
        stack: *mut Stack,
        body: Body,
        word: *mut c_void,
    ) -> Result<*mut c_void, Error> {
        // SAFETY: the caller's promise; `prepare_start` has checked the rest.
        unsafe {
            Self::prepare_start(this, target, stack, body, word)?;
            let done = arch::jump(save::<Start>, begin, this.cast());
            Self::arrived_from_start(this, target, done)
        }
    }

    /// The same as [`Thread::start`], by a call of the arch file's function, which keeps the control words (rounding
    /// mode, exception masks) of the running one as the ABI says: for hosts whose code is not all Rust.
    ///
    /// # Errors
    ///
    /// As for [`Thread::start`].
    ///
    /// # Safety
    ///
    /// As for [`Thread::start`].
    pub unsafe fn start_called(
        this: *mut Thread,
        target: *mut Greenlet,
        stack: *mut Stack,
        body: Body,
        word: *mut c_void,
    ) -> Result<*mut c_void, Error> {
        // SAFETY: the caller's promise; `prepare_start` has checked the rest.
        unsafe {
            Self::prepare_start(this, target, stack, body, word)?;
            let done = arch::call(save::<Start>, begin, this.cast());
            Self::arrived_from_start(this, target, done)
        }
    }

    /// Suspends the running greenlet and continues `target`, whose own call returns `word`. Returns
    /// when somebody switches back. A switch to the running greenlet returns `word` at once.
    ///
    /// # Errors
    ///
    /// [`Error::NotActive`], [`Error::WrongThread`], [`Error::OutOfMemory`].
    ///
    /// # Safety
    ///
    /// As for [`Thread::start`].
    #[inline]
    pub unsafe fn switch(
        this: *mut Thread,
        target: *mut Greenlet,
        word: *mut c_void,
    ) -> Result<*mut c_void, Error> {
        // SAFETY: the caller's promise; what is not in it is checked first.
        unsafe {
            if (*(*target).stack).thread != this {
                return Err(Self::refused(target));
            }
            if target == (*this).current {
                return Ok(word);
            }
            Self::switch_unchecked(this, target, word)
        }
    }

    /// The same as [`Thread::switch`], without its checks: for hosts that have made them.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    ///
    /// # Safety
    ///
    /// As for [`Thread::start`]; and `target` is active, of this thread, and not the running one.
    #[inline(always)]
    pub unsafe fn switch_unchecked(
        this: *mut Thread,
        target: *mut Greenlet,
        word: *mut c_void,
    ) -> Result<*mut c_void, Error> {
        // SAFETY: the caller's promise.
        unsafe {
            (*this).word = word;
            (*this).target = target;
            let done = arch::call(save::<Switch>, restore, this.cast());
            Self::arrived(this, done)
        }
    }

    /// The same as [`Thread::switch`], inlined into its caller down to the jump into the target where the
    /// arch file has the entry for that ([`HAS_JUMP_ENTRY`](super::HAS_JUMP_ENTRY)). It
    /// saves only the registers that are live.
    ///
    /// # Errors
    ///
    /// As for [`Thread::switch`].
    ///
    /// # Safety
    ///
    /// As for [`Thread::start`].
    #[inline(always)]
    pub unsafe fn switch_inline(
        this: *mut Thread,
        target: *mut Greenlet,
        word: *mut c_void,
    ) -> Result<*mut c_void, Error> {
        // SAFETY: the caller's promise; what is not in it is checked first.
        unsafe {
            if (*(*target).stack).thread != this {
                return Err(Self::refused(target));
            }
            (*this).word = word;
            let current = (*this).current;
            // Of the running one nothing is saved, and nobody is below it, so it is found there, too.
            if Self::is_in_place(target) {
                if target == current {
                    return Ok(word);
                }
                if Self::switch_in_place(this, current, target) {
                    return Ok((*this).word);
                }
            }
            match Self::switch_moving(this, target) {
                true => Ok((*this).word),
                false => Err(Error::OutOfMemory),
            }
        }
    }

    /// Whether nobody took any of its bytes, and below them there is nobody. False of one that is not active.
    #[inline(always)]
    unsafe fn is_in_place(greenlet: *mut Greenlet) -> bool {
        // SAFETY: it is valid, and its stack is.
        unsafe { (*(*greenlet).stack).head == greenlet && (*greenlet).saved == 0 }
    }

    /// Switches from `current` to `target` if there is nothing to copy, without a word. Else, and if `target` is not active, and
    /// where the arch file has no entry for it, false, and nothing done.
    ///
    /// # Safety
    ///
    /// As for [`Thread::start`]; and `target` is of this thread, or not active, and not `current`, which is the running one.
    #[inline(always)]
    pub(crate) unsafe fn switch_in_place(
        this: *mut Thread,
        current: *mut Greenlet,
        target: *mut Greenlet,
    ) -> bool {
        #[cfg(all(greenlet_jump_entry, not(any(greenlet_asan, greenlet_valgrind))))]
        // SAFETY: the caller's promise; one that is in place is active.
        unsafe {
            let in_place = Self::is_in_place(target);
            if in_place {
                (*this).current = target;
                arch::swap(&raw mut (*current).start, (*target).start);
            }
            in_place
        }
        #[cfg(not(all(greenlet_jump_entry, not(any(greenlet_asan, greenlet_valgrind)))))]
        {
            let _ = (this, current, target);
            false
        }
    }

    /// Switches to `target` without a word. False, and nothing done, if there was no memory.
    ///
    /// # Safety
    ///
    /// As for [`Thread::start`]; and `target` is active, of this thread, and not the running one.
    #[inline(always)]
    pub(crate) unsafe fn switch_moving(this: *mut Thread, target: *mut Greenlet) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            (*this).target = target;
            !arch::jump(save::<Switch>, restore, this.cast()).is_null()
        }
    }

    /// Ends the running greenlet and continues `target`, whose own call returns `word`. Returns only if
    /// that was refused, and then the running greenlet still runs.
    ///
    /// The record of the finished one is then as new: free, or ready to be started again.
    ///
    /// # Errors
    ///
    /// [`Error::Running`], and those of [`Thread::switch`]. A target for which
    /// [`Thread::needs_no_memory`] holds is never refused with [`Error::OutOfMemory`].
    ///
    /// # Safety
    ///
    /// As for [`Thread::start`]; and what the running frames own is lost, so nothing may rely on its being dropped.
    pub unsafe fn finish(this: *mut Thread, target: *mut Greenlet, word: *mut c_void) -> Error {
        // SAFETY: the caller's promise; what is not in it is checked first.
        unsafe {
            if (*(*target).stack).thread != this {
                return Self::refused(target);
            }
            if target == (*this).current {
                return Error::Running;
            }
            (*this).word = word;
            (*this).target = target;
            arch::jump(save::<Finish>, restore, this.cast());
            Error::OutOfMemory
        }
    }

    /// Ends the running greenlet and begins `target`, as [`Thread::start`] does; on the same stack it takes
    /// the place of the finished one. Returns only if that was refused.
    ///
    /// # Errors
    ///
    /// As for [`Thread::start`].
    ///
    /// # Safety
    ///
    /// As for [`Thread::finish`].
    pub unsafe fn finish_and_start(
        this: *mut Thread,
        target: *mut Greenlet,
        stack: *mut Stack,
        body: Body,
        word: *mut c_void,
    ) -> Error {
        // SAFETY: the caller's promise; `prepare_start` has checked the rest.
        unsafe {
            if let Err(error) = Self::prepare_start(this, target, stack, body, word) {
                return error;
            }
            arch::jump(save::<FinishAndStart>, begin, this.cast());
            (*target).stack = nowhere();
            Error::OutOfMemory
        }
    }

    /// Forgets a suspended greenlet without running it: its buffer is freed, its frames are gone,
    /// and what they owned is leaked. The record is then as new. Nothing happens to one that is not active.
    ///
    /// Takes time proportional to the number of greenlets with bytes in place below it on its stack.
    ///
    /// # Errors
    ///
    /// [`Error::Running`], [`Error::WrongThread`].
    ///
    /// # Safety
    ///
    /// As for [`Thread::finish`]; `greenlet` is valid, and not main.
    pub unsafe fn release(this: *mut Thread, greenlet: *mut Greenlet) -> Result<(), Error> {
        // SAFETY: all that are linked on a stack are valid; `greenlet` is by the caller's promise.
        unsafe {
            if greenlet == (*this).current {
                return Err(Error::Running);
            }
            let stack = (*greenlet).stack;
            if (*greenlet).is_active() {
                if (*stack).thread != this {
                    return Err(Error::WrongThread);
                }
                let mut link = &raw mut (*stack).head;
                while !(*link).is_null() && *link != greenlet {
                    link = &raw mut (**link).next;
                }
                if !(*link).is_null() {
                    *link = (*greenlet).next;
                    tools::clear((*greenlet).start + (*greenlet).saved, (*greenlet).stop);
                }
            }
            (*greenlet).reset(&(*this).memory);
            Ok(())
        }
    }

    /// Whether a switch from the running greenlet to `target` would move bytes at or below `address` off the stack,
    /// where `address` is in the running greenlet's own frames.
    ///
    /// # Safety
    ///
    /// Both are valid.
    pub unsafe fn would_move(
        this: *mut Thread,
        target: *const Greenlet,
        address: *const c_void,
    ) -> bool {
        // SAFETY: both are valid.
        unsafe {
            let current = (*this).current;
            (*target).stack == (*current).stack
                && !ptr::eq(target, current)
                && address.addr() < (*target).stop
        }
    }

    /// Whether finishing into the suspended `target` would need no memory.
    ///
    /// # Safety
    ///
    /// Both are valid.
    pub unsafe fn needs_no_memory(this: *mut Thread, target: *const Greenlet) -> bool {
        // SAFETY: what is linked on a stack is valid.
        unsafe {
            let stack = (*target).stack;
            if (*stack).thread != this {
                return false;
            }
            let mut other = (*stack).head;
            if other == (*this).current {
                other = (*other).next;
            }
            while !other.is_null() && !ptr::eq(other, target) {
                let end = (*other).stop.min((*target).stop);
                if end.saturating_sub((*other).start) > (*other).capacity.max((*other).saved) {
                    return false;
                }
                if (*other).stop > (*target).stop {
                    break;
                }
                other = (*other).next;
            }
            true
        }
    }

    /// The greenlet just above `greenlet` among those that have bytes in place on its stack, or null.
    /// Finishing into that one from the lowest needs no memory.
    ///
    /// # Safety
    ///
    /// `greenlet` is valid and has bytes in place, as the running one always has.
    pub unsafe fn above(greenlet: *const Greenlet) -> *mut Greenlet {
        // SAFETY: `greenlet` is valid.
        unsafe { (*greenlet).next }
    }

    /// Why nobody can switch to a greenlet whose stack is not this thread's.
    #[cold]
    #[inline(never)]
    unsafe fn refused(target: *const Greenlet) -> Error {
        // SAFETY: it is valid.
        if unsafe { (*target).is_active() } { Error::WrongThread } else { Error::NotActive }
    }

    /// Checks and notes the start of a greenlet.
    unsafe fn prepare_start(
        this: *mut Thread,
        target: *mut Greenlet,
        stack: *mut Stack,
        body: Body,
        word: *mut c_void,
    ) -> Result<(), Error> {
        // SAFETY: all are valid.
        unsafe {
            if (*target).is_active() {
                return Err(Error::AlreadyStarted);
            }
            if (*stack).thread != this {
                return Err(Error::WrongThread);
            }
            (*target).stack = stack;
            (*this).word = word;
            (*this).target = target;
            (*this).body = Some(body);
            Ok(())
        }
    }

    /// After the assembly, in the one that has started `target`. If `save` said no, the target has not begun. (That is looked
    /// at last: else the frame of whoever starts is larger, and with it the slice. `cargo xtask counts` sees it.)
    #[inline(always)]
    unsafe fn arrived_from_start(
        this: *mut Thread,
        target: *mut Greenlet,
        done: *mut c_void,
    ) -> Result<*mut c_void, Error> {
        // SAFETY: `this` is valid; a target that was refused is, since nothing else has run.
        unsafe {
            Self::arrived(this, done).inspect_err(|_| {
                if done.is_null() {
                    (*target).stack = nowhere()
                }
            })
        }
    }

    /// After the assembly: somebody has come back, or `save` said no.
    #[inline(always)]
    unsafe fn arrived(this: *mut Thread, done: *mut c_void) -> Result<*mut c_void, Error> {
        if done.is_null() {
            return Err(Error::OutOfMemory);
        }
        // SAFETY: `this` is valid.
        Ok(unsafe { (*this).word })
    }
}

/// Makes room for the target: on the old stack, called by the assembly with the stack start of the one that is left.
#[cfg_attr(greenlet_asan_instrumented, sanitize(address = "off"))]
unsafe extern "C" fn save<T: Transfer>(ctx: *mut c_void, sp: *mut c_void) -> *mut c_void {
    let this: *mut Thread = ctx.cast();
    let start = sp.expose_provenance();
    // SAFETY: the operation that called the assembly has checked the greenlets, and all that are linked are valid.
    unsafe {
        let current = (*this).current;
        (*current).start = start;
        if !T::FINISH
            && !T::START
            && let Some((left, from, need)) = hand_over::<false>(this, current, start)
        {
            let target = (*this).current;
            (*left).save_in_line(from, need);
            bounds::follow((*current).stack, (*target).stack);
            tools::leave(current, (*target).stack, (*target).start, false);
            return ptr::with_exposed_provenance_mut((*target).start);
        }
        save_slowly::<T>(this, start)
    }
}

/// The rest of `save`: whatever is not the common switch. A function of its own, so that the common one pushes nothing.
#[cold]
#[inline(never)]
#[cfg_attr(greenlet_asan_instrumented, sanitize(address = "off"))]
unsafe extern "C" fn save_slowly<T: Transfer>(this: *mut Thread, start: usize) -> *mut c_void {
    // SAFETY: as in `save`.
    unsafe {
        let (current, target) = ((*this).current, (*this).target);
        let left = (*current).stack;
        if !T::FINISH
            && !T::START
            && let Some((lowest, from, need)) = hand_over::<true>(this, current, start)
        {
            (*lowest).save_up_to(from + need);
            let at = (*target).start;
            bounds::follow(left, (*target).stack);
            tools::leave(current, (*target).stack, at, false);
            return ptr::with_exposed_provenance_mut(at);
        }
        let same = left == (*target).stack;
        if T::START {
            (*target).stop = match (same, T::FINISH) {
                (false, _) => match (*(*target).stack).top {
                    // The native one: below whoever is lowest there. Main always is there.
                    0 => (*(*(*target).stack).head).start,
                    top => top,
                },
                // Greenlets that begin each other would reach ever deeper: when little is left, begin at the top again.
                (true, false) if (*(*target).stack).is_nearly_full(start) => (*(*target).stack).top,
                (true, false) => start,
                (true, true) => (*current).stop,
            };
        }
        if T::FINISH {
            (*(*current).stack).head = (*current).next;
        }
        if !make_room(this, target) {
            if T::FINISH {
                (*(*current).stack).head = current;
            }
            return ptr::null_mut();
        }
        if T::FINISH {
            tools::clear(start, (*current).stop);
            (*current).reset(&(*this).memory);
        }
        (*this).current = target;
        bounds::follow(left, (*target).stack);
        let at = if T::START { (*target).stop } else { (*target).start };
        tools::leave(current, (*target).stack, at, T::FINISH);
        ptr::with_exposed_provenance_mut(at)
    }
}

/// The common switch, without a loop over greenlets and without a call: at most one greenlet has bytes in the way (the running
/// one, or who ran last on the target's stack), nothing of it is saved, the bytes are few (unless they may be `MUCH`), and its
/// buffer fits. Who it is, and how many they are; they have to be saved at once. `None`, and nothing done, otherwise.
///
/// The bytes are copied by the caller, when all else has been done: then nothing has to be kept in registers meanwhile.
///
/// # Safety
///
/// As for [`make_room`]; `start` is that of the running one, which is set, and the target has begun.
#[inline(always)]
unsafe fn hand_over<const MUCH: bool>(
    this: *mut Thread,
    current: *mut Greenlet,
    start: usize,
) -> Option<(*mut Greenlet, usize, usize)> {
    // SAFETY: the caller's promise. Of the running one nothing is saved; what is linked is valid.
    unsafe {
        let target = (*this).target;
        let (stack, stop) = ((*target).stack, (*target).stop);
        let (mut lowest, mut start) = (current, start);
        if (*current).stack != stack {
            let head = (*stack).head;
            if head == target {
                // Nobody is below the target: there is only something to put back.
                (*this).current = target;
                return Some((current, start, 0));
            }
            if head.is_null() || (*head).saved != 0 {
                return None;
            }
            (lowest, start) = (head, (*head).start);
        }
        let need;
        if (*lowest).stop > stop {
            // It reaches above the target's stop, and keeps what it has there.
            if start < stop {
                need = stop - start;
                if !(*lowest).takes::<MUCH>(need) {
                    return None;
                }
            } else {
                need = 0;
            }
            (*target).next = lowest;
        } else {
            let next = (*lowest).next;
            let clear = next.is_null()
                || next == target
                || ((*next).stop > stop && (*next).start + (*next).saved >= stop);
            need = (*lowest).stop - start;
            if !clear || !(*lowest).takes::<MUCH>(need) {
                return None;
            }
            (*lowest).next = ptr::null_mut();
            if next != target {
                (*target).next = next;
            }
        }
        (*stack).head = target;
        (*this).current = target;
        Some((lowest, start, need))
    }
}

/// Saves what lies below the target's stop and belongs to others, and makes the target the head of its stack.
/// False, and nothing changed, if there is no memory.
///
/// # Safety
///
/// As for [`make_room_slowly`].
#[inline(always)]
unsafe fn make_room(this: *mut Thread, target: *mut Greenlet) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let stack = (*target).stack;
        let head = (*stack).head;
        if head.is_null() {
            (*target).next = ptr::null_mut();
            (*stack).head = target;
            return true;
        }
        // If it is the head nobody is below it.
        head == target || make_room_slowly(this, target)
    }
}

/// The same, where there may be somebody.
///
/// First every buffer is made large enough, then the bytes are copied, so that running out of
/// memory leaves everything as it was.
///
/// # Safety
///
/// Stack and stop of the target are set; all that are linked on the stack are valid; the running one has its start set.
#[cold]
#[inline(never)]
unsafe fn make_room_slowly(this: *mut Thread, target: *mut Greenlet) -> bool {
    // SAFETY: the caller's promise; of those that are linked, the bytes that are not saved are in place.
    unsafe {
        let (stack, stop) = ((*target).stack, (*target).stop);
        let mut other = (*stack).head;
        while !other.is_null() && other != target {
            let end = (*other).stop.min(stop);
            if (*other).start + (*other).saved < end && !(*other).reserve(end, &(*this).memory) {
                return false;
            }
            if (*other).stop > stop {
                break;
            }
            other = (*other).next;
        }

        let mut other = (*stack).head;
        while !other.is_null() && other != target {
            (*other).save_up_to((*other).stop.min(stop));
            if (*other).stop > stop {
                break;
            }
            let next = (*other).next;
            (*other).next = ptr::null_mut();
            other = next;
        }

        if other != target {
            (*target).next = other;
        }
        (*stack).head = target;
        true
    }
}

/// Puts the target's bytes back: below its stretch, called by the assembly. Never null.
#[cfg_attr(greenlet_asan_instrumented, sanitize(address = "off"))]
unsafe extern "C" fn restore(ctx: *mut c_void, sp: *mut c_void) -> *mut c_void {
    let this: *mut Thread = ctx.cast();
    // SAFETY: `save` has made the target the current one and its stretch free.
    unsafe {
        let current = (*this).current;
        tools::arrived(current);
        if !(*current).restore_in_line(sp.addr()) {
            return restore_slowly(ctx);
        }
    }
    ctx
}

/// The rest of `restore`. A function of its own, and the last thing that is called, so that the common one keeps nothing.
#[cold]
#[inline(never)]
#[cfg_attr(greenlet_asan_instrumented, sanitize(address = "off"))]
unsafe extern "C" fn restore_slowly(ctx: *mut c_void) -> *mut c_void {
    let this: *mut Thread = ctx.cast();
    // SAFETY: as in `restore`.
    unsafe { (*(*this).current).restore() };
    ctx
}

/// Begins the target: at the top of its stretch, called by the assembly; never returns.
#[cfg_attr(greenlet_asan_instrumented, sanitize(address = "off"))]
unsafe extern "C" fn begin(ctx: *mut c_void, _sp: *mut c_void) -> *mut c_void {
    let this: *mut Thread = ctx.cast();
    // SAFETY: `prepare_start` has set the body.
    unsafe {
        tools::arrived((*this).current);
        let body = (*this).body.unwrap_or_else(|| hint::unreachable_unchecked());
        body((*this).word)
    }
}
