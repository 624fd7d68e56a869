//! The handles: `AnyGreenlet`, and `Greenlet<In, Out>`, which knows what it sends and what it gets.

use crate::error::{OutOfMemory, Payload, Refused, SwitchError};
use crate::object::{Core, Stage};
use crate::runtime::Runtime;
use crate::stack;
use crate::switch;
use core::cmp::Ordering;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::{fmt, ptr};

/// A handle to a greenlet, whatever it takes and gives.
///
/// Handles are counted: when the last one to a suspended greenlet is dropped, the greenlet is killed (see
/// [`kill`](AnyGreenlet::kill)), and when the last one to a greenlet that has not begun is dropped, so is its closure.
///
/// A child that has not finished counts as a handle to its parent, since its result will go there. So a greenlet whose frames
/// hold a handle to a child of its own is a cycle, as two `Rc`s are: kill one of the two, or give the child another
/// parent; else both are killed when the thread ends. (A [`Generator`](crate::Generator) is no such child while nobody
/// asks it for a value.)
///
/// A handle stays on its thread:
///
/// ```compile_fail,E0277
/// let here = greenlet::AnyGreenlet::current();
/// std::thread::spawn(move || here.is_current());
/// ```
pub struct AnyGreenlet(ptr::NonNull<Core>);

impl AnyGreenlet {
    /// A new handle.
    ///
    /// # Safety
    ///
    /// `core` is valid.
    pub(crate) unsafe fn of(core: *const Core) -> AnyGreenlet {
        // SAFETY: the caller's promise.
        unsafe {
            (*core).hold();
            Self::adopt(core)
        }
    }

    /// A handle that takes over a count.
    ///
    /// # Safety
    ///
    /// `core` is valid, and the count is handed over.
    unsafe fn adopt(core: *const Core) -> AnyGreenlet {
        // SAFETY: valid pointers are not null.
        AnyGreenlet(unsafe { ptr::NonNull::new_unchecked(core.cast_mut()) })
    }

    #[inline(always)]
    pub(crate) fn core(&self) -> &Core {
        // SAFETY: the handle holds it.
        unsafe { self.0.as_ref() }
    }

    fn runtime(&self) -> &Runtime {
        // SAFETY: a greenlet's ancestors, the last of which is in the runtime, live as long as it does.
        unsafe { &*self.core().runtime }
    }

    /// The greenlet that runs.
    ///
    /// # Panics
    ///
    /// When the thread is ending and its greenlets have ended. So for all functions that say nothing of a greenlet. The first of them in
    /// a thread ends the process, as [`Box::new`](std::boxed::Box::new) does, if there is no memory for the thread's state; see
    /// [`prepare_thread`].
    pub fn current() -> AnyGreenlet {
        // SAFETY: the running greenlet of this thread is valid.
        unsafe { Self::of((*Runtime::of_this_thread()).current()) }
    }

    /// The greenlet that this thread started with.
    ///
    /// # Panics
    ///
    /// As [`current`](Self::current).
    pub fn main() -> AnyGreenlet {
        // SAFETY: main is part of the thread's state.
        unsafe { Self::of(&raw const (*Runtime::of_this_thread()).main) }
    }

    /// The same greenlet, seen as one that takes an `In`, by code that waits for an `Out` meanwhile.
    ///
    /// This asserts nothing: each switch compares what is sent with what is waited for.
    pub fn typed<In: 'static, Out: 'static>(&self) -> Greenlet<In, Out> {
        Greenlet { any: self.clone(), _values: PhantomData }
    }

    /// The parent: where its result goes, and a panic that it does not catch. `None` for main.
    ///
    /// A finished greenlet without children needs no parent any more, and mostly has main as its parent then.
    pub fn parent(&self) -> Option<AnyGreenlet> {
        let parent = self.core().parent.get();
        // SAFETY: a parent is held by its child.
        (!parent.is_null()).then(|| unsafe { Self::of(parent) })
    }

    /// Changes the parent.
    ///
    /// # Errors
    ///
    /// [`Refused::Cycle`] if `parent` is this greenlet or has it among its ancestors, [`Refused::Main`] for main.
    pub fn set_parent(&self, parent: &AnyGreenlet) -> Result<(), Refused> {
        let this = self.core();
        if this.is_main() {
            return Err(Refused::Main);
        }
        let mut ancestor: *const Core = parent.core();
        while !ancestor.is_null() {
            if ptr::eq(ancestor, this) {
                return Err(Refused::Cycle);
            }
            // SAFETY: a parent is held by its child.
            ancestor = unsafe { (*ancestor).parent.get() };
        }
        // SAFETY: the new parent is held by its handle, and there is no cycle.
        unsafe { Core::set_parent(this, parent.core()) };
        Ok(())
    }

