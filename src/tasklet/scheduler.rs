//! Who runs next: the run queue, how the current tasklet leaves and comes back, and how one ends.
//!
//! It must never know what is sent over a channel.
//!
//! Which tasklet is the current one is a variable of the thread's, not a property of a greenlet: a tasklet may call
//! generators and greenlets of its own, and block from within them. It goes on where it blocked (`Record::resume`).
//!
//! Nobody outside can make a [`Wake`], so nobody but the scheduler switches to a suspended tasklet. Two things reach one all the
//! same, as something that is thrown: its end, when it is killed in place, and what a greenlet that its frames made leaves. Both
//! arrive in `came_by_itself`.

use super::Wake;
use super::error::{Blocked, Deadlock, WaitError, WaitsFor};
use super::list::List;
use super::record::{Interrupt, Packet, Record, State, Wait};
use crate::error::{Payload, Refused, SwitchError};
use crate::object::Core;
use crate::runtime::Runtime;
use crate::switch;
use crate::unwind;
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use core::panic::Location;
use core::ptr;

/// The scheduler of one thread: part of its state.
pub(crate) struct Scheduler {
    runtime: *const Runtime,
    /// Null until the first use.
    current: Cell<*const Record>,
    main: Cell<*const Record>,
    pub(super) ready: List,
    pub(super) blocked: List,
    /// The greenlet of the tasklet that finished last: it cannot be freed on its own stack.
    dead: Cell<*const Core>,
    /// Main, if it is paused, has asked for that, and was not taken out of the run queue.
    main_pauses: Cell<bool>,
    /// The current one is there. (Between, a switch to it is under way.)
    arrived: Cell<bool>,
    /// The thread has ended.
    ended: Cell<bool>,
    numbers: Cell<u64>,
}

/// The calling thread's scheduler.
#[inline(always)]
pub(super) fn scheduler() -> *const Scheduler {
    // SAFETY: the state of this thread.
    unsafe {
        let this = &raw const (*Runtime::of_this_thread()).scheduler;
        if (*this).current.get().is_null() {
            (*this).begin();
        }
        this
    }
}

impl Scheduler {
    pub(crate) const fn new(runtime: *const Runtime) -> Scheduler {
        Scheduler {
            runtime,
            current: Cell::new(ptr::null()),
            main: Cell::new(ptr::null()),
            ready: List::new(),
            blocked: List::new(),
            dead: Cell::new(ptr::null()),
            main_pauses: Cell::new(false),
            arrived: Cell::new(true),
            ended: Cell::new(false),
            numbers: Cell::new(0),
        }
    }

    /// The scheduler of a greenlet's thread.
    ///
    /// # Safety
    ///
    /// The greenlet is valid; the scheduler is valid as long as that is.
    pub(super) unsafe fn of(core: *const Core) -> *const Scheduler {
        // SAFETY: the caller's promise.
        unsafe { &raw const (*(*core).runtime).scheduler }
    }

    /// Main's record.
    #[cold]
    #[inline(never)]
    fn begin(&self) {
        let here = Location::caller();
        let main: *const Record = Packet::<()>::create(0, here).cast();
        if main.is_null() {
            alloc::alloc::handle_alloc_error(core::alloc::Layout::new::<Packet<()>>());
        }
        // SAFETY: new and valid; main's greenlet is part of the state.
        unsafe {
            let greenlet = &raw const (*self.runtime).main;
            (*main).root.set(greenlet);
            (*main).resume.set(greenlet);
            (*main).state.set(State::Running);
        }
        self.main.set(main);
        self.current.set(main);
    }

    #[inline(always)]
    pub(super) fn current(&self) -> *const Record {
        self.current.get()
    }

    pub(super) fn main(&self) -> *const Record {
        self.main.get()
    }

    pub(super) fn runtime(&self) -> *const Runtime {
        self.runtime
    }

    /// The current one has begun.
    pub(super) fn has_arrived(&self) {
        self.arrived.set(true);
    }

    pub(super) fn number(&self) -> u64 {
        self.numbers.set(self.numbers.get() + 1);
        self.numbers.get()
    }

