//! Valgrind's memcheck: what has to be said when the stack pointer jumps.
//!
//! Of each byte memcheck knows whether it may be touched, and of each bit whether it has a value. It learns of a stack by the
//! stack pointer: what is pushed may be touched and has no value, what is popped may not be touched. A jump from one greenlet
//! to another looks like a great push or pop; or, between two stacks that it knows, like nothing at all.
//!
//! ```text
//!   the target's
//!   stop    ─┐
//!            │  in place: nobody has touched it, or seemed to. Whoever ran meanwhile ended below
//!            │  it, and so did each jump.                              nothing to be said
//!   start + saved ─┤
//!            │  popped by somebody, or overwritten:                    `clear`, before it is copied back;
//!            │                                                         which bits have a value the copy knows
//!   start   ─┤
//!            │  popped by somebody:                                    `leave`: far enough for a callback
//!   - PAD   ─┘                                                         to be called
//! ```
//!
//! Stacks that are added are registered, so that a jump between two of them is seen to be one.
//!
//! Memcheck is spoken to by a sequence of instructions that does nothing on a processor, and that valgrind knows. Source: `valgrind.h` and
//! `memcheck.h`, in the manual *Client requests*.

use super::{Greenlet, Stack};
use core::ptr;

/// So much below the stack pointer is declared usable before a jump: what the ABI has reserved for callees, and the red zone that
/// memcheck keeps below a stack pointer.
const PAD: usize = 512;

/// Requests of valgrind's own, and of memcheck's.
const STACK_REGISTER: usize = 0x1501;
const STACK_DEREGISTER: usize = 0x1502;
const MEMCHECK: usize = (b'M' as usize) << 24 | (b'C' as usize) << 16;
const MAKE_UNDEFINED: usize = MEMCHECK + 1;
const MAKE_DEFINED: usize = MEMCHECK + 2;

/// Asks valgrind for something.
///
/// # Safety
///
/// As for the request. Without valgrind nothing happens.
unsafe fn request(what: usize, a: usize, b: usize, c: usize) -> usize {
    let words = [what, a, b, c, 0, 0];
    let answer;
    // SAFETY: four rotations by 128 in all, and an exchange of a register with itself: only the flags change.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        core::arch::asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") &words,
            inout("rdx") 0usize => answer,
            options(nostack),
        );
    }
    // SAFETY: the same: rotations by 128 in all, and a register that becomes itself.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        core::arch::asm!(
            "ror x12, x12, #3",
            "ror x12, x12, #13",
            "ror x12, x12, #51",
            "ror x12, x12, #61",
            "orr x10, x10, x10",
            inout("x3") 0usize => answer,
            in("x4") &words,
            options(nostack),
        );
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    compile_error!(
        "valgrind's sequence of instructions is wanted for this one: see src/raw/valgrind.rs"
    );
    answer
}

/// There is nothing to be kept.
#[derive(Debug)]
pub struct Kept;

impl Kept {
    pub const NEW: Kept = Kept;
    pub unsafe fn take(&mut self, _offset: usize, _from: usize, _end: usize) {}
    pub unsafe fn put(&self, _start: usize, _bytes: usize) {}
    pub fn free(&mut self) {}
}

/// What goes with a stack.
#[derive(Debug)]
pub struct Fiber {
    /// Its number with valgrind, if it has been registered.
    number: Option<usize>,
}

impl Fiber {
    pub const NEW: Fiber = Fiber { number: None };

    /// Native stacks are known to valgrind.
    pub fn learn(&mut self) {}

    /// The stack has this memory from now on.
    pub fn attached(&mut self, bottom: usize, top: usize) {
        self.forget();
        // SAFETY: the caller's stack.
        self.number = Some(unsafe { request(STACK_REGISTER, bottom, top - 1, 0) });
    }

    /// Its memory is going to be something else.
    pub fn forget(&mut self) {
        if let Some(number) = self.number.take() {
            // SAFETY: the number is that of a registered stack.
            unsafe { request(STACK_DEREGISTER, number, 0, 0) };
        }
    }
}

/// Copies, as anybody does: memcheck follows.
///
/// # Safety
///
/// As for [`core::ptr::copy_nonoverlapping`].
pub unsafe fn copy(from: *const u8, to: *mut u8, bytes: usize) {
    // SAFETY: the caller's promise.
    unsafe { ptr::copy_nonoverlapping(from, to, bytes) }
}

/// From here on all of this stretch may be touched: nobody's frames are in it.
///
/// # Safety
///
/// The stretch is stack memory.
pub unsafe fn clear(from: usize, end: usize) {
    // SAFETY: the caller's promise.
    unsafe { request(MAKE_UNDEFINED, from, end - from, 0) };
}

/// Somebody is about to go on, or begin, with the stack pointer at `at`.
///
/// # Safety
///
/// Nobody has bytes in place below that, but for the callback that calls this, for whose frame it makes no difference.
pub unsafe fn leave(_left: *mut Greenlet, _to: *mut Stack, at: usize, _ends: bool) {
    // SAFETY: the caller's promise.
    unsafe { request(MAKE_DEFINED, at - PAD, PAD, 0) };
}

/// Nothing is left to be told.
///
/// # Safety
///
/// None is needed.
pub unsafe fn arrived(_: *mut Greenlet) {}
