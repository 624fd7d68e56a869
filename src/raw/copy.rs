//! Copying short stretches of a stack in line, without a call.

use core::ptr;

mod wide;

/// What is moved at a time: a vector register where every CPU of the target has one.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
type Chunk = core::arch::x86_64::__m128i;
#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
type Chunk = core::arch::aarch64::uint8x16_t;
#[cfg(not(any(
    all(target_arch = "x86_64", target_feature = "sse2"),
    all(target_arch = "aarch64", target_feature = "neon")
)))]
type Chunk = usize;

/// What slice buffers are aligned to.
pub(super) const ALIGN: usize = align_of::<Chunk>();

/// Up to this many bytes are copied in line. Measured on Zen 4: up to here the call of `memcpy`, and its wide
/// loads of words that were pushed a moment ago, cost more than they save.
const SHORT: usize = 1024;

/// Whether so many bytes are copied in line.
#[inline(always)]
pub(super) fn is_in_line(bytes: usize) -> bool {
    bytes <= SHORT || (bytes <= wide::MOST && wide::takes(bytes))
}

/// The most bytes for which [`is_in_line`] holds from now on.
pub(super) fn in_line() -> usize {
    if wide::look() { wide::MOST } else { SHORT }
}

/// Copies bytes for which [`is_in_line`] holds off the stack, on which the lowest were pushed a moment ago.
///
/// # Safety
///
/// As for [`chunks`].
#[inline(always)]
pub(super) unsafe fn out(from: *const u8, to: *mut u8, bytes: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if wide::takes(bytes) {
            wide::downwards(from, to, bytes);
        } else {
            fresh(from, to, bytes);
        }
    }
}

/// Copies bytes for which [`is_in_line`] holds back in place.
///
/// # Safety
///
/// As for [`chunks`].
#[inline(always)]
pub(super) unsafe fn back(from: *const u8, to: *mut u8, bytes: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if wide::takes(bytes) {
            wide::downwards(from, to, bytes);
        } else {
            wanted(from, to, bytes);
        }
    }
}

/// Copies `bytes` bytes between areas that do not overlap, the highest first, in blocks.
///
/// A slice is saved upwards. When it and its buffer are more than the nearest cache holds, the last bytes
/// that were touched are the ones that are still there, and so the first ones to ask for; and the low end of the slice, which
/// is about to run, is what this leaves in the cache. A fifth less time for 34 KB on Zen 4.
///
/// # Safety
///
/// As for [`core::ptr::copy_nonoverlapping`].
pub(super) unsafe fn downwards(from: *const u8, to: *mut u8, bytes: usize) {
    const BLOCK: usize = 4096;
    let mut left = bytes;
    // SAFETY: each part lies within `bytes`.
    unsafe {
        while left > 2 * BLOCK {
            left -= BLOCK;
            ptr::copy_nonoverlapping(from.add(left), to.add(left), BLOCK);
        }
        ptr::copy_nonoverlapping(from, to, left);
    }
}

/// Copies `bytes` bytes that the stack had at its lowest end, where the switch has just pushed its registers.
///
/// A wide load of words whose stores are still under way has to wait for them, so the first four
/// words go one at a time: 2.5 ns a switch on Zen 4.
///
/// # Safety
///
/// As for [`chunks`].
#[inline(always)]
unsafe fn fresh(from: *const u8, to: *mut u8, bytes: usize) {
    const FRESH: usize = 4 * size_of::<usize>();
    // SAFETY: the caller's promise; nothing beyond `bytes` is touched.
    unsafe {
        if bytes < FRESH || size_of::<Chunk>() == size_of::<usize>() {
            return chunks(from, to, bytes);
        }
        let (words, room) = (from.cast::<usize>(), to.cast::<usize>());
        let (a, b) = (words.read_volatile(), words.add(1).read_volatile());
        let (c, d) = (words.add(2).read_volatile(), words.add(3).read_volatile());
        room.write_volatile(a);
        room.add(1).write_volatile(b);
        room.add(2).write_volatile(c);
        room.add(3).write_volatile(d);
        move_above::<FRESH>(from, to, bytes);
    }
}

