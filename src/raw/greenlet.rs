//! The record of one greenlet: its stretch of the stack, and the slice buffer that holds what of
//! that stretch was saved.

use super::stack::nowhere;
use super::{Memory, Stack, copy, tools};
use core::ptr;

/// A slice buffer is made smaller when this many saves in a row used less than a quarter of it.
const LEAN_SAVES: u8 = 16;

/// Buffers are multiples of this many bytes; below it nothing is worth shrinking.
const GRAIN: usize = 16;

/// In a buffer of at least this size the bytes lie in their cache lines as they do on the stack: a copy is then a
/// quarter faster on Zen 4.
const LARGE: usize = 4096;
const LINE: usize = 64;

/// One flow of control, as the engine sees it.
///
/// The host embeds it in an object of its own. It stays where it is from its start until it has finished or was released.
///
/// ```text
///   stop  ─┐
///          │  still on the stack
///   start + saved ─┤
///          │  saved: in `buffer`, in the same order
///   start ─┘
/// ```
///
/// While it runs nothing of it is saved, and `start` means nothing.
#[repr(C)]
#[derive(Debug)]
pub struct Greenlet {
    /// The stack on which it lives; [`nowhere`] before its start and after its end.
    pub(super) stack: *mut Stack,
    /// Where its registers are, while it is suspended: the lowest address of its stretch.
    pub(super) start: usize,
    /// The address just above its stretch.
    pub(super) stop: usize,
    /// How many bytes, from `start` on, are in `buffer` and not on the stack.
    pub(super) saved: usize,
    pub(super) buffer: *mut u8,
    pub(super) capacity: usize,
    /// The next higher one with bytes on the same stack.
    pub(super) next: *mut Greenlet,
    /// How many saves in a row used less than a quarter of the buffer.
    lean: u8,
    /// The buffer is the host's: never resized, never freed.
    lent: bool,
    /// How far into its block the buffer begins: less than a cache line, and 0 unless it is large.
    shift: u8,
    /// What may be saved in line: from `least` bytes to so many more. See [`Greenlet::has_capacity`].
    least: u16,
    range: u16,
    pub(super) kept: tools::Kept,
}

impl Greenlet {
    /// A greenlet that has not begun.
    pub const fn new() -> Greenlet {
        Greenlet {
            stack: nowhere(),
            start: 0,
            stop: 0,
            saved: 0,
            buffer: ptr::null_mut(),
            capacity: 0,
            next: ptr::null_mut(),
            lean: 0,
            lent: false,
            shift: 0,
            least: u16::MAX,
            range: 0,
            kept: tools::Kept::NEW,
        }
    }