    /// Why nobody can be switched to now, if so. Asked before an operation that waits makes its entries: the trace hook, and what it
    /// drops, run in a tasklet that has been woken and still has those of its own operation.
    pub(super) fn stuck(&self) -> Option<Refused> {
        // SAFETY: valid as long as the scheduler is.
        if unsafe { (*self.runtime).tracing.get() } {
            Some(Refused::Tracing)
        } else {
            unwind::panicking().then_some(Refused::Unwinding)
        }
    }

    /// Puts one at the end of the run queue.
    ///
    /// # Safety
    ///
    /// It is valid, in no list, and its count for being continued is there. So for all below that take a record.
    #[inline(always)]
    pub(super) unsafe fn enqueue(&self, record: *const Record) {
        // SAFETY: the caller's promise.
        unsafe {
            (*record).state.set(State::Ready);
            self.ready.push_back(record);
        }
    }

    /// Takes a blocked one, one of whose entries has been met, out of all else that it waits for.
    ///
    /// # Safety
    ///
    /// It is blocked.
    #[inline(always)]
    pub(super) unsafe fn unblock(&self, record: *const Record) {
        // SAFETY: the caller's promise. Nothing of the user's runs.
        unsafe {
            self.blocked.unlink(record);
            if let Wait::Many(all) = &*(*record).wait.get() {
                all.iter().for_each(|(queue, index)| queue.withdraw(*index));
            }
        }
    }

    /// Takes one out of wherever it is, so that it can be continued by who asks for it. Its count for that is there then.
    ///
    /// # Safety
    ///
    /// It is valid.
    pub(super) unsafe fn uproot(&self, record: *const Record) {
        // SAFETY: the caller's promise. Nothing of the user's runs.
        unsafe {
            match (*record).state.get() {
                State::Ready => self.ready.unlink(record),
                State::Blocked => {
                    self.unblock(record);
                    if let Wait::One(queue, index) = &*(*record).wait.get() {
                        queue.withdraw(*index);
                    }
                }
                State::Paused if record != self.main() => (*record).hold(),
                State::Paused | State::Idle | State::Running | State::Finished => {}
            }
        }
    }

    /// The current one goes to the end of the run queue, and `next` runs.
    ///
    /// # Errors
    ///
    /// If that is refused, `next` is the first in the run queue, and the current one goes on.
    ///
    /// # Safety
    ///
    /// `next` is suspended.
    #[inline(always)]
    pub(super) unsafe fn yield_to(&self, next: *const Record) -> Result<(), Refused> {
        let me = self.current();
        // SAFETY: the current one is in no list.
        unsafe {
            self.enqueue(me);
            self.back(me, self.switch(next))
        }
    }

    /// As [`yield_to`](Self::yield_to), but the current one is the next after `next`.
    ///
    /// # Safety
    ///
    /// As there.
    pub(super) unsafe fn call(&self, next: *const Record) -> Result<(), Refused> {
        let me = self.current();
        // SAFETY: the current one is in no list.
        unsafe {
            (*me).state.set(State::Ready);
            self.ready.push_front(me);
            self.back(me, self.switch(next))
        }
    }

    /// The current one, which has waited for nothing but its turn, goes on.
    #[inline(always)]
    unsafe fn back(&self, me: *const Record, went: Result<(), WaitError>) -> Result<(), Refused> {
        match went {
            Ok(()) => Ok(()),
            Err(WaitError::Deadlock(_)) => unreachable!("it waits for nothing"),
            Err(WaitError::Refused(why)) => {
                // SAFETY: it is where the caller put it.
                unsafe { self.stay(me) };
                Err(why)
            }
        }
    }

    /// The current one did not leave after all.
    #[cold]
    unsafe fn stay(&self, me: *const Record) {
        // SAFETY: it is where the caller put it, unless a deadlock has taken it out.
        unsafe {
            self.uproot(me);
            (*me).state.set(State::Running);
        }
    }

    /// The current one waits, and somebody else runs until it has been woken.
    ///
    /// # Errors
    ///
    /// It is withdrawn from all that it waits for then.
    ///
    /// # Safety
    ///
    /// Its entries are in their lines, and in what it waits for.
    #[inline]
    pub(super) unsafe fn block(&self, at: &'static Location<'static>) -> Result<(), WaitError> {
        let me = self.current();
        // SAFETY: the current one is valid, and in no list.
        unsafe {
            (*me).at.set(at);
            (*me).state.set(State::Blocked);
            self.blocked.push_back(me);
            self.leave(me)
        }
    }

