//! Who waits at a channel or for a tasklet's end, with what they have to send or are given.
//!
//! An entry lies here, in the heap, and not in the frames of the one that waits: those may not be at their addresses
//! while somebody else looks. An entry belongs to the operation that made it, which frees it; whoever meets it takes it out of its line
//! and leaves its outcome.

use super::record::Record;
use crate::error::OutOfMemory;
use alloc::vec::Vec;

/// The number of an entry.
pub(super) type Index = u32;
const NONE: Index = Index::MAX;

/// How far an entry has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mark {
    /// It is in its line.
    Waiting,
    /// It was met: a sender's message has been taken, or a receiver's put in.
    Met,
    /// The channel was closed.
    Closed,
    /// The operation was interrupted, or another one of the same select was met.
    Withdrawn,
}

struct Entry<M> {
    /// Whose it is. Valid as long as the entry is in a line.
    record: *const Record,
    message: Option<M>,
    mark: Mark,
    prev: Index,
    /// The next in line, or of the free ones.
    next: Index,
}

/// Entries, all that share a line or two.
pub(super) struct Waiters<M> {
    entries: Vec<Entry<M>>,
    free: Index,
}

/// The ends of one line. First come, first served.
#[derive(Clone, Copy)]
pub(super) struct Line {
    first: Index,
    last: Index,
    len: u32,
}

impl Line {
    pub(super) const fn new() -> Line {
        Line { first: NONE, last: NONE, len: 0 }
    }

    pub(super) fn len(&self) -> u32 {
        self.len
    }
}

impl<M> Waiters<M> {
    pub(super) const fn new() -> Self {
        Waiters { entries: Vec::new(), free: NONE }
    }

    /// A new entry at the end of `line`.
    #[inline]
    pub(super) fn push(
        &mut self,
        line: &mut Line,
        record: *const Record,
        message: Option<M>,
    ) -> Result<Index, (OutOfMemory, Option<M>)> {
        if self.free == NONE
            && let Err(OutOfMemory) = self.grow()
        {
            return Err((OutOfMemory, message));
        }
        let index = self.free;
        let entry = &mut self.entries[index as usize];
        self.free = entry.next;
        *entry = Entry { record, message, mark: Mark::Waiting, prev: line.last, next: NONE };
        match line.last {
            NONE => line.first = index,
            last => self.entries[last as usize].next = index,
        }
        line.last = index;
        line.len += 1;
        Ok(index)
    }

    /// Makes a free entry. Most channels never have more than one that waits.
    #[cold]
    #[inline(never)]
    fn grow(&mut self) -> Result<(), OutOfMemory> {
        let len = self.entries.len();
        if len >= NONE as usize {
            return Err(OutOfMemory);
        }
        let reserved =
            if len == 0 { self.entries.try_reserve_exact(1) } else { self.entries.try_reserve(1) };
        reserved.map_err(|_| OutOfMemory)?;
        let record = core::ptr::null();
        let mark = Mark::Withdrawn;
        self.entries.push(Entry { record, message: None, mark, prev: NONE, next: self.free });
        self.free = len as Index;
        Ok(())
    }

    /// The first in line, and whose it is.
    #[inline]
    pub(super) fn first(&self, line: &Line) -> Option<(Index, *const Record)> {
        (line.first != NONE).then(|| (line.first, self.entries[line.first as usize].record))
    }

    /// Takes an entry out of its line, if it is there, and marks it.
    #[inline]
    pub(super) fn unlink(&mut self, line: &mut Line, index: Index, mark: Mark) {
        let entry = &mut self.entries[index as usize];
        if entry.mark != Mark::Waiting {
            return;
        }
        entry.mark = mark;
        let (prev, next) = (entry.prev, entry.next);
        match prev {
            NONE => line.first = next,
            prev => self.entries[prev as usize].next = next,
        }
        match next {
            NONE => line.last = prev,
            next => self.entries[next as usize].prev = prev,
        }
        line.len -= 1;
    }

    pub(super) fn mark(&self, index: Index) -> Mark {
        self.entries[index as usize].mark
    }

    pub(super) fn message(&mut self, index: Index) -> &mut Option<M> {
        &mut self.entries[index as usize].message
    }

    /// Gives an entry back that is in no line. What it still has is the caller's.
    #[inline]
    pub(super) fn release(&mut self, index: Index) -> (Mark, Option<M>) {
        let entry = &mut self.entries[index as usize];
        debug_assert_ne!(entry.mark, Mark::Waiting);
        entry.next = self.free;
        self.free = index;
        (entry.mark, entry.message.take())
    }
}