    /// Sets the capacity, and with it what may be saved in line: what fits the buffer (see [`fits`](Self::fits)) and is
    /// little. Two numbers, so that a switch compares once.
    fn has_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
        let (least, most) = (capacity / 4, capacity.min(copy::in_line()));
        // Where there is no such size: more than any that is little, so that the comparison wraps around.
        (self.least, self.range) = match least <= most && most != 0 {
            true => (least as u16, (most - least) as u16),
            false => (u16::MAX, 0),
        };
    }

    /// The size of the block that holds a buffer of `capacity` bytes wherever it begins.
    const fn block_size(capacity: usize) -> usize {
        if capacity < LARGE { capacity } else { capacity + LINE - copy::ALIGN }
    }

    /// The block that the buffer is in.
    fn block(&self) -> *mut u8 {
        self.buffer.wrapping_sub(self.shift as usize)
    }

    /// Makes `size` bytes at `buffer` the slice buffer, for hosts without an allocator. A slice
    /// that does not fit is an allocation failure. What is not aligned to [`BUFFER_ALIGN`](super::BUFFER_ALIGN) at
    /// either end is not used.
    ///
    /// # Safety
    ///
    /// The memory is valid and nobody else's until the greenlet has finished or was released, and
    /// the greenlet has not begun or has never been saved.
    pub unsafe fn lend_buffer(&mut self, buffer: *mut u8, size: usize) {
        debug_assert!(self.buffer.is_null());
        let skipped = buffer.align_offset(copy::ALIGN).min(size);
        self.buffer = buffer.wrapping_add(skipped);
        self.has_capacity((size - skipped) & !(copy::ALIGN - 1));
        self.lent = true;
    }

    /// Whether it has begun and not finished: it runs or is suspended.
    pub fn is_active(&self) -> bool {
        !ptr::eq(self.stack, nowhere())
    }

    /// The stack on which it lives, or null when it is not active.
    pub fn stack(&self) -> *mut Stack {
        if self.is_active() { self.stack } else { ptr::null_mut() }
    }

    /// Its stack start (lowest address) and stack stop, in this order. The start is stale while it runs.
    pub fn stretch(&self) -> (usize, usize) {
        (self.start, self.stop)
    }

    /// How many bytes of its stretch are in its slice buffer and not on the stack.
    pub fn saved(&self) -> usize {
        self.saved
    }

    /// The size of its slice buffer in bytes, used or not.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Where the byte that a suspended greenlet had at `address` is now, and how many bytes from there on lie
    /// together. `None` outside its stretch.
    ///
    /// The pointer holds until the next switch on this thread. Writing through it changes what the greenlet will
    /// see when it goes on.
    pub fn locate(&self, address: usize) -> Option<(*mut u8, usize)> {
        if !self.is_active() || address < self.start || address >= self.stop {
            return None;
        }
        let offset = address - self.start;
        Some(if offset < self.saved {
            (self.buffer.wrapping_add(offset), self.saved - offset)
        } else {
            (ptr::with_exposed_provenance_mut(address), self.stop - address)
        })
    }

    /// Copies what a suspended greenlet had at `address` and above into `to`. False, and nothing
    /// copied, if any of it lies outside its stretch.
    ///
    /// # Safety
    ///
    /// The greenlet is suspended, and the calling thread is the one that it belongs to.
    pub unsafe fn read(&self, mut address: usize, mut to: &mut [u8]) -> bool {
        let inside = address >= self.start && address <= self.stop;
        if !inside || self.stop - address < to.len() {
            return to.is_empty();
        }
        while !to.is_empty() {
            let Some((from, together)) = self.locate(address) else { return false };
            let n = together.min(to.len());
            // SAFETY: `locate` gives `together` bytes; `to` is exclusive and lies elsewhere.
            unsafe { tools::copy(from, to.as_mut_ptr(), n) };
            to = &mut to[n..];
            address += n;
        }
        true
    }

    /// Whether the buffer takes `need` bytes as it is, and is not far too large for them.
    #[inline(always)]
    fn fits(&self, need: usize) -> bool {
        need <= self.capacity && need >= self.capacity / 4
    }

    /// Whether `need` bytes, which are not none, may be saved as the buffer is: it fits, and, unless they may be `MUCH`, they are
    /// few enough to be copied in line. If so, they have to be saved.
    #[inline(always)]
    pub(super) fn takes<const MUCH: bool>(&mut self, need: usize) -> bool {
        let takes = match MUCH {
            true => self.fits(need),
            false => !tools::ON && need.wrapping_sub(self.least as usize) <= self.range as usize,
        };
        if takes {
            self.lean = 0;
        }
        takes
    }

    /// Saves the first `need` bytes, of which nothing was saved. They may be none.
    ///
    /// # Safety
    ///
    /// [`takes`](Self::takes) said yes to this `need` if it is not 0; `start` is its start, and all the bytes are in place.
    #[inline(always)]
    pub(super) unsafe fn save_in_line(&mut self, start: usize, need: usize) {
        // SAFETY: the buffer is large enough; stack and buffer do not overlap.
        unsafe { copy::out(ptr::with_exposed_provenance(start), self.buffer, need) };
        self.saved = need;
    }

    /// Makes sure that the buffer takes the bytes from `start` up to `end`. Changes nothing but the buffer's size.
    pub(super) fn reserve(&mut self, end: usize, memory: &Memory) -> bool {
        let need = end - self.start;
        if self.fits(need) {
            self.lean = 0;
            return true;
        }
        self.resize_for(need, memory)
    }

    #[cold]
    #[inline(never)]
    fn resize_for(&mut self, need: usize, memory: &Memory) -> bool {
        let fits = need <= self.capacity;
        if self.lent {
            return fits;
        }
        let rounded = |n: usize| n.checked_next_multiple_of(GRAIN);
        let size = if fits {
            self.lean += 1;
            if self.lean < LEAN_SAVES || self.capacity <= GRAIN * 4 || self.saved != 0 {
                self.lean = self.lean.min(LEAN_SAVES);
                return true;
            }
            rounded(need)
        } else if self.saved != 0 {
            // Saved bit by bit as others reach higher: grow by half, so that each byte is copied
            // a bounded number of times.
            rounded(need.max(self.capacity + self.capacity / 2))
        } else {
            rounded(need)
        };
        self.lean = 0;
        let Some(size) = size.filter(|&size| size <= isize::MAX as usize) else { return false };
        let (old, new) = (Self::block_size(self.capacity), Self::block_size(size));
        // SAFETY: the block and its size are what `resize` last gave, or null and 0.
        let block = unsafe { (memory.resize)(memory.ctx, self.block(), old, new) };
        if block.is_null() {
            return fits; // could not shrink: no harm
        }
        if self.saved == 0 {
            self.shift = 0;
        }
        // What is saved stays where it was in the block: then the buffer has only grown.
        self.buffer = block.wrapping_add(self.shift as usize);
        self.has_capacity(size);
        true
    }

    /// Copies the bytes from `start + saved` up to `end` off the stack.
    ///
    /// # Safety
    ///
    /// The bytes are in place, and [`reserve`](Self::reserve) said yes to this `end`.
    pub(super) unsafe fn save_up_to(&mut self, end: usize) {
        let from = self.start + self.saved;
        if from < end {
            if self.saved == 0 && self.capacity >= LARGE && !self.lent {
                let block = self.block();
                self.shift = (from.wrapping_sub(block.addr()) % LINE) as u8;
                self.buffer = block.wrapping_add(self.shift as usize);
            }
            // SAFETY: `reserve` made the buffer large enough; stack and buffer do not overlap.
            unsafe {
                self.kept.take(self.saved, from, end);
                ptr::copy_nonoverlapping(
                    ptr::with_exposed_provenance(from),
                    self.buffer.add(self.saved),
                    end - from,
                );
            }
            self.saved = end - self.start;
        }
    }

    /// Copies all that was saved back in place, if it is little.
    ///
    /// # Safety
    ///
    /// `start` is its start. The running code's own frames lie below it, and nobody else has bytes in place below `stop`.
    #[inline(always)]
    pub(super) unsafe fn restore_in_line(&mut self, start: usize) -> bool {
        let saved = self.saved;
        if tools::ON || !copy::is_in_line(saved) {
            return false;
        }
        self.saved = 0;
        // SAFETY: the stretch is free to be written; the buffer holds `saved` bytes of it.
        unsafe {
            copy::back(self.buffer, ptr::with_exposed_provenance_mut(start), saved);
        }
        true
    }

    /// Copies all that was saved back in place.
    ///
    /// # Safety
    ///
    /// As for [`restore_in_line`](Self::restore_in_line).
    #[inline(always)]
    pub(super) unsafe fn restore(&mut self) {
        // SAFETY: as there.
        unsafe {
            tools::clear(self.start, self.start + self.saved);
            copy::downwards(self.buffer, ptr::with_exposed_provenance_mut(self.start), self.saved);
            self.kept.put(self.start, self.saved);
        }
        self.saved = 0;
    }

    /// Frees the buffer and makes the record one that has not begun.
    #[inline(always)]
    pub(super) fn reset(&mut self, memory: &Memory) {
        if self.capacity == 0 && !tools::ON {
            // What belongs to a buffer is as new.
            (self.stack, self.start, self.stop) = (nowhere(), 0, 0);
            (self.saved, self.next) = (0, ptr::null_mut());
        } else {
            self.reset_with_buffer(memory);
        }
    }

    #[inline(never)]
    fn reset_with_buffer(&mut self, memory: &Memory) {
        if self.capacity != 0 && !self.lent {
            // SAFETY: the block came from this `memory` with this size, and is forgotten here.
            unsafe {
                (memory.resize)(memory.ctx, self.block(), Self::block_size(self.capacity), 0)
            };
        }
        self.kept.free();
        *self = if self.lent {
            Greenlet {
                buffer: self.buffer,
                capacity: self.capacity,
                lent: true,
                least: self.least,
                range: self.range,
                ..Self::new()
            }
        } else {
            Self::new()
        };
    }
}

impl Default for Greenlet {
    fn default() -> Self {
        Self::new()
    }
}