    /// Takes one that is ready out of the run queue.
    ///
    /// # Safety
    ///
    /// The caller has a handle.
    pub(super) unsafe fn remove(&self, record: *const Record) {
        // SAFETY: the count that is given back is not the last one.
        unsafe {
            self.ready.unlink(record);
            (*record).state.set(State::Paused);
            if record == self.main() {
                self.main_pauses.set(false);
            } else {
                Record::release(record);
            }
        }
    }

    /// The current one stays away until it is inserted.
    ///
    /// # Safety
    ///
    /// `me` is the current one.
    pub(super) unsafe fn pause(
        &self,
        me: *const Record,
        at: &'static Location<'static>,
    ) -> Result<(), WaitError> {
        // SAFETY: the current one is valid. Its count for being continued is given back only by the next: it has to be there.
        unsafe {
            if let Some(why) = self.stuck() {
                return Err(WaitError::Refused(why));
            }
            (*me).at.set(at);
            (*me).state.set(State::Paused);
            if me == self.main() {
                self.main_pauses.set(true);
                return self.leave(me);
            }
            if (*me).is_unobserved() {
                // Nobody could ever insert it: that is its end.
                (*me).state.set(State::Running);
                unwind::resume(Box::new(crate::error::Killed(())));
            }
            Record::release(me);
            self.leave(me)
        }
    }

    /// Main lets others run until nobody is ready.
    ///
    /// # Errors
    ///
    /// Main goes on then.
    pub(super) fn idle(&self) -> Result<(), Refused> {
        let me = self.current();
        // SAFETY: who is ready is suspended.
        unsafe {
            let next = self.ready.pop_front();
            if next.is_null() {
                return Ok(());
            }
            (*me).state.set(State::Idle);
            self.back(me, self.switch(next))
        }
    }

    /// Lets the next one run, or main if there is none. The current one, `me`, has been put where it belongs.
    #[inline(always)]
    unsafe fn leave(&self, me: *const Record) -> Result<(), WaitError> {
        // SAFETY: what is in the run queue is suspended.
        unsafe {
            let next = self.ready.pop_front();
            let left = if next.is_null() { self.nobody(me) } else { self.switch(next) };
            left.inspect_err(|_| self.stay(me))
        }
    }

    /// Nobody is ready: main goes on, and is told if it waits itself.
    #[cold]
    #[inline(never)]
    unsafe fn nobody(&self, me: *const Record) -> Result<(), WaitError> {
        // SAFETY: main is valid.
        unsafe {
            if let Some(why) = self.stuck() {
                return Err(WaitError::Refused(why));
            }
            match self.successor_main(me) {
                next if next.is_null() || next == me => Err(WaitError::Deadlock(self.deadlock())),
                next => self.switch(next),
            }
        }
    }

    /// Main, which goes on since nobody is ready, and has been told so if it waits. Null if it cannot: then control was taken
    /// away from it, and only its own greenlet can bring it back.
    unsafe fn successor_main(&self, me: *const Record) -> *const Record {
        let main = self.main();
        // SAFETY: main is valid.
        unsafe {
            match (*main).state.get() {
                State::Idle => main,
                State::Blocked | State::Paused if main == me => main,
                // It has waited for nothing but its turn, or for what has taken place: it goes on, since nobody else can.
                State::Paused if !self.main_pauses.get() => {
                    self.uproot(main);
                    main
                }
                State::Blocked | State::Paused => {
                    let deadlock = self.deadlock();
                    let before = self.interrupt(main, Interrupt::Deadlock(deadlock));
                    debug_assert!(before.is_none()); // whoever waits has found what was pending
                    core::mem::forget(before);
                    main
                }
                _ => ptr::null(),
            }
        }
    }

    /// Takes a suspended one out of wherever it is. It will find `what` when it is continued; the caller sees to that, and only
    /// then drops what it would have found before.
    ///
    /// # Safety
    ///
    /// It is valid, suspended, and has begun.
    pub(super) unsafe fn interrupt(
        &self,
        record: *const Record,
        what: Interrupt,
    ) -> Option<Box<Interrupt>> {
        // SAFETY: the caller's promise.
        unsafe {
            self.uproot(record);
            (*record).state.set(State::Running);
            (*record).pending.replace(Some(Box::new(what)))
        }
    }

