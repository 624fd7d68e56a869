//! The handles: `AnyTasklet`, and `Tasklet<R>`, which can be joined for its result.

use super::error::{Blocked, JoinError, WaitError};
use super::record::{Interrupt, Packet, Record, State};
use super::scheduler::{Me, Scheduler, scheduler};
use super::{Wake, join};
use crate::error::{Killed, Payload, Refused};
use crate::object::Core;
use crate::unwind;
use alloc::boxed::Box;
use alloc::string::String;
use core::alloc::Layout;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;
use core::ops::Deref;
use core::panic::Location;
use core::{fmt, ptr};

/// A handle to a tasklet, whatever it returns. Handles are counted, and stay on their thread:
///
/// ```compile_fail,E0277
/// let here = greenlet::tasklet::current();
/// std::thread::spawn(move || here.is_current());
/// ```
///
/// A tasklet that is ready or blocked needs no handle. One that is paused and has none can never run again, so when
/// the last one is dropped, it is killed.
pub struct AnyTasklet(ptr::NonNull<Record>);

impl AnyTasklet {
    /// A new handle.
    ///
    /// # Safety
    ///
    /// The record is valid.
    pub(super) unsafe fn of(record: *const Record) -> AnyTasklet {
        // SAFETY: valid pointers are not null.
        unsafe {
            (*record).hold();
            AnyTasklet(ptr::NonNull::new_unchecked(record.cast_mut()))
        }
    }

    fn record(&self) -> *const Record {
        self.0.as_ptr()
    }

    fn state(&self) -> State {
        // SAFETY: the handle holds it.
        unsafe { (*self.record()).state.get() }
    }

    /// Whether it has not finished.
    pub fn is_alive(&self) -> bool {
        self.state() != State::Finished
    }

    /// Whether it is the one that runs.
    ///
    /// # Panics
    ///
    /// When the thread is ending. So for all below that say nothing of a tasklet's state.
    pub fn is_current(&self) -> bool {
        // SAFETY: the state of this thread.
        self.record() == unsafe { (*scheduler()).current() }
    }

    /// Whether it is its thread's main one.
    pub fn is_main(&self) -> bool {
        // SAFETY: the handle holds it.
        unsafe { (*self.record()).number == 0 }
    }

    /// Whether it is in the run queue.
    pub fn is_ready(&self) -> bool {
        self.state() == State::Ready
    }

    /// Whether it waits for a channel or for the end of a tasklet.
    pub fn is_blocked(&self) -> bool {
        self.state() == State::Blocked
    }

    /// Whether it waits to be inserted.
    pub fn is_paused(&self) -> bool {
        self.state() == State::Paused
    }

    /// What it waits for, if it is blocked.
    pub fn waits_for(&self) -> Option<Blocked> {
        // SAFETY: the handle holds it.
        self.is_blocked().then(|| unsafe { (*scheduler()).describe(self.record()) })
    }

    /// Its number: tasklets are counted as they are spawned on a thread, and main is 0.
    pub fn number(&self) -> u64 {
        // SAFETY: the handle holds it.
        unsafe { (*self.record()).number }
    }

    /// The name that it was given.
    pub fn name(&self) -> Option<String> {
        // SAFETY: the handle holds it, and the borrow ends here.
        unsafe { (*(*self.record()).name.get()).as_deref().map(String::from) }
    }

    /// Gives it a name, for reports and traces.
    pub fn set_name(&self, name: impl Into<String>) {
        let name = name.into().into_boxed_str();
        // SAFETY: the handle holds it, and nobody has borrowed the name.
        unsafe { *(*self.record()).name.get() = Some(name) };
    }

    /// Makes a paused tasklet ready: the last in the run queue. Nothing happens to one that is ready. Main, while it is in
    /// [`run`](super::run()), is inserted in the same way, and `run` returns when its turn has come.
    ///
    /// # Errors
    ///
    /// [`Refused::Blocked`], [`Refused::Current`], [`Refused::Finished`].
    pub fn insert(&self) -> Result<(), Refused> {
        let record = self.record();
        // SAFETY: the handle holds it.
        unsafe {
            match self.state() {
                State::Ready => Ok(()),
                State::Blocked => Err(Refused::Blocked),
                State::Running => Err(Refused::Current),
                State::Finished => Err(Refused::Finished),
                State::Paused | State::Idle => {
                    let scheduler = &*scheduler();
                    scheduler.uproot(record);
                    scheduler.enqueue(record);
                    Ok(())
                }
            }
        }
    }