    /// Whether it has begun. It may have finished since. (One that was killed before it began never does.)
    pub fn is_started(&self) -> bool {
        self.core().stage.get() != Stage::New
    }

    /// Whether it has begun and not finished: it runs, or is suspended.
    pub fn is_active(&self) -> bool {
        self.core().stage.get() == Stage::Active
    }

    /// Whether it has finished: returned, panicked, or was killed.
    pub fn is_finished(&self) -> bool {
        self.core().stage.get() == Stage::Finished
    }

    /// Whether it is the one that runs.
    pub fn is_current(&self) -> bool {
        ptr::eq(self.core(), self.runtime().current())
    }

    /// Whether it is its thread's main greenlet.
    pub fn is_main(&self) -> bool {
        self.core().is_main()
    }

    /// How many bytes of its stack are on the heap and not on the stack.
    pub fn saved_bytes(&self) -> usize {
        // SAFETY: the engine's record belongs to this thread, and nobody keeps a reference to it.
        unsafe { (*self.core().raw()).saved() }
    }

    /// A number that no other living greenlet of the process has.
    pub fn id(&self) -> usize {
        self.0.as_ptr().addr()
    }

    /// Kills it: the greenlet is unwound from where it is suspended, so that its destructors run, and has finished when this
    /// returns. Its parent sees nothing of it. One that has not begun drops its closure; nothing happens to
    /// one that has finished.
    ///
    /// A greenlet that catches the payload ([`Killed`](crate::Killed)) and goes on is not dead; this then returns when it has
    /// finished after all. If meanwhile another greenlet kills it, that one is told of its end, and this one waits on, until something is
    /// thrown into it or it is killed itself. While its destructors run they cannot switch.
    ///
    /// With `panic = "abort"` nothing can be unwound: the frames are given up, and what they own is leaked.
    ///
    /// # Errors
    ///
    /// [`Refused::Main`], [`Refused::Current`], [`Refused::Unwinding`], [`Refused::Tracing`], [`Refused::OutOfMemory`],
    /// [`Refused::Scheduled`].
    ///
    /// # Panics
    ///
    /// Goes on with a panic of one of its destructors, or with what another greenlet threw here meanwhile.
    pub fn kill(&self) -> Result<(), Refused> {
        if self.core().is_scheduled() && !self.is_main() && !self.is_current() {
            return Err(Refused::Scheduled);
        }
        // SAFETY: the handle holds it, and handles do not leave their thread.
        unsafe { switch::kill(self.core()) }
    }
}

impl Clone for AnyGreenlet {
    fn clone(&self) -> Self {
        // SAFETY: the handle holds it.
        unsafe { Self::of(self.core()) }
    }
}

impl Drop for AnyGreenlet {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the handle's count.
        unsafe { Core::release(self.0.as_ptr()) };
    }
}

