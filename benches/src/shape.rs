//! How a switch is called: inlined or not, through how many frames, and whether both sides take the same path.
//!
//! The shapes matter because a switch arrives in frames other than those that the processor's return predictor has
//! seen being called: each `ret` of a different caller is a misprediction, each `ret` of the same one is none.

use greenlet::{Greenlet, raw};
use std::hint::black_box;
use std::ptr;

/// One way to switch.
pub trait How: 'static {
    /// To whom.
    type To: Copy;

    /// # Safety
    ///
    /// As the switch itself; what `to` names is suspended.
    unsafe fn switch(to: Self::To, word: usize) -> usize;
}

/// `raw::Thread::switch_inline`: inlined, left by a jump where the target has that entry.
pub struct Inline;
/// `raw::Thread::switch`: a call of the assembly, left by `ret`.
pub struct Call;
/// `Greenlet::switch`.
pub struct Api;

impl How for Inline {
    type To = (*mut raw::Thread, *mut raw::Greenlet);
    #[inline(always)]
    unsafe fn switch((thread, target): Self::To, word: usize) -> usize {
        let word = ptr::without_provenance_mut(word);
        // SAFETY: the caller's promise.
        unsafe { raw::Thread::switch_inline(thread, target, word) }.unwrap().addr()
    }
}

impl How for Call {
    type To = (*mut raw::Thread, *mut raw::Greenlet);
    #[inline(always)]
    unsafe fn switch((thread, target): Self::To, word: usize) -> usize {
        let word = ptr::without_provenance_mut(word);
        // SAFETY: the caller's promise.
        unsafe { raw::Thread::switch(thread, target, word) }.unwrap().addr()
    }
}

impl How for Api {
    type To = *const Greenlet<usize, usize>;
    #[inline(always)]
    unsafe fn switch(to: Self::To, word: usize) -> usize {
        // SAFETY: the handle is in the heap, and outlives both greenlets.
        unsafe { &*to }.switch(word)
    }
}

/// `D` functions, one calling the next, and the switch in the last. Nothing in a frame but what a call needs.
///
/// `SIDE` makes two chains that the compiler cannot merge.
///
/// # Safety
///
/// As [`How::switch`].
#[inline(always)]
unsafe fn chain<W: How, const D: usize, const SIDE: usize>(to: W::To, word: usize) -> usize {
    // SAFETY: the caller's promise.
    unsafe {
        match D {
            0 => W::switch(to, word),
            1 => level1::<W, SIDE>(to, word),
            4 => level4::<W, SIDE>(to, word),
            8 => level8::<W, SIDE>(to, word),
            _ => unreachable!(),
        }
    }
}

macro_rules! levels {
    ($($level:ident => $next:expr;)*) => {$(
        #[inline(never)]
        unsafe fn $level<W: How, const SIDE: usize>(to: W::To, word: usize) -> usize {
            // SAFETY: the caller's promise. The sum keeps the call from becoming a jump, and the sides apart.
            unsafe { $next(to, word) }.wrapping_add(SIDE + 1)
        }
    )*};
}

levels! {
    level1 => W::switch;
    level2 => level1::<W, SIDE>;
    level3 => level2::<W, SIDE>;
    level4 => level3::<W, SIDE>;
    level5 => level4::<W, SIDE>;
    level6 => level5::<W, SIDE>;
    level7 => level6::<W, SIDE>;
    level8 => level7::<W, SIDE>;
}

/// Switches `n` times. One function for both greenlets if they are on the same `SIDE`, two if not.
///
/// # Safety
///
/// As [`How::switch`].
#[inline(never)]
pub unsafe fn turns<W: How, const D: usize, const SIDE: usize>(to: W::To, n: u64) -> usize {
    let mut word = SIDE;
    for _ in 0..n {
        // SAFETY: the caller's promise.
        word = unsafe { chain::<W, D, SIDE>(to, word) };
    }
    black_box(word)
}

/// Calls `f` below `BYTES` bytes of frame that nobody can leave out.
#[inline(never)]
pub fn below<const BYTES: usize, R>(f: impl FnOnce() -> R) -> R {
    let mut room = [0u8; BYTES];
    black_box(&mut room);
    let result = f();
    black_box(&mut room);
    result
}

/// Calls `f` `depth` frames deeper.
#[inline(never)]
pub fn deeper(depth: usize, f: &mut dyn FnMut()) {
    if depth == 0 {
        f();
    } else {
        deeper(black_box(depth - 1), f);
    }
    black_box(depth);
}