    /// Takes a tasklet out of the run queue: it is paused until it is inserted. Nothing happens to one that is paused. The current one
    /// is [`pause`](super::pause)d. Main goes on, inserted or not, when nobody else can.
    ///
    /// # Errors
    ///
    /// [`WaitError::Refused`] with [`Refused::Blocked`] or [`Refused::Finished`]; as [`pause`](super::pause) for the current one.
    #[track_caller]
    pub fn remove(&self) -> Result<(), WaitError> {
        let record = self.record();
        match self.state() {
            State::Paused => Ok(()),
            State::Blocked => Err(WaitError::Refused(Refused::Blocked)),
            State::Finished => Err(WaitError::Refused(Refused::Finished)),
            State::Running if self.is_current() => super::pause(),
            State::Running | State::Idle => Err(WaitError::Refused(Refused::Current)),
            State::Ready => {
                // SAFETY: this is a handle.
                unsafe { (*scheduler()).remove(record) };
                Ok(())
            }
        }
    }

    /// Runs it now; the current tasklet goes to the end of the run queue. Nothing happens to the current one.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert), and [`Refused::Unwinding`], [`Refused::Tracing`], [`Refused::OutOfMemory`].
    ///
    /// # Panics
    ///
    /// Goes on with what is thrown into the current tasklet meanwhile.
    pub fn run(&self) -> Result<(), Refused> {
        if self.is_current() {
            return Ok(());
        }
        // SAFETY: the handle holds it.
        unsafe {
            let scheduler = &*scheduler();
            if let Some(why) = scheduler.stuck() {
                return Err(why);
            }
            self.insert()?;
            let _me = Me::of(scheduler);
            scheduler.ready.unlink(self.record());
            scheduler.yield_to(self.record())
        }
    }

    /// Kills it: the tasklet is unwound now from where it is suspended, so that its destructors run. Nothing happens to one that has
    /// finished; one that has not begun drops its closure. The current one is unwound right here.
    ///
    /// The caller is the next to run when the killed one has finished, or waits again: one that catches the payload
    /// ([`Killed`]) and goes on is not dead. Its destructors cannot block while they unwind.
    ///
    /// # Errors
    ///
    /// [`Refused::Main`], [`Refused::Unwinding`], [`Refused::Tracing`]; and [`Refused::OutOfMemory`], when it will be unwound
    /// in its turn.
    ///
    /// # Panics
    ///
    /// Goes on with what is thrown into the current tasklet meanwhile, and with a panic of a closure's destructor.
    pub fn kill(&self) -> Result<(), Refused> {
        if self.is_main() {
            return Err(Refused::Main);
        }
        let record = self.record();
        // SAFETY: the handle holds it.
        unsafe {
            if !unwind::POSSIBLE && self.is_alive() && !self.is_current() {
                Record::kill_in_place(record);
                return Ok(());
            }
        }
        match self.throw(Box::new(Killed(()))) {
            Err(Refused::Finished) => Ok(()),
            other => other,
        }
    }

    /// Throws `payload` into it, now: the operation in which it is suspended unwinds with it. One that
    /// has not begun finishes without having run; who joins it gets the payload. Thrown into the current one, it unwinds right here.
    ///
    /// The caller is the next to run when the other one has finished or waits again.
    ///
    /// # Errors
    ///
    /// [`Refused::Finished`], and as [`kill`](Self::kill), but for `Main`.
    ///
    /// # Panics
    ///
    /// As [`kill`](Self::kill).
    pub fn throw(&self, payload: Payload) -> Result<(), Refused> {
        let record = self.record();
        // SAFETY: the handle holds it.
        unsafe {
            let scheduler = &*scheduler();
            if let Some(why) = scheduler.stuck() {
                return Err(why);
            }
            if self.is_current() {
                unwind::resume(payload);
            }
            match self.interrupt(scheduler, payload)? {
                Interrupted::Over => Ok(()),
                Interrupted::Continue(before) => {
                    let _me = Me::of(scheduler);
                    let went = scheduler.call(record);
                    drop(before);
                    went
                }
            }
        }
    }