impl PartialEq for AnyGreenlet {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for AnyGreenlet {}

impl Hash for AnyGreenlet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialOrd for AnyGreenlet {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for AnyGreenlet {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl fmt::Debug for AnyGreenlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.core().stage.get() {
            Stage::New => "not started",
            Stage::Finished => "finished",
            Stage::Active if self.is_current() => "running",
            Stage::Active => "suspended",
        };
        let main = if self.is_main() { "main, " } else { "" };
        write!(f, "Greenlet({:#x}, {main}{state}", self.id())?;
        if self.saved_bytes() != 0 {
            write!(f, ", {} bytes saved", self.saved_bytes())?;
        }
        f.write_str(")")
    }
}

/// A handle to a greenlet that takes an `In`. Whoever switches to it through this handle waits for an `Out` meanwhile.
///
/// It dereferences to [`AnyGreenlet`], which has everything that does not depend on the two types.
pub struct Greenlet<In = (), Out = ()> {
    any: AnyGreenlet,
    _values: PhantomData<fn(In) -> Out>,
}

impl<In: 'static, Out: 'static> Greenlet<In, Out> {
    /// A greenlet that will run `body`. Its parent is the current one.
    ///
    /// Nothing runs yet. The first value that is sent to it is the argument of `body`; what `body`
    /// returns goes to the parent, which has to wait for an `Out` then (else it is thrown a
    /// [`WrongResult`](crate::WrongResult)).
    ///
    /// # Safety
    ///
    /// **Nothing outside this greenlet reaches into its stack frames while it is suspended, or while a greenlet that it has
    /// resumed runs.** Its frames are not at their addresses then: other greenlets of the thread use the same stretch of
    /// the same stack. Neither may anybody rely on a value in its frames being dropped before its memory is
    /// reused.
    ///
    /// And the other way round: it does not switch inside `LocalKey::with` if it may then still be suspended when its
    /// thread ends. What is suspended then is unwound while thread-locals are destroyed, in no particular order (on most systems
    /// those that came first are destroyed last), and the borrowed one may be gone. That is a promise about the closure, which
    /// this crate cannot look after: nothing says that a thread is about to end before it destroys thread-locals.
    ///
    /// Ordinary code has no such pointers, since what it lends is given back before it could switch. Broken by
    ///
    /// - a scoped thread (`std::thread::scope`) that borrows from the greenlet's frames, while the scope's closure switches;
    /// - a future that is pinned in the greenlet's frames and has put a pointer to itself into somebody's wait list;
    /// - a reference made `'static` by force, or a raw pointer, to a local of the greenlet, used by another one.
    ///
    /// ```no_run
    /// use greenlet::{AnyGreenlet, Greenlet};
    /// // WRONG: the thread writes into frames that have been moved away.
    /// let g = unsafe {
    ///     Greenlet::<(), ()>::new(|()| {
    ///         let mut local = 0;
    ///         std::thread::scope(|scope| {
    ///             scope.spawn(|| local = 1);
    ///             AnyGreenlet::main().typed::<(), ()>().switch(());
    ///         });
    ///     })
    /// };
    /// ```
    ///
    /// All of that is right in the thread's main greenlet, whose frames never move.
    ///
    /// # Panics
    ///
    /// As [`AnyGreenlet::current`]. Ends the process, as [`Box::new`](std::boxed::Box::new) does, if there is no memory;
    /// see [`try_new`](Self::try_new).
    pub unsafe fn new<F>(body: F) -> Self
    where
        F: FnOnce(In) -> Out + 'static,
    {
        // SAFETY: the caller's promise. The running greenlet is alive without being counted, so the handle to it is not dropped.
        unsafe {
            let current = (*Runtime::of_this_thread()).current();
            Self::with_parent(&ManuallyDrop::new(AnyGreenlet::adopt(current)), body)
        }
    }

    /// A greenlet that will run `body`, with this parent.
    ///
    /// # Safety
    ///
    /// As for [`new`](Self::new).
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new).
    pub unsafe fn with_parent<F>(parent: &AnyGreenlet, body: F) -> Self
    where
        F: FnOnce(In) -> Out + 'static,
    {
        // SAFETY: the caller's promise.
        unsafe { Self::try_new(parent, body) }.unwrap_or_else(|(OutOfMemory, _)| {
            alloc::alloc::handle_alloc_error(core::alloc::Layout::new::<(Core, F)>())
        })
    }

    /// The same, where running out of memory must not end the process.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`], with the closure.
    ///
    /// # Safety
    ///
    /// As for [`new`](Self::new).
    pub unsafe fn try_new<F>(parent: &AnyGreenlet, body: F) -> Result<Self, (OutOfMemory, F)>
    where
        F: FnOnce(In) -> Out + 'static,
    {
        // SAFETY: the parent is held by its handle; the new core's count goes to the handle.
        unsafe {
            let core = Core::create::<F, In, Out>(parent.core(), body)?;
            Ok(Greenlet { any: AnyGreenlet::adopt(core), _values: PhantomData })
        }
    }

    /// The current greenlet, as one that takes an `In`.
    ///
    /// # Panics
    ///
    /// As [`AnyGreenlet::current`].
    pub fn current() -> Self {
        AnyGreenlet::current().typed()
    }

    /// Passes `value` to the greenlet and lets it run. Returns the next value that anybody sends to
    /// the greenlet that called this.
    ///
    /// A switch to the running greenlet returns `value` at once, if `In` is `Out`.
    ///
    /// # Panics
    ///
    /// - With a message that says why, if the switch is refused; `value` is dropped. See [`try_switch`](Self::try_switch).
    /// - Goes on with what is thrown into the greenlet that called this, instead of returning a value.
    #[inline]
    #[track_caller]
    pub fn switch(&self, value: In) -> Out {
        // SAFETY: the handle holds it, and handles do not leave their thread.
        unsafe { switch::send(self.any.core(), value, |value| value, |error| error.raise()) }
    }

