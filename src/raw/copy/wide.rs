//! Copying by the 32-byte registers of x86-64 CPUs that have AVX, which is not known before the program runs. It must never
//! know what is copied.
//!
//! A slice of one or two KiB (a greenlet of CPython) is then half as many loads and stores, and needs no call.

/// The most bytes that are copied so: a longer way goes through `memcpy`.
pub(super) const MOST: usize = 4096;

pub(super) use imp::{downwards, look, takes};

#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
mod imp {
    use core::arch::asm;
    use core::arch::x86_64::__cpuid;
    use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

    /// Fewer than this many are better off with what every CPU has.
    const LEAST: usize = 256;

    const UNKNOWN: u8 = 0;
    const NO: u8 = 1;
    const YES: u8 = 2;

    static AVX: AtomicU8 = AtomicU8::new(UNKNOWN);

    /// Whether so many bytes, at most [`MOST`], are to be copied by [`downwards`]. No, until somebody has [`look`]ed: this is asked in each
    /// switch, and a call here would have it keep registers.
    #[inline(always)]
    pub(in super::super) fn takes(bytes: usize) -> bool {
        bytes >= LEAST && AVX.load(Relaxed) == YES
    }

    /// Asks the CPU, and whether the system keeps the registers, unless that is known.
    #[cold]
    pub(in super::super) fn look() -> bool {
        const OSXSAVE_AND_AVX: u32 = 1 << 27 | 1 << 28;
        const SSE_AND_AVX: u32 = 1 << 1 | 1 << 2;
        if AVX.load(Relaxed) == UNKNOWN {
            // Older compilers want the `unsafe`.
            #[allow(unused_unsafe)]
            // SAFETY: every x86-64 CPU has the instruction. (It may not be executed in an SGX enclave.)
            let ecx = if cfg!(target_env = "sgx") { 0 } else { unsafe { __cpuid(1) }.ecx };
            let mut is_there = ecx & OSXSAVE_AND_AVX == OSXSAVE_AND_AVX;
            if is_there {
                let kept: u32;
                // SAFETY: the CPU has the instruction, says OSXSAVE.
                unsafe {
                    asm!("xgetbv", in("ecx") 0, out("eax") kept, out("edx") _, options(nomem, nostack));
                }
                is_there = kept & SSE_AND_AVX == SSE_AND_AVX;
            }
            AVX.store(if is_there { YES } else { NO }, Relaxed);
        }
        AVX.load(Relaxed) == YES
    }

    /// Copies `bytes` bytes between areas that do not overlap, the highest first: what was pushed a moment ago is the lowest, and
    /// a wide load of it would wait for the stores.
    ///
    /// # Safety
    ///
    /// As for [`core::ptr::copy_nonoverlapping`]; [`takes`] holds, which says that the CPU can.
    #[inline(always)]
    pub(in super::super) unsafe fn downwards(from: *const u8, to: *mut u8, bytes: usize) {
        // Blocks of 128 bytes. The highest one goes first, and overlaps the one below it unless `bytes` is a multiple of 128.
        // The last instruction leaves of each register only the lower half, which is all that the compiler knows of unless the target
        // itself has AVX: then no register may be in use.
        macro_rules! copy {
            ($($clobbered:tt)*) => { asm!(
                "vmovdqu ymm0, [{from} + {top} - 32]",
                "vmovdqu ymm1, [{from} + {top} - 64]",
                "vmovdqu ymm2, [{from} + {top} - 96]",
                "vmovdqu ymm3, [{from} + {top} - 128]",
                "vmovdqu [{to} + {top} - 32], ymm0",
                "vmovdqu [{to} + {top} - 64], ymm1",
                "vmovdqu [{to} + {top} - 96], ymm2",
                "vmovdqu [{to} + {top} - 128], ymm3",
                "dec {top}",
                "and {top}, -128",
                ".p2align 4",
                "2:",
                "vmovdqu ymm0, [{from} + {top} - 32]",
                "vmovdqu ymm1, [{from} + {top} - 64]",
                "vmovdqu ymm2, [{from} + {top} - 96]",
                "vmovdqu ymm3, [{from} + {top} - 128]",
                "vmovdqu [{to} + {top} - 32], ymm0",
                "vmovdqu [{to} + {top} - 64], ymm1",
                "vmovdqu [{to} + {top} - 96], ymm2",
                "vmovdqu [{to} + {top} - 128], ymm3",
                "add {top}, -128",
                "jnz 2b",
                "vzeroupper",
                from = in(reg) from,
                to = in(reg) to,
                top = inout(reg) bytes => _,
                out("xmm0") _,
                out("xmm1") _,
                out("xmm2") _,
                out("xmm3") _,
                $($clobbered)*
                options(nostack),
            ) };
        }
        // SAFETY: the caller's promise: there are two blocks at least, and nothing outside `bytes` is touched.
        #[cfg(not(target_feature = "avx"))]
        unsafe {
            copy!();
        }
        // SAFETY: the same.
        #[cfg(target_feature = "avx")]
        unsafe {
            copy!(
                out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _,
                out("xmm10") _, out("xmm11") _, out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
            );
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
mod imp {
    #[inline(always)]
    pub(in super::super) fn takes(_: usize) -> bool {
        false
    }

    pub(in super::super) fn look() -> bool {
        false
    }

    #[inline(always)]
    pub(in super::super) unsafe fn downwards(_: *const u8, _: *mut u8, _: usize) {}
}
