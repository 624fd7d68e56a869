//! Copying stretches of a stack, whole words at a time.

use core::ptr;

/// Up to this many bytes are copied word by word, in line. Measured (`benches/`): a call of `memcpy`
/// costs more than it saves below this, and wide loads of words that were pushed a moment ago
/// wait until the pushes have reached the cache.
const INLINE: usize = 256;

/// Copies `bytes` bytes, a multiple of two words, between areas that do not overlap.
///
/// Volatile, so that no compiler makes a call of `memcpy` out of the loop.
///
/// # Safety
///
/// As for [`core::ptr::copy_nonoverlapping`]; both pointers are aligned for `usize`. The bytes may
/// be anything, uninitialized included: nobody looks at them.
#[inline(always)]
pub(super) unsafe fn words(from: *const u8, to: *mut u8, bytes: usize) {
    const STEP: usize = 2 * size_of::<usize>();
    debug_assert!(bytes.is_multiple_of(size_of::<usize>()));
    if bytes > INLINE || !bytes.is_multiple_of(STEP) {
        // SAFETY: the caller's promise.
        unsafe { ptr::copy_nonoverlapping(from, to, bytes) };
        return;
    }
    let mut at = 0;
    while at < bytes {
        // SAFETY: `at` stays below `bytes`, a multiple of `STEP`; both pointers are aligned for words.
        unsafe {
            let from = from.add(at).cast::<usize>();
            let to = to.add(at).cast::<usize>();
            let (low, high) = (from.read_volatile(), from.add(1).read_volatile());
            to.write_volatile(low);
            to.add(1).write_volatile(high);
        }
        at += STEP;
    }
}