    /// Throws `payload` into it when its turn comes: it is the last in the run queue then, whatever it has waited for. This can be
    /// called while a panic unwinds. One that has not begun finishes now, without having run.
    ///
    /// # Errors
    ///
    /// [`Refused::Finished`], [`Refused::Current`].
    pub fn throw_later(&self, payload: Payload) -> Result<(), Refused> {
        let record = self.record();
        // SAFETY: the handle holds it.
        unsafe {
            let scheduler = &*scheduler();
            if self.is_current() {
                return Err(Refused::Current);
            }
            if let Interrupted::Continue(before) = self.interrupt(scheduler, payload)? {
                scheduler.enqueue(record);
                drop(before);
            }
            Ok(())
        }
    }

    /// Prepares a throw into another tasklet than the current one.
    ///
    /// # Safety
    ///
    /// The caller lets it run.
    unsafe fn interrupt(
        &self,
        scheduler: &Scheduler,
        payload: Payload,
    ) -> Result<Interrupted, Refused> {
        let record = self.record();
        // SAFETY: the handle holds it.
        unsafe {
            match self.state() {
                State::Finished => Err(Refused::Finished),
                // Control was taken away from it. It waits for no Wake.
                State::Running => Err(Refused::Current),
                _ if (*record).is_new() => {
                    drop((*record).pending.replace(Some(Box::new(Interrupt::Thrown(payload)))));
                    Record::kill_in_place(record);
                    Ok(Interrupted::Over)
                }
                _ => {
                    let before = scheduler.interrupt(record, Interrupt::Thrown(payload));
                    Ok(Interrupted::Continue(before))
                }
            }
        }
    }

    /// Waits until it has finished.
    ///
    /// # Errors
    ///
    /// [`WaitError`].
    ///
    /// # Panics
    ///
    /// Goes on with what is thrown into the current tasklet meanwhile.
    #[track_caller]
    pub fn wait(&self) -> Result<(), WaitError> {
        let at = Location::caller();
        if !self.is_alive() {
            return Ok(());
        }
        // SAFETY: the handle holds it.
        unsafe { join::wait(&*scheduler(), self.record(), at) }
    }
}

enum Interrupted {
    /// It had not begun, and has finished.
    Over,
    /// It has to be continued; this is what it would have found before.
    Continue(Option<Box<Interrupt>>),
}

impl Clone for AnyTasklet {
    fn clone(&self) -> Self {
        // SAFETY: the handle holds it.
        unsafe { Self::of(self.record()) }
    }
}

impl Drop for AnyTasklet {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the handle's count.
        unsafe { Record::release(self.record()) };
    }
}

impl PartialEq for AnyTasklet {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for AnyTasklet {}

impl Hash for AnyTasklet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for AnyTasklet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tasklet({}", self.number())?;
        // SAFETY: the handle holds it, and the borrow ends here.
        if let Some(name) = unsafe { (*(*self.record()).name.get()).as_deref() } {
            write!(f, " `{name}`")?;
        }
        let state = match self.state() {
            State::Running => "running",
            State::Ready => "ready",
            State::Blocked => "blocked",
            State::Paused => "paused",
            State::Idle => "in run",
            State::Finished => "finished",
        };
        write!(f, ", {state})")
    }
}

/// A handle to a tasklet that returns an `R`: the one that can [`join`](Self::join) it. It dereferences to [`AnyTasklet`], which has
/// everything else. To drop it is to let the tasklet run unobserved.
pub struct Tasklet<R = ()> {
    any: AnyTasklet,
    _result: PhantomData<R>,
}