    /// Lets `next` run. Returns when somebody has let the current one run again, which has been put where it belongs.
    ///
    /// # Errors
    ///
    /// If it was refused, `next` is the first in the run queue.
    ///
    /// # Safety
    ///
    /// `next` is suspended, or has not begun, and is in no list. The caller holds the current one.
    #[inline(never)]
    unsafe fn switch(&self, next: *const Record) -> Result<(), WaitError> {
        // SAFETY: the current one is held by the caller, `next` by its count for being continued.
        unsafe {
            let me = self.current.get();
            let here = (*self.runtime).current();
            if (*me).resume.get() != here {
                self.goes_on_at(me, here);
            }
            self.current.set(next);
            self.arrived.set(false);
            (*next).state.set(State::Running);
            let target = (*next).resume.get();
            switch::send(
                target,
                Wake,
                |Wake| {
                    self.arrived.set(true);
                    if self.current.get() != me {
                        return self.meant_for_another(me, here);
                    }
                    if here != (*me).root.get() {
                        self.goes_on_at(me, (*me).root.get());
                    }
                    match (*me).pending.take() {
                        None => Ok(()),
                        Some(interrupt) => self.interrupted(*interrupt),
                    }
                },
                |error| self.not_woken(me, here, next, error),
            )
        }
    }

    /// Changes where `me` goes on. Nothing of the user's may run here, so only the one that runs is really let go.
    #[cold]
    #[inline(never)]
    unsafe fn goes_on_at(&self, me: *const Record, there: *const Core) {
        // SAFETY: the root is held by the record; any other is counted.
        unsafe {
            let root = (*me).root.get();
            if there != root {
                (*there).hold();
            }
            let before = (*me).resume.replace(there);
            if before == root || before.is_null() {
            } else if before == (*self.runtime).current() {
                Core::release(before);
            } else {
                Core::release_later(before);
            }
        }
    }

    /// A [`Wake`] for another tasklet that is suspended in this greenlet, too: something was thrown into that one here, and before it
    /// could hear of it ([`came_by_itself`](Self::came_by_itself)) a hook or a destructor ran in its place, and let `me` wait. That one
    /// goes on when this has returned; it has lost its turn, and is out of all lists.
    #[cold]
    #[inline(never)]
    unsafe fn meant_for_another(
        &self,
        me: *const Record,
        here: *const Core,
    ) -> Result<(), WaitError> {
        self.current.set(me);
        // SAFETY: the caller of `switch` holds `me`, and takes it out of wherever it is.
        unsafe {
            if here != (*me).root.get() {
                self.goes_on_at(me, (*me).root.get());
            }
        }
        Err(WaitError::Refused(self.stuck().unwrap_or(Refused::Current)))
    }

    #[cold]
    #[inline(never)]
    fn interrupted(&self, interrupt: Interrupt) -> Result<(), WaitError> {
        match interrupt {
            Interrupt::Deadlock(deadlock) => Err(WaitError::Deadlock(deadlock)),
            Interrupt::Thrown(payload) => unwind::resume(payload),
        }
    }

    /// A switch was refused, or something was thrown into this greenlet.
    #[cold]
    #[inline(never)]
    unsafe fn not_woken(
        &self,
        me: *const Record,
        here: *const Core,
        next: *const Record,
        error: SwitchError<Wake>,
    ) -> Result<(), WaitError> {
        // SAFETY: as in `switch`; when it was refused, nothing has changed since.
        unsafe {
            match error {
                SwitchError::Refused(why, Wake) => {
                    self.arrived.set(true);
                    self.current.set(me);
                    (*next).state.set(State::Ready);
                    self.ready.push_front(next);
                    if here != (*me).root.get() {
                        self.goes_on_at(me, (*me).root.get());
                    }
                    Err(WaitError::Refused(why))
                }
                SwitchError::Thrown(payload) => self.came_by_itself(me, here, payload),
            }
        }
    }

