//! Waiting for the end of a tasklet.
//!
//! It must never know what a tasklet returns.

use super::error::{Operation, WaitError};
use super::record::{Queue, Record, State, Wait, wait_over};
use super::scheduler::{Me, Scheduler};
use super::waiters::{Index, Line, Mark, Waiters};
use crate::error::{OutOfMemory, Refused};
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::RefCell;
use core::panic::Location;

/// Who waits for the end of one tasklet.
pub(super) struct Joiners {
    waiting: RefCell<(Waiters<()>, Line)>,
    /// Valid as long as anybody waits.
    of: *const Record,
}

impl Queue for Joiners {
    fn withdraw(&self, index: Index) {
        let (waiters, line) = &mut *self.waiting.borrow_mut();
        waiters.unlink(line, index, Mark::Withdrawn);
    }

    fn describe(&self, _: Index) -> (Operation, String, &'static Location<'static>) {
        // SAFETY: the one that waits has a handle.
        unsafe {
            let scheduler = &*super::scheduler::scheduler();
            (Operation::Join, scheduler.name(self.of), (*self.of).spawned)
        }
    }
}

/// The current tasklet waits for the end of `of`.
///
/// # Safety
///
/// The caller holds `of`.
pub(super) unsafe fn wait(
    scheduler: &Scheduler,
    of: *const Record,
    at: &'static Location<'static>,
) -> Result<(), WaitError> {
    /// The entry, which is given back however the wait ends.
    struct Registered {
        joiners: Rc<Joiners>,
        index: Index,
        me: Me,
    }
    impl Drop for Registered {
        fn drop(&mut self) {
            self.joiners.waiting.borrow_mut().0.release(self.index);
            // SAFETY: the record is valid, and its entry has been given back.
            unsafe { wait_over(self.me.record) };
        }
    }
    // SAFETY: records are valid as long as they are held.
    unsafe {
        if (*of).state.get() == State::Finished {
            return Ok(());
        }
        if let Some(why) = scheduler.stuck() {
            return Err(WaitError::Refused(why));
        }
        let me = Me::of(scheduler);
        let joiners = (*(*of).joiners.get()).get_or_insert_with(|| {
            Rc::new(Joiners { waiting: RefCell::new((Waiters::new(), Line::new())), of })
        });
        let joiners = joiners.clone();
        let pushed = {
            let (waiters, line) = &mut *joiners.waiting.borrow_mut();
            waiters.push(line, me.record, None)
        };
        let index = pushed.map_err(|(OutOfMemory, _)| WaitError::Refused(Refused::OutOfMemory))?;
        let registered = Registered { joiners, index, me };
        *(*registered.me.record).wait.get() = Wait::One(registered.joiners.clone(), index);
        let waited = scheduler.block(at);
        drop(registered);
        waited
    }
}

/// Whoever waits for the end of `of` is ready, in the order in which they came.
///
/// # Safety
///
/// It is valid.
pub(super) unsafe fn wake(scheduler: &Scheduler, of: *const Record) {
    // SAFETY: whoever is in line is blocked. Nothing of the user's runs.
    unsafe {
        let Some(joiners) = (*(*of).joiners.get()).take() else { return };
        let (waiters, line) = &mut *joiners.waiting.borrow_mut();
        while let Some((index, record)) = waiters.first(line) {
            waiters.unlink(line, index, Mark::Met);
            scheduler.unblock(record);
            scheduler.enqueue(record);
        }
    }
}