    /// As [`switch`](Self::switch), for code that wants errors, and what is thrown, as a value.
    ///
    /// # Errors
    ///
    /// - [`SwitchError::Refused`] if the greenlet has finished, or waits for another type than `In`; if a panic is
    ///   unwinding; inside the trace hook; and if there is no memory. Nothing has changed then, and the error has `value`.
    /// - [`SwitchError::Thrown`] if the switch took place and something was thrown back.
    #[inline]
    pub fn try_switch(&self, value: In) -> Result<Out, SwitchError<In>> {
        // SAFETY: the handle holds it, and handles do not leave their thread.
        unsafe { switch::send(self.any.core(), value, Ok, Err) }
    }

    /// Throws `payload` into the greenlet: its switch unwinds with it, or returns it from
    /// [`try_switch`](Self::try_switch). Returns as [`switch`](Self::switch) does.
    ///
    /// One that has not begun finishes without having run, and the payload goes to its parent.
    /// Thrown into the running greenlet, it unwinds right here.
    ///
    /// With `panic = "abort"`, a payload that is not taken by a `try_switch` ends the process.
    ///
    /// # Panics
    ///
    /// As [`switch`](Self::switch).
    #[track_caller]
    pub fn throw(&self, payload: Payload) -> Out {
        match self.try_throw(payload) {
            Ok(value) => value,
            Err(error) => error.raise(),
        }
    }

    /// As [`throw`](Self::throw), for code that wants errors, and what is thrown back, as a value.
    ///
    /// # Errors
    ///
    /// As [`try_switch`](Self::try_switch); and [`Refused::Main`], [`Refused::Scheduled`]. (If there is no memory for throwing past a greenlet that
    /// has not begun, that one has finished all the same.)
    pub fn try_throw(&self, payload: Payload) -> Result<Out, SwitchError<Payload>> {
        if self.any.core().is_scheduled() && !self.is_main() && !self.is_current() {
            return Err(SwitchError::Refused(Refused::Scheduled, payload));
        }
        // SAFETY: the handle holds it, and handles do not leave their thread.
        unsafe { switch::throw(self.any.core(), payload) }
    }
}

impl<In, Out> Deref for Greenlet<In, Out> {
    type Target = AnyGreenlet;
    fn deref(&self) -> &AnyGreenlet {
        &self.any
    }
}

impl<In, Out> Clone for Greenlet<In, Out> {
    fn clone(&self) -> Self {
        Greenlet { any: self.any.clone(), _values: PhantomData }
    }
}

impl<In, Out> From<Greenlet<In, Out>> for AnyGreenlet {
    fn from(greenlet: Greenlet<In, Out>) -> AnyGreenlet {
        greenlet.any
    }
}

impl<In, Out> fmt::Debug for Greenlet<In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.any.fmt(f)
    }
}

/// Sets how large this thread's stack for greenlets will be, in bytes. It is mapped when the first greenlet begins; only what is
/// used of it becomes resident. 8 MiB unless set (1 MiB on 32-bit targets); rounded up to whole pages, and to
/// 64 KiB at least.
///
/// # Errors
///
/// The size of the stack, if it has been made already.
///
/// # Panics
///
/// As [`AnyGreenlet::current`].
pub fn set_stack_size(bytes: usize) -> Result<(), usize> {
    // SAFETY: the state of this thread.
    let runtime = unsafe { &*Runtime::of_this_thread() };
    if runtime.has_stack() {
        return Err(runtime.stack_size.get());
    }
    runtime.stack_size.set(bytes.max(stack::MIN_SIZE));
    Ok(())
}

/// Makes what this thread needs for greenlets, if it is not there: its state and its stack. Else the state is made at the first use of
/// this crate in the thread, and the process ends if there is no memory for it; for the stack, the switch that begins the first greenlet
/// is refused.
///
/// # Errors
///
/// [`OutOfMemory`]; it can be tried again.
///
/// # Panics
///
/// As [`AnyGreenlet::current`].
pub fn prepare_thread() -> Result<(), OutOfMemory> {
    let runtime = Runtime::try_of_this_thread()?;
    // SAFETY: the state of this thread.
    unsafe { (*runtime).stack() }.map(|_| ())
}

const _: () = assert!(core::mem::offset_of!(Core, record) == 0);