    /// Something was thrown into this greenlet, in which `me` was suspended, by another than the scheduler.
    ///
    /// - By the trace hook, when it was woken.
    /// - By a kill in place. That is nested: the current tasklet remains the one that kills.
    /// - By a greenlet that has its parent here, which panicked, or returned something. Then `me` runs from now on.
    unsafe fn came_by_itself(&self, me: *const Record, here: *const Core, payload: Payload) -> ! {
        // SAFETY: the caller of `switch` holds `me`.
        unsafe {
            let before = self.current.get();
            let state = (*me).state.get();
            if state != State::Finished {
                if before != me || state != State::Running {
                    self.uproot(me);
                    (*me).state.set(State::Running);
                    if !switch::is_being_killed(here) {
                        if !self.arrived.get() && before != me {
                            // One finished, and there was no memory for its successor; main has to hear of it.
                            (*before).state.set(State::Ready);
                            self.ready.push_front(before);
                        }
                        self.current.set(me);
                    }
                }
                self.arrived.set(true);
                let resume = (*me).resume.get();
                if resume != (*me).root.get() {
                    (*resume).hold();
                    self.goes_on_at(me, (*me).root.get());
                    unwind::quietly(|| Core::release(resume));
                }
                unwind::discard((*me).pending.take());
            }
            unwind::resume(payload)
        }
    }

    /// The current tasklet is over before it could choose a successor: main is the current one.
    pub(super) unsafe fn back_to_main(&self) {
        let main = self.main();
        // SAFETY: main is valid.
        unsafe {
            self.uproot(main);
            (*main).state.set(State::Running);
        }
        self.current.set(main);
        self.arrived.set(true);
    }

    /// A tasklet's closure is over, in its root, which will go to its parent for ever when this has returned. False if there is nobody
    /// there who waits for a [`Wake`]: main was taken away from the scheduler.
    ///
    /// # Safety
    ///
    /// `record` is valid, and the running greenlet is its root.
    pub(super) unsafe fn finish(&self, record: *const Record) -> bool {
        // SAFETY: as said. Whatever is the user's is dropped before the tasklet is over and its successor chosen.
        unsafe {
            let here = (*self.runtime).current();
            let main = &raw const (*self.runtime).main;
            while (*here).parent.get() != main {
                unwind::quietly(|| Core::set_parent(here, main)); // drops what was kept for this only
            }
            if !self.ended.get() {
                (*here).hold();
                let before = self.dead.replace(here);
                if !before.is_null() {
                    Core::release(before);
                }
            }
            let current = self.current.get() == record;
            self.complete(record);
            if switch::is_being_killed(here) {
                debug_assert!(!current);
                return true; // nested: it goes to the killer
            }
            let mut next = self.ready.pop_front();
            if next.is_null() {
                next = self.successor_main(ptr::null());
            }
            if next.is_null() {
                self.back_to_main();
                return false;
            }
            self.current.set(next);
            self.arrived.set(false);
            (*next).state.set(State::Running);
            self.leave_for((*next).resume.get(), here);
            true
        }
    }

    /// Makes `target` the parent of `here`, which is about to finish.
    unsafe fn leave_for(&self, target: *const Core, here: *const Core) {
        // SAFETY: ancestors are held by their children. Nobody is let go: main is never freed here, and `here` runs.
        unsafe {
            let main = &raw const (*self.runtime).main;
            let mut ancestor = target;
            while !(*ancestor).is_main() {
                let parent = (*ancestor).parent.get();
                if parent == here {
                    Core::set_parent(ancestor, main); // as if `here` had finished before
                    break;
                }
                ancestor = parent;
            }
            if target != main {
                Core::set_parent(here, target);
            }
        }
    }

    /// From now on it is finished: who waits for its end is ready, its greenlet is let go.
    ///
    /// # Safety
    ///
    /// It is valid and has not finished, its result is in place, and it has its count for being continued, which is given back.
    pub(super) unsafe fn complete(&self, record: *const Record) {
        // SAFETY: as said. The record is held until the end by that count, and the scheduler by the root.
        unsafe {
            self.uproot(record);
            (*record).state.set(State::Finished);
            let root = (*record).root.replace(ptr::null());
            let resume = (*record).resume.replace(ptr::null());
            super::join::wake(self, record);
            unwind::discard((*record).pending.take());
            if resume != root && !resume.is_null() {
                // A generator, say, in which it waited as it was killed.
                unwind::quietly(|| Core::release(resume));
            }
            Record::release(record);
            if !root.is_null() {
                unwind::quietly(|| Core::release(root));
            }
        }
    }

