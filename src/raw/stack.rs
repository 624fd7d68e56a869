//! A machine stack that greenlets share: which of them still have bytes on it.

#[cfg(windows)]
use super::bounds::Bounds;
use super::{Greenlet, Thread, tools};
use core::ptr;

/// A machine stack that greenlets of one thread share: the thread's native one, or memory that the host adds.
///
/// ```text
///   top ─┐  (high addresses; stacks grow down)
///        │ ░░░░ A's bytes     ◄─ A.stop = top
///        │ ░░░░               ◄─ end of what of A is saved
///        │ ▓▓▓▓ B's bytes     ◄─ B.stop
///        │ ▓▓▓▓               ◄─ B.start, or B is running
/// bottom ┘                       head = B, B.next = A, A.next = null
/// ```
///
/// The list from `head` on is the greenlets that have bytes in place, ordered by stack stop, lowest first.
/// Of each only the bytes at and above the stop of the one before it can still be in place.
#[repr(C)]
#[derive(Debug)]
pub struct Stack {
    pub(super) thread: *mut Thread,
    pub(super) head: *mut Greenlet,
    pub(super) top: usize,
    pub(super) bottom: usize,
    /// What the thread block is to say while this stack runs. Of the native one: what it said when it was left.
    #[cfg(windows)]
    pub(super) bounds: Bounds,
    pub(super) fiber: tools::Fiber,
}

/// Where greenlets are that have not begun or have finished: a stack that belongs to no thread and has no head. So whoever looks for
/// the thread or the head of a greenlet's stack need not ask first whether the greenlet is active.
struct Nowhere(Stack);

// SAFETY: nobody writes to it.
unsafe impl Sync for Nowhere {}

static NOWHERE: Nowhere = Nowhere(Stack::new());

/// The stack of those that are not active. It must never be written to.
pub(super) const fn nowhere() -> *mut Stack {
    (&raw const NOWHERE.0).cast_mut()
}

impl Stack {
    /// A stack that belongs to nobody yet; see [`Stack::attach`].
    pub const fn new() -> Stack {
        Stack {
            thread: ptr::null_mut(),
            head: ptr::null_mut(),
            top: 0,
            bottom: 0,
            #[cfg(windows)]
            bounds: Bounds::new(0, 0, 0),
            fiber: tools::Fiber::NEW,
        }
    }

    /// Gives the stack its memory, from `bottom` up to `bottom + size`, and makes it one of `thread`'s.
    /// The top is rounded down to [`STACK_ALIGN`](super::STACK_ALIGN).
    ///
    /// # Safety
    ///
    /// The memory is valid for reads and writes and nobody else uses it, `thread` is valid, the stack has no
    /// greenlet, and thread, stack and memory stay where they are until the last greenlet
    /// that begins on this stack has finished or was released.
    ///
    /// Nothing here stops a greenlet from using more than `size`: a page that cannot be
    /// written below `bottom` does, where there is a memory management unit.
    pub unsafe fn attach(&mut self, thread: *mut Thread, bottom: *mut u8, size: usize) {
        self.thread = thread;
        self.head = ptr::null_mut();
        self.bottom = bottom.expose_provenance();
        self.top = (self.bottom + size) & !(super::STACK_ALIGN - 1);
        self.fiber.attached(self.bottom, self.top);
        #[cfg(windows)]
        {
            self.bounds = Bounds::new(self.top, self.bottom, self.bottom);
        }
    }

    /// Nobody is on the stack any more, and its memory is going to be something else.
    #[cfg(feature = "std")]
    pub(crate) fn forget(&mut self) {
        self.fiber.forget();
    }

    /// Says that the stack's memory is committed by the system as it is needed, as that of Windows' own stacks: so
    /// far down to `limit`, with guard pages below it, in what `VirtualAlloc` has reserved at `allocation`.
    /// Called after [`Stack::attach`]; without it all of the memory has to be committed.
    ///
    /// # Safety
    ///
    /// It is so. `allocation` is at or below the bottom, `limit` at or above it, and there are as many guard pages as the
    /// thread's guarantee (`SetThreadStackGuarantee`) asks for.
    #[cfg(windows)]
    pub unsafe fn grows_on_demand(&mut self, allocation: *mut u8, limit: *mut u8) {
        self.bounds.allocation = allocation.expose_provenance();
        self.bounds.limit = limit.expose_provenance();
    }

    /// Whether any greenlet has bytes in place on this stack, running or suspended.
    pub fn is_occupied(&self) -> bool {
        !self.head.is_null()
    }

    /// Whether less than a quarter of the stack lies below `address`. A native stack, whose bounds nobody knows, never is.
    pub(super) fn is_nearly_full(&self, address: usize) -> bool {
        address.wrapping_sub(self.bottom) < (self.top - self.bottom) / 4
    }

    /// The addresses of the stack: bottom and top. Zero for a native stack, whose bounds the engine need not know.
    pub fn bounds(&self) -> (usize, usize) {
        (self.bottom, self.top)
    }
}

impl Default for Stack {
    fn default() -> Self {
        Self::new()
    }
}