/// Copies `bytes` bytes to where a stack has its lowest end, from which the switch is about to pop its registers: those
/// first.
///
/// # Safety
///
/// As for [`chunks`].
#[inline(always)]
unsafe fn wanted(from: *const u8, to: *mut u8, bytes: usize) {
    const WANTED: usize = 2 * size_of::<Chunk>();
    // SAFETY: the caller's promise; nothing beyond `bytes` is touched.
    unsafe {
        if bytes < WANTED || size_of::<Chunk>() == size_of::<usize>() {
            return chunks(from, to, bytes);
        }
        let (words, room) = (from.cast::<Chunk>(), to.cast::<Chunk>());
        let (low, high) = (words.read_volatile(), words.add(1).read_volatile());
        room.write_volatile(low);
        room.add(1).write_volatile(high);
        move_above::<WANTED>(from, to, bytes);
    }
}

/// Copies `bytes` bytes between areas that do not overlap.
///
/// Volatile, so that no compiler makes a call of `memcpy` out of the loop, and so that it may be
/// bytes that nobody has initialized: they are moved, not looked at.
///
/// # Safety
///
/// As for [`core::ptr::copy_nonoverlapping`]; `bytes` is a multiple of the size of a [`Chunk`], and both pointers
/// of [`ALIGN`].
#[inline(always)]
unsafe fn chunks(from: *const u8, to: *mut u8, bytes: usize) {
    const CHUNK: usize = size_of::<Chunk>();
    debug_assert!(bytes.is_multiple_of(CHUNK));
    debug_assert!(from.addr().is_multiple_of(ALIGN) && to.addr().is_multiple_of(ALIGN));
    // SAFETY: the caller's promise.
    unsafe { move_above::<0>(from, to, bytes) };
}

/// Copies the bytes from `SKIP` up to `bytes`, as many as a cache line has at a time, the highest first.
///
/// In assembly, since compilers unroll the loop: that costs a switch a dozen instructions to find out how often, and ten to
/// keep the registers that it wants.
///
/// # Safety
///
/// As for [`chunks`]; `bytes` is at least `SKIP`, which is a multiple of the size of a chunk.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[inline(always)]
unsafe fn move_above<const SKIP: usize>(from: *const u8, to: *mut u8, bytes: usize) {
    const CHUNK: usize = size_of::<Chunk>();
    let left = bytes - SKIP;
    let lines = left & !(4 * CHUNK - 1);
    // SAFETY: each part lies between `SKIP` and `bytes`, both multiples of 16; the loop is entered with at least one line to go.
    unsafe {
        if left & CHUNK != 0 {
            let at = bytes - CHUNK;
            to.add(at).cast::<Chunk>().write_volatile(from.add(at).cast::<Chunk>().read_volatile());
        }
        if left & (2 * CHUNK) != 0 {
            let at = SKIP + lines;
            let (from, to) = (from.add(at).cast::<Chunk>(), to.add(at).cast::<Chunk>());
            let (low, high) = (from.read_volatile(), from.add(1).read_volatile());
            to.write_volatile(low);
            to.add(1).write_volatile(high);
        }
        if lines != 0 {
            core::arch::asm!(
                "2:",
                "movaps xmm0, [{from} + {left} + {skip} - 16]",
                "movaps xmm1, [{from} + {left} + {skip} - 32]",
                "movaps xmm2, [{from} + {left} + {skip} - 48]",
                "movaps xmm3, [{from} + {left} + {skip} - 64]",
                "movaps [{to} + {left} + {skip} - 16], xmm0",
                "movaps [{to} + {left} + {skip} - 32], xmm1",
                "movaps [{to} + {left} + {skip} - 48], xmm2",
                "movaps [{to} + {left} + {skip} - 64], xmm3",
                "sub {left}, 64",
                "jnz 2b",
                from = in(reg) from,
                to = in(reg) to,
                left = inout(reg) lines => _,
                skip = const SKIP,
                out("xmm0") _,
                out("xmm1") _,
                out("xmm2") _,
                out("xmm3") _,
                options(nostack),
            );
        }
    }
}