impl<R: 'static> Tasklet<R> {
    /// Spawns one.
    ///
    /// # Safety
    ///
    /// As for [`spawn`](super::spawn).
    pub(super) unsafe fn new<F>(body: F, at: &'static Location<'static>) -> Tasklet<R>
    where
        F: FnOnce() -> R + 'static,
    {
        // SAFETY: the closure keeps the contract, says the caller. What it is wrapped in is valid as long as the record is, which
        // is finished by the end of the closure or when that is dropped.
        unsafe {
            let scheduler = &*scheduler();
            let record: *const Record = Packet::<R>::create(scheduler.number(), at).cast();
            if record.is_null() {
                alloc::alloc::handle_alloc_error(Layout::new::<Packet<R>>());
            }
            let unborn = Unborn::<R>(record, PhantomData);
            let run = move |Wake| {
                unborn.begin();
                over::<R>(record, unwind::catch(body));
                Wake
            };
            let main = &raw const (*scheduler.runtime()).main;
            let Ok(root) = Core::create::<_, Wake, Wake>(main, run) else {
                alloc::alloc::handle_alloc_error(Layout::new::<(Core, F)>());
            };
            (*record).root.set(root);
            (*record).resume.set(root);
            (*record).hold(); // to be continued
            scheduler.enqueue(record);
            let any = AnyTasklet(ptr::NonNull::new_unchecked(record.cast_mut()));
            Tasklet { any, _result: PhantomData }
        }
    }

    /// Waits until it has finished, and returns what its closure has returned.
    ///
    /// # Errors
    ///
    /// [`JoinError::Panicked`] with the payload if it did not return. [`JoinError::Deadlock`] and [`JoinError::Refused`], when the handle
    /// is lost; [`wait`](AnyTasklet::wait) first where that matters.
    ///
    /// # Panics
    ///
    /// As [`wait`](AnyTasklet::wait).
    #[track_caller]
    pub fn join(self) -> Result<R, JoinError> {
        self.wait()?;
        // SAFETY: it is the record of a packet of this type, held by the handle.
        let result = unsafe { Packet::<R>::result(self.record()).take() };
        match result {
            Some(result) => result.map_err(JoinError::Panicked),
            // It finished while the thread ended.
            None => Err(JoinError::Panicked(Box::new(Killed(())))),
        }
    }
}

/// Dropped with a closure that has not run: the tasklet has finished all the same.
struct Unborn<R>(*const Record, PhantomData<R>);

impl<R> Unborn<R> {
    /// The closure runs.
    #[inline(always)]
    unsafe fn begin(self) {
        // SAFETY: the record is valid.
        unsafe { (*Scheduler::of((*self.0).root.get())).has_arrived() };
        core::mem::forget(self);
    }
}

impl<R> Drop for Unborn<R> {
    fn drop(&mut self) {
        let record = self.0;
        // SAFETY: the record is valid until it is completed.
        unsafe {
            let root = (*record).root.get();
            if root.is_null() {
                // There was no memory for the greenlet; the process ends.
                return;
            }
            let scheduler = &*Scheduler::of(root);
            let payload = match (*record).pending.take().map(|interrupt| *interrupt) {
                Some(Interrupt::Thrown(payload)) => payload,
                _ => Box::new(Killed(())),
            };
            *Packet::<R>::result(record) = Some(Err(payload));
            if scheduler.current() == record {
                scheduler.back_to_main(); // the trace hook panicked as it was to begin
            }
            scheduler.complete(record);
        }
    }
}

/// The closure of the running root has returned or panicked.
///
/// # Safety
///
/// The record is that of a packet of this type.
unsafe fn over<R>(record: *const Record, outcome: Result<R, Payload>) {
    // SAFETY: the record is valid until it is completed.
    unsafe {
        let scheduler = &*Scheduler::of((*record).root.get());
        if (*record).is_unobserved() {
            unwind::discard(outcome); // while the tasklet still is one: a destructor may block
        } else {
            *Packet::<R>::result(record) = Some(outcome);
        }
        if !scheduler.finish(record) {
            let lost: &'static str = "tasklet: main waits for something else than its turn";
            unwind::resume(Box::new(lost));
        }
    }
}

impl<R> Deref for Tasklet<R> {
    type Target = AnyTasklet;
    fn deref(&self) -> &AnyTasklet {
        &self.any
    }
}

impl<R> From<Tasklet<R>> for AnyTasklet {
    fn from(tasklet: Tasklet<R>) -> AnyTasklet {
        tasklet.any
    }
}

impl<R> fmt::Debug for Tasklet<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.any.fmt(f)
    }
}
