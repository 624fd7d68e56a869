//! A list of tasklets through links in their records: no allocation, so that waking somebody cannot fail.
//!
//! It must never know what its members wait for. A record is in one list at most.

use super::record::Record;
use core::cell::Cell;
use core::ptr;

/// First in, first out; any member can be taken out.
pub(super) struct List {
    first: Cell<*const Record>,
    last: Cell<*const Record>,
    len: Cell<usize>,
}

impl List {
    pub(super) const fn new() -> List {
        List { first: Cell::new(ptr::null()), last: Cell::new(ptr::null()), len: Cell::new(0) }
    }

    pub(super) fn len(&self) -> usize {
        self.len.get()
    }

    /// The first, or null.
    pub(super) fn first(&self) -> *const Record {
        self.first.get()
    }

    /// # Safety
    ///
    /// The record is valid as long as it is in the list, and is in none now. So below.
    #[inline]
    pub(super) unsafe fn push_back(&self, record: *const Record) {
        let before = self.last.replace(record);
        // SAFETY: what is in the list is valid.
        unsafe {
            (*record).prev.set(before);
            (*record).next.set(ptr::null());
            if before.is_null() {
                self.first.set(record);
            } else {
                (*before).next.set(record);
            }
        }
        self.len.set(self.len.get() + 1);
    }

    /// # Safety
    ///
    /// As for [`push_back`](Self::push_back).
    pub(super) unsafe fn push_front(&self, record: *const Record) {
        let after = self.first.replace(record);
        // SAFETY: what is in the list is valid.
        unsafe {
            (*record).prev.set(ptr::null());
            (*record).next.set(after);
            if after.is_null() {
                self.last.set(record);
            } else {
                (*after).prev.set(record);
            }
        }
        self.len.set(self.len.get() + 1);
    }

    /// Takes out the first; null if there is none.
    ///
    /// # Safety
    ///
    /// As for [`push_back`](Self::push_back).
    #[inline]
    pub(super) unsafe fn pop_front(&self) -> *const Record {
        let first = self.first.get();
        if !first.is_null() {
            // SAFETY: what is in the list is valid.
            unsafe { self.unlink(first) };
        }
        first
    }

    /// # Safety
    ///
    /// The record is in this list.
    #[inline]
    pub(super) unsafe fn unlink(&self, record: *const Record) {
        // SAFETY: it is valid, and so are its neighbours.
        unsafe {
            let (prev, next) = ((*record).prev.get(), (*record).next.get());
            if prev.is_null() {
                self.first.set(next);
            } else {
                (*prev).next.set(next);
            }
            if next.is_null() {
                self.last.set(prev);
            } else {
                (*next).prev.set(prev);
            }
        }
        self.len.set(self.len.get() - 1);
    }
}