/// Copies the bytes from `SKIP` up to `bytes`: two chunks at a time, and one that may be left.
///
/// # Safety
///
/// As for [`chunks`]; `bytes` is at least `SKIP`, which is a multiple of the size of a chunk.
#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
#[inline(always)]
unsafe fn move_above<const SKIP: usize>(from: *const u8, to: *mut u8, bytes: usize) {
    const CHUNK: usize = size_of::<Chunk>();
    let pairs = SKIP + ((bytes - SKIP) & !(2 * CHUNK - 1));
    let mut at = SKIP;
    while at != pairs {
        // SAFETY: both chunks end at or below `bytes`.
        unsafe {
            let (from, to) = (from.add(at).cast::<Chunk>(), to.add(at).cast::<Chunk>());
            let (low, high) = (from.read_volatile(), from.add(1).read_volatile());
            to.write_volatile(low);
            to.add(1).write_volatile(high);
        }
        at += 2 * CHUNK;
    }
    if bytes != pairs {
        // SAFETY: one chunk is left.
        unsafe {
            to.add(at).cast::<Chunk>().write_volatile(from.add(at).cast::<Chunk>().read_volatile());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Room that is aligned as slices and buffers are.
    #[repr(align(16))]
    struct Room([u8; 6144]);

    #[test]
    fn every_length_in_line_is_copied_whole_and_nothing_besides() {
        let mut from = Room([0; 6144]);
        for (i, byte) in from.0.iter_mut().enumerate() {
            *byte = (i * 7 + i / 251) as u8 | 1;
        }
        assert!(in_line() >= SHORT);
        for bytes in (0..=5120).step_by(16).filter(|&bytes| is_in_line(bytes)) {
            for copy in [out as unsafe fn(*const u8, *mut u8, usize), back] {
                let mut to = Room([0; 6144]);
                // SAFETY: both have room for more than this and what lies before it.
                unsafe { copy(from.0.as_ptr().add(512), to.0.as_mut_ptr().add(512), bytes) };
                let end = 512 + bytes;
                assert_eq!(to.0[512..end], from.0[512..end], "{bytes}");
                assert!(to.0[..512].iter().chain(&to.0[end..]).all(|&byte| byte == 0), "{bytes}");
            }
        }
        assert!(is_in_line(SHORT) && !is_in_line(5120));
    }

    /// In an optimized build whose compiler uses AVX (`RUSTFLAGS=-Ctarget-feature=+avx`): what it keeps in the 32-byte registers
    /// meanwhile stays whole.
    #[test]
    #[cfg(target_feature = "avx")]
    fn wide_registers_are_not_cut_in_half() {
        use core::arch::x86_64::*;
        use std::hint::black_box;
        assert!(in_line() > SHORT);
        let (from, mut to) = (Room([1; 6144]), Room([0; 6144]));
        // SAFETY: the build's CPU has AVX, and the rooms are large enough.
        unsafe {
            let numbers: [i64; 8] = black_box([1, 2, 3, 4, 5, 6, 7, 8]);
            let each = numbers.map(|n| _mm256_set1_epi64x(n));
            let sum = |each: [__m256i; 8]| {
                let mut sum = [0i64; 4];
                for one in each {
                    let mut words = [0i64; 4];
                    _mm256_storeu_si256(words.as_mut_ptr().cast(), one);
                    sum.iter_mut().zip(words).for_each(|(sum, word)| *sum += word);
                }
                sum
            };
            back(from.0.as_ptr(), to.0.as_mut_ptr(), black_box(1024));
            assert_eq!(sum(each), [36; 4]);
        }
        assert_eq!(to.0[..1024], [1; 1024]);
    }
}
