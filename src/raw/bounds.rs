//! The bounds of the running stack in Windows' thread block (TEB), and how they follow the running stack. On every other system there
//! is nothing to do, and nothing is done.
//!
//! Windows looks at them when the guard page below a stack's committed part is touched (it then commits
//! more), when it walks frames for an exception (a frame outside is not one), and in `__chkstk`. So they must be those of the
//! stack that runs. On the native one they are never touched: they are read when it is left for another stack, and written back when it
//! runs again.
//!
//! ```text
//!   base        ─┐  top
//!                │  committed
//!   limit       ─┤
//!                │  guard pages: the next ones to be committed
//!                │  reserved
//!   allocation  ─┘  what VirtualAlloc has given
//! ```
//!
//! With them goes the list of exception handlers, whose entries lie in stack frames and must be within the bounds. On 32-bit x86 it
//! belongs to each greenlet, so the assembly keeps it. Elsewhere handlers are found by tables, and Windows leaves the
//! list empty; but Wine has its own handlers there, and tells by comparing addresses of two stacks which of them come
//! next. So a separate stack has an empty list. (A greenlet that is suspended in a callback of one of Wine's functions leaves its
//! entries to the others of its stack. Keeping them apart would cost every slice 16 bytes on Windows, which has no such entries.)
//!
//! This file must never know whose bytes are on a stack.

use super::Stack;

/// What the thread block says of a stack.
#[cfg(windows)]
#[repr(C)]
#[derive(Debug)]
pub(super) struct Bounds {
    #[cfg(not(target_arch = "x86"))]
    handlers: usize,
    pub(super) base: usize,
    pub(super) limit: usize,
    pub(super) allocation: usize,
}

#[cfg(windows)]
impl Bounds {
    /// Those of a stack on which nothing has run.
    pub(super) const fn new(base: usize, limit: usize, allocation: usize) -> Bounds {
        Bounds {
            #[cfg(not(target_arch = "x86"))]
            handlers: usize::MAX, // the end of the list
            base,
            limit,
            allocation,
        }
    }
}

/// The running stack is about to be `to` and not `from`. It is called as the last thing that happens on the old one, so that no frame is made
/// on either while the bounds are the other's: a frame could touch a guard page.
///
/// # Safety
///
/// Both are valid; `from` is the stack that runs.
#[cfg(windows)]
#[inline(always)]
pub(super) unsafe fn follow(from: *mut Stack, to: *const Stack) {
    if !core::ptr::eq(from, to) {
        // SAFETY: both are valid. Those of `from` are kept first: it may have grown.
        unsafe {
            (*from).bounds = block::read();
            block::write(&(*to).bounds);
        }
    }
}

#[cfg(not(windows))]
#[inline(always)]
pub(super) unsafe fn follow(_: *mut Stack, _: *const Stack) {}

/// The words, by the thread register. Their places are part of Windows' ABI: compilers and `__chkstk` have them built in.
#[cfg(windows)]
mod block {
    use super::Bounds;
    use core::arch::asm;

    #[cfg(target_arch = "x86_64")]
    macro_rules! word {
        (read $offset:literal) => {{
            let word: usize;
            asm!(concat!("mov {}, gs:[", $offset, "]"), out(reg) word,
                options(nostack, preserves_flags, readonly));
            word
        }};
        (write $offset:literal, $word:expr) => {
            asm!(concat!("mov gs:[", $offset, "], {}"), in(reg) $word,
                options(nostack, preserves_flags))
        };
    }

    #[cfg(target_arch = "x86")]
    macro_rules! word {
        (read $offset:literal) => {{
            let word: usize;
            asm!(concat!("mov {}, fs:[", $offset, "]"), out(reg) word,
                options(nostack, preserves_flags, readonly));
            word
        }};
        (write $offset:literal, $word:expr) => {
            asm!(concat!("mov fs:[", $offset, "], {}"), in(reg) $word,
                options(nostack, preserves_flags))
        };
    }

    #[cfg(any(target_arch = "aarch64", target_arch = "arm64ec"))]
    macro_rules! word {
        (read $offset:literal) => {{
            let word: usize;
            asm!(concat!("ldr {}, [x18, #", $offset, "]"), out(reg) word,
                options(nostack, preserves_flags, readonly));
            word
        }};
        (write $offset:literal, $word:expr) => {
            asm!(concat!("str {}, [x18, #", $offset, "]"), in(reg) $word,
                options(nostack, preserves_flags))
        };
    }

    /// # Safety
    ///
    /// None is needed; it is for the `asm!`.
    #[inline(always)]
    pub(super) unsafe fn read() -> Bounds {
        // SAFETY: the thread register points to the thread block as long as the thread runs.
        #[cfg(not(target_arch = "x86"))]
        unsafe {
            Bounds {
                handlers: word!(read 0),
                base: word!(read 8),
                limit: word!(read 16),
                allocation: word!(read 0x1478),
            }
        }
        // SAFETY: the same.
        #[cfg(target_arch = "x86")]
        unsafe {
            Bounds { base: word!(read 4), limit: word!(read 8), allocation: word!(read 0xe0c) }
        }
    }

    /// # Safety
    ///
    /// They are the bounds of the stack that runs, or that is about to.
    #[inline(always)]
    pub(super) unsafe fn write(bounds: &Bounds) {
        // SAFETY: as in `read`; the caller's promise.
        #[cfg(not(target_arch = "x86"))]
        unsafe {
            word!(write 0, bounds.handlers);
            word!(write 8, bounds.base);
            word!(write 16, bounds.limit);
            word!(write 0x1478, bounds.allocation);
        }
        // SAFETY: the same.
        #[cfg(target_arch = "x86")]
        unsafe {
            word!(write 4, bounds.base);
            word!(write 8, bounds.limit);
            word!(write 0xe0c, bounds.allocation);
        }
    }
}