    /// What everybody waits for, main first.
    pub(super) fn deadlock(&self) -> Deadlock {
        let mut blocked = Vec::new();
        let main = self.main();
        // SAFETY: what is in the list is valid.
        unsafe {
            if matches!((*main).state.get(), State::Blocked | State::Paused) {
                blocked.push(self.describe(main));
            }
            let mut record = self.blocked.first();
            while !record.is_null() && blocked.len() < Deadlock::MOST {
                if record != main {
                    blocked.push(self.describe(record));
                }
                record = (*record).next.get();
            }
            let paused = (*main).state.get() == State::Paused;
            Deadlock::new(blocked, self.blocked.len() + usize::from(paused))
        }
    }

    /// What one waits for.
    ///
    /// # Safety
    ///
    /// It is valid.
    pub(super) unsafe fn describe(&self, record: *const Record) -> Blocked {
        // SAFETY: nobody changes what it waits for meanwhile.
        unsafe {
            let all = match &*(*record).wait.get() {
                _ if (*record).state.get() != State::Blocked => Vec::new(),
                Wait::Nothing => Vec::new(),
                Wait::One(queue, index) => alloc::vec![queue.describe(*index)],
                Wait::Many(all) => {
                    all.iter().map(|(queue, index)| queue.describe(*index)).collect()
                }
            };
            let waits = all
                .into_iter()
                .map(|(operation, with, made)| WaitsFor { operation, with, made })
                .collect();
            let paused = (*record).state.get() == State::Paused;
            Blocked { tasklet: self.name(record), at: (*record).at.get(), paused, waits }
        }
    }

    /// What a tasklet is called in reports.
    ///
    /// # Safety
    ///
    /// It is valid.
    pub(super) unsafe fn name(&self, record: *const Record) -> String {
        // SAFETY: nobody changes the name meanwhile.
        let name = unsafe { (*(*record).name.get()).as_deref() };
        // SAFETY: as above.
        match (unsafe { (*record).number }, name) {
            (0, None) => "main".to_owned(),
            (0, Some(name)) => format!("main `{name}`"),
            (number, None) => format!("tasklet {number}"),
            (number, Some(name)) => format!("tasklet {number} `{name}`"),
        }
    }

    /// The thread ends: kills whoever waits for his turn, a channel or an end. (Those that are paused are among the thread's
    /// greenlets.)
    pub(crate) fn end(&self) {
        if self.current.get().is_null() {
            return;
        }
        // SAFETY: what is in the lists is valid. Each turn takes one out.
        unsafe {
            self.back_to_main();
            loop {
                let record = match self.ready.first() {
                    first if first.is_null() => self.blocked.first(),
                    first => first,
                };
                if record.is_null() {
                    break;
                }
                unwind::quietly(|| Record::kill_in_place(record));
            }
            self.ended.set(true);
            let dead = self.dead.replace(ptr::null());
            if !dead.is_null() {
                unwind::quietly(|| Core::release(dead));
            }
        }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        let main = self.main.get();
        if !main.is_null() {
            // SAFETY: the count of main for being continued.
            unsafe {
                (*main).state.set(State::Finished);
                (*main).root.set(ptr::null());
                (*main).resume.set(ptr::null());
                Record::release(main);
            }
        }
    }
}

/// The current tasklet, as its frames know it while it waits. Those in its root end before it does. Those in a greenlet that it
/// calls may be left behind, so they hold it.
pub(super) struct Me {
    pub(super) record: *const Record,
    counted: bool,
}

impl Me {
    #[inline(always)]
    pub(super) fn of(scheduler: &Scheduler) -> Me {
        let record = scheduler.current();
        // SAFETY: the current one is valid.
        unsafe {
            let counted = (*scheduler.runtime).current() != (*record).root.get();
            if counted {
                (*record).add_frame();
            }
            Me { record, counted }
        }
    }
}

impl Drop for Me {
    #[inline(always)]
    fn drop(&mut self) {
        if self.counted {
            // SAFETY: the frame is its own.
            unsafe { Record::remove_frame(self.record) };
        }
    }
}
