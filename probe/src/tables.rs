//! Per target: which registers the ABI preserves, and where the assembly in `arch/` expects them in an
//! image. The sources are named in the arch files of `greenlet`, which have the same lists.

use crate::{Area, Image, Register};
#[cfg(has_area)]
use core::ffi::c_void;

const fn at(name: &'static str, offset: usize, size: usize) -> Register {
    let mask = if size == 4 { 0xffff_ffff } else { u64::MAX };
    Register { name, offset, size, mask, fixed: 0, default: None, needs: 0 }
}

#[allow(dead_code, reason = "not every target has a control word")]
const fn control(
    name: &'static str,
    offset: usize,
    size: usize,
    mask: u64,
    default: u64,
) -> Register {
    Register { mask, fixed: default & !mask, default: Some(default), ..at(name, offset, size) }
}

/// The callbacks that write all that a callee may write above its own frame; `None` where that is nothing.
#[cfg(not(has_area))]
pub const AREA: Option<Area> = None;
#[cfg(has_area)]
pub const AREA: Option<Area> =
    Some(Area { save: greenlet_probe_save, restore: greenlet_probe_restore });

#[cfg(has_area)]
unsafe extern "C" {
    fn greenlet_probe_save(ctx: *mut c_void, sp: *mut c_void) -> *mut c_void;
    fn greenlet_probe_restore(ctx: *mut c_void, sp: *mut c_void) -> *mut c_void;
}

#[cfg(all(target_arch = "x86_64", not(windows)))]
pub const REGISTERS: &[Register] = &[
    at("rbx", 0, 8),
    at("rbp", 8, 8),
    at("r12", 16, 8),
    at("r13", 24, 8),
    at("r14", 32, 8),
    at("r15", 40, 8),
    // Denormals are zeros, the exception masks, rounding, flush to zero.
    Register { needs: 1, ..control("mxcsr", 48, 4, 0xffc0, 0x1f80) },
    // The exception masks, precision, rounding; bit 6 always reads as one.
    Register { needs: 1, ..control("x87 control word", 52, 4, 0x0f3f, 0x037f) },
];

#[cfg(all(target_arch = "x86_64", windows))]
pub const REGISTERS: &[Register] = &[
    at("rbx", 0, 8),
    at("rbp", 8, 8),
    at("rdi", 16, 8),
    at("rsi", 24, 8),
    at("r12", 32, 8),
    at("r13", 40, 8),
    at("r14", 48, 8),
    at("r15", 56, 8),
    at("xmm6 low", 64, 8),
    at("xmm6 high", 72, 8),
    at("xmm7 low", 80, 8),
    at("xmm7 high", 88, 8),
    at("xmm8 low", 96, 8),
    at("xmm8 high", 104, 8),
    at("xmm9 low", 112, 8),
    at("xmm9 high", 120, 8),
    at("xmm10 low", 128, 8),
    at("xmm10 high", 136, 8),
    at("xmm11 low", 144, 8),
    at("xmm11 high", 152, 8),
    at("xmm12 low", 160, 8),
    at("xmm12 high", 168, 8),
    at("xmm13 low", 176, 8),
    at("xmm13 high", 184, 8),
    at("xmm14 low", 192, 8),
    at("xmm14 high", 200, 8),
    at("xmm15 low", 208, 8),
    at("xmm15 high", 216, 8),
    control("mxcsr", 224, 4, 0xffc0, 0x1f80),
    control("x87 control word", 228, 4, 0x0f3f, 0x037f),
];

#[cfg(target_arch = "x86")]
pub const REGISTERS: &[Register] = &[
    at("ebx", 0, 4),
    at("esi", 4, 4),
    at("edi", 8, 4),
    at("ebp", 12, 4),
    Register { needs: 1, ..control("mxcsr", 16, 4, 0xffc0, 0x1f80) },
    control("x87 control word", 20, 4, 0x0f3f, 0x037f),
    #[cfg(windows)]
    at("fs:[0]", 24, 4),
];

#[cfg(target_arch = "aarch64")]
pub const REGISTERS: &[Register] = &[
    at("x19", 0, 8),
    at("x20", 8, 8),
    at("x21", 16, 8),
    at("x22", 24, 8),
    at("x23", 32, 8),
    at("x24", 40, 8),
    at("x25", 48, 8),
    at("x26", 56, 8),
    at("x27", 64, 8),
    at("x28", 72, 8),
    at("x29", 80, 8),
    at("d8", 88, 8),
    at("d9", 96, 8),
    at("d10", 104, 8),
    at("d11", 112, 8),
    at("d12", 120, 8),
    at("d13", 128, 8),
    at("d14", 136, 8),
    at("d15", 144, 8),
    // Rounding, flush to zero, default NaN.
    control("fpcr", 152, 8, 0x03c0_0000, 0),
];

#[cfg(target_arch = "arm")]
pub const REGISTERS: &[Register] = &[
    at("r4", 0, 4),
    at("r5", 4, 4),
    at("r6", 8, 4),
    at("r7", 12, 4),
    at("r8", 16, 4),
    at("r9", 20, 4),
    at("r10", 24, 4),
    at("r11", 28, 4),
    Register { needs: 1, ..at("d8", 32, 8) },
    Register { needs: 1, ..at("d9", 40, 8) },
    Register { needs: 1, ..at("d10", 48, 8) },
    Register { needs: 1, ..at("d11", 56, 8) },
    Register { needs: 1, ..at("d12", 64, 8) },
    Register { needs: 1, ..at("d13", 72, 8) },
    Register { needs: 1, ..at("d14", 80, 8) },
    Register { needs: 1, ..at("d15", 88, 8) },
    // Half-precision format, default NaN, flush to zero, rounding.
    Register { needs: 1, ..control("fpscr", 96, 4, 0x07c0_0000, 0) },
];

#[cfg(any(target_arch = "powerpc", target_arch = "powerpc64"))]
const BIG: usize = cfg!(target_endian = "big") as usize;

/// The general registers of PowerPC are 8 bytes apart in the image; of 32 bits each only the first 4 are used.
#[cfg(any(target_arch = "powerpc", target_arch = "powerpc64"))]
pub const REGISTERS: &[Register] = &[
    at("r14", 0, size_of::<usize>()),
    at("r15", 8, size_of::<usize>()),
    at("r16", 16, size_of::<usize>()),
    at("r17", 24, size_of::<usize>()),
    at("r18", 32, size_of::<usize>()),
    at("r19", 40, size_of::<usize>()),
    at("r20", 48, size_of::<usize>()),
    at("r21", 56, size_of::<usize>()),
    at("r22", 64, size_of::<usize>()),
    at("r23", 72, size_of::<usize>()),
    at("r24", 80, size_of::<usize>()),
    at("r25", 88, size_of::<usize>()),
    at("r26", 96, size_of::<usize>()),
    at("r27", 104, size_of::<usize>()),
    at("r28", 112, size_of::<usize>()),
    at("r29", 120, size_of::<usize>()),
    at("r30", 128, size_of::<usize>()),
    at("r31", 136, size_of::<usize>()),
    // Fields 2, 3 and 4.
    Register { mask: 0x00ff_f000, ..at("cr", 144, 4) },
    Register { needs: 4, ..at("vrsave", 148, 4) },
    // The exception enables, non-IEEE mode, rounding; in the other half the decimal rounding mode.
    Register { needs: 1, ..control("fpscr", 152 + 4 * BIG, 4, 0xff, 0) },
    Register { needs: 8, ..control("fpscr, upper half", 156 - 4 * BIG, 4, 7, 0) },
    Register { needs: 1, ..at("f14", 160, 8) },
    Register { needs: 1, ..at("f15", 168, 8) },
    Register { needs: 1, ..at("f16", 176, 8) },
    Register { needs: 1, ..at("f17", 184, 8) },
    Register { needs: 1, ..at("f18", 192, 8) },
    Register { needs: 1, ..at("f19", 200, 8) },
    Register { needs: 1, ..at("f20", 208, 8) },
    Register { needs: 1, ..at("f21", 216, 8) },
    Register { needs: 1, ..at("f22", 224, 8) },
    Register { needs: 1, ..at("f23", 232, 8) },
    Register { needs: 1, ..at("f24", 240, 8) },
    Register { needs: 1, ..at("f25", 248, 8) },
    Register { needs: 1, ..at("f26", 256, 8) },
    Register { needs: 1, ..at("f27", 264, 8) },
    Register { needs: 1, ..at("f28", 272, 8) },
    Register { needs: 1, ..at("f29", 280, 8) },
    Register { needs: 1, ..at("f30", 288, 8) },
    Register { needs: 1, ..at("f31", 296, 8) },
    Register { needs: 2, ..at("v20, first half", 304, 8) },
    Register { needs: 2, ..at("v20, second half", 312, 8) },
    Register { needs: 2, ..at("v21, first half", 320, 8) },
    Register { needs: 2, ..at("v21, second half", 328, 8) },
    Register { needs: 2, ..at("v22, first half", 336, 8) },
    Register { needs: 2, ..at("v22, second half", 344, 8) },
    Register { needs: 2, ..at("v23, first half", 352, 8) },
    Register { needs: 2, ..at("v23, second half", 360, 8) },
    Register { needs: 2, ..at("v24, first half", 368, 8) },
    Register { needs: 2, ..at("v24, second half", 376, 8) },
    Register { needs: 2, ..at("v25, first half", 384, 8) },
    Register { needs: 2, ..at("v25, second half", 392, 8) },
    Register { needs: 2, ..at("v26, first half", 400, 8) },
    Register { needs: 2, ..at("v26, second half", 408, 8) },
    Register { needs: 2, ..at("v27, first half", 416, 8) },
    Register { needs: 2, ..at("v27, second half", 424, 8) },
    Register { needs: 2, ..at("v28, first half", 432, 8) },
    Register { needs: 2, ..at("v28, second half", 440, 8) },
    Register { needs: 2, ..at("v29, first half", 448, 8) },
    Register { needs: 2, ..at("v29, second half", 456, 8) },
    Register { needs: 2, ..at("v30, first half", 464, 8) },
    Register { needs: 2, ..at("v30, second half", 472, 8) },
    Register { needs: 2, ..at("v31, first half", 480, 8) },
    Register { needs: 2, ..at("v31, second half", 488, 8) },
    // The non-Java bit.
    Register { needs: 2, ..control("vscr", 496 + 12 * BIG, 4, 1 << 16, 0) },
    #[cfg(target_arch = "powerpc64")]
    at("r2", 504, 4),
];

#[cfg(any(target_arch = "riscv32", target_arch = "riscv64"))]
pub const REGISTERS: &[Register] = &[
    at("s0", 0, size_of::<usize>()),
    at("s1", 8, size_of::<usize>()),
    Register { needs: 1, ..at("s2", 16, size_of::<usize>()) },
    Register { needs: 1, ..at("s3", 24, size_of::<usize>()) },
    Register { needs: 1, ..at("s4", 32, size_of::<usize>()) },
    Register { needs: 1, ..at("s5", 40, size_of::<usize>()) },
    Register { needs: 1, ..at("s6", 48, size_of::<usize>()) },
    Register { needs: 1, ..at("s7", 56, size_of::<usize>()) },
    Register { needs: 1, ..at("s8", 64, size_of::<usize>()) },
    Register { needs: 1, ..at("s9", 72, size_of::<usize>()) },
    Register { needs: 1, ..at("s10", 80, size_of::<usize>()) },
    Register { needs: 1, ..at("s11", 88, size_of::<usize>()) },
    Register { needs: 2, ..at("fs0", 96, 4) },
    Register { needs: 4, ..at("fs0, upper half", 100, 4) },
    Register { needs: 2, ..at("fs1", 104, 4) },
    Register { needs: 4, ..at("fs1, upper half", 108, 4) },
    Register { needs: 2, ..at("fs2", 112, 4) },
    Register { needs: 4, ..at("fs2, upper half", 116, 4) },
    Register { needs: 2, ..at("fs3", 120, 4) },
    Register { needs: 4, ..at("fs3, upper half", 124, 4) },
    Register { needs: 2, ..at("fs4", 128, 4) },
    Register { needs: 4, ..at("fs4, upper half", 132, 4) },
    Register { needs: 2, ..at("fs5", 136, 4) },
    Register { needs: 4, ..at("fs5, upper half", 140, 4) },
    Register { needs: 2, ..at("fs6", 144, 4) },
    Register { needs: 4, ..at("fs6, upper half", 148, 4) },
    Register { needs: 2, ..at("fs7", 152, 4) },
    Register { needs: 4, ..at("fs7, upper half", 156, 4) },
    Register { needs: 2, ..at("fs8", 160, 4) },
    Register { needs: 4, ..at("fs8, upper half", 164, 4) },
    Register { needs: 2, ..at("fs9", 168, 4) },
    Register { needs: 4, ..at("fs9, upper half", 172, 4) },
    Register { needs: 2, ..at("fs10", 176, 4) },
    Register { needs: 4, ..at("fs10, upper half", 180, 4) },
    Register { needs: 2, ..at("fs11", 184, 4) },
    Register { needs: 4, ..at("fs11, upper half", 188, 4) },
    // The first four of the five rounding modes.
    Register { needs: 8, ..control("frm", 192, 4, 3, 0) },
];

#[cfg(target_arch = "s390x")]
pub const REGISTERS: &[Register] = &[
    at("r6", 0, 8),
    at("r7", 8, 8),
    at("r8", 16, 8),
    at("r9", 24, 8),
    at("r10", 32, 8),
    at("r11", 40, 8),
    at("r12", 48, 8),
    at("r13", 56, 8),
    at("f8", 64, 8),
    at("f9", 72, 8),
    at("f10", 80, 8),
    at("f11", 88, 8),
    at("f12", 96, 8),
    at("f13", 104, 8),
    at("f14", 112, 8),
    at("f15", 120, 8),
    // The masks, and the first four rounding modes.
    control("fpc", 128, 4, 0xf000_0003, 0),
];

#[cfg(any(target_arch = "mips", target_arch = "mips64"))]
pub const REGISTERS: &[Register] = &[
    at("s0", 0, size_of::<usize>()),
    at("s1", 8, size_of::<usize>()),
    at("s2", 16, size_of::<usize>()),
    at("s3", 24, size_of::<usize>()),
    at("s4", 32, size_of::<usize>()),
    at("s5", 40, size_of::<usize>()),
    at("s6", 48, size_of::<usize>()),
    at("s7", 56, size_of::<usize>()),
    at("s8", 64, size_of::<usize>()),
    #[cfg(target_arch = "mips64")]
    at("gp", 72, 8),
    #[cfg(target_arch = "mips")]
    Register { needs: 1, ..at("f20", 80, 8) },
    #[cfg(target_arch = "mips")]
    Register { needs: 1, ..at("f22", 88, 8) },
    #[cfg(target_arch = "mips")]
    Register { needs: 1, ..at("f24", 96, 8) },
    #[cfg(target_arch = "mips")]
    Register { needs: 1, ..at("f26", 104, 8) },
    #[cfg(target_arch = "mips")]
    Register { needs: 1, ..at("f28", 112, 8) },
    #[cfg(target_arch = "mips")]
    Register { needs: 1, ..at("f30", 120, 8) },
    #[cfg(target_arch = "mips64")]
    Register { needs: 1, ..at("f24", 80, 8) },
    #[cfg(target_arch = "mips64")]
    Register { needs: 1, ..at("f25", 88, 8) },
    #[cfg(target_arch = "mips64")]
    Register { needs: 1, ..at("f26", 96, 8) },
    #[cfg(target_arch = "mips64")]
    Register { needs: 1, ..at("f27", 104, 8) },
    #[cfg(target_arch = "mips64")]
    Register { needs: 1, ..at("f28", 112, 8) },
    #[cfg(target_arch = "mips64")]
    Register { needs: 1, ..at("f29", 120, 8) },
    #[cfg(target_arch = "mips64")]
    Register { needs: 1, ..at("f30", 128, 8) },
    #[cfg(target_arch = "mips64")]
    Register { needs: 1, ..at("f31", 136, 8) },
    // Flush to zero, the enables, rounding.
    Register { needs: 1, ..control("fcsr", 144, 4, 0x0100_0f83, 0) },
];

#[cfg(target_arch = "loongarch64")]
pub const REGISTERS: &[Register] = &[
    at("fp", 0, 8),
    at("s0", 8, 8),
    at("s1", 16, 8),
    at("s2", 24, 8),
    at("s3", 32, 8),
    at("s4", 40, 8),
    at("s5", 48, 8),
    at("s6", 56, 8),
    at("s7", 64, 8),
    at("s8", 72, 8),
    Register { needs: 1, ..at("fs0", 80, 4) },
    Register { needs: 2, ..at("fs0, upper half", 84, 4) },
    Register { needs: 1, ..at("fs1", 88, 4) },
    Register { needs: 2, ..at("fs1, upper half", 92, 4) },
    Register { needs: 1, ..at("fs2", 96, 4) },
    Register { needs: 2, ..at("fs2, upper half", 100, 4) },
    Register { needs: 1, ..at("fs3", 104, 4) },
    Register { needs: 2, ..at("fs3, upper half", 108, 4) },
    Register { needs: 1, ..at("fs4", 112, 4) },
    Register { needs: 2, ..at("fs4, upper half", 116, 4) },
    Register { needs: 1, ..at("fs5", 120, 4) },
    Register { needs: 2, ..at("fs5, upper half", 124, 4) },
    Register { needs: 1, ..at("fs6", 128, 4) },
    Register { needs: 2, ..at("fs6, upper half", 132, 4) },
    Register { needs: 1, ..at("fs7", 136, 4) },
    Register { needs: 2, ..at("fs7, upper half", 140, 4) },
    // Rounding, the enables.
    Register { needs: 1, ..control("fcsr0", 144, 4, 0x31f, 0) },
];

#[cfg(target_arch = "sparc64")]
pub const REGISTERS: &[Register] = &[
    at("l0", 0, 8),
    at("l1", 8, 8),
    at("l2", 16, 8),
    at("l3", 24, 8),
    at("l4", 32, 8),
    at("l5", 40, 8),
    at("l6", 48, 8),
    at("l7", 56, 8),
    at("i0", 64, 8),
    at("i1", 72, 8),
    at("i2", 80, 8),
    at("i3", 88, 8),
    at("i4", 96, 8),
    at("i5", 104, 8),
    // Rounding, the trap enables.
    control("fsr", 112, 8, 0xcf80_0000, 0),
];

#[cfg(target_arch = "m68k")]
pub const REGISTERS: &[Register] = &[
    at("d2", 0, 4),
    at("d3", 4, 4),
    at("d4", 8, 4),
    at("d5", 12, 4),
    at("d6", 16, 4),
    at("d7", 20, 4),
    at("a2", 24, 4),
    at("a3", 28, 4),
    at("a4", 32, 4),
    at("a5", 36, 4),
    at("a6", 40, 4),
    Register { needs: 1, mask: 0xffff_0000, ..at("fp2, sign and exponent", 44, 4) },
    Register { needs: 1, ..at("fp2, upper mantissa", 48, 4) },
    Register { needs: 1, ..at("fp2, lower mantissa", 52, 4) },
    Register { needs: 1, mask: 0xffff_0000, ..at("fp3, sign and exponent", 56, 4) },
    Register { needs: 1, ..at("fp3, upper mantissa", 60, 4) },
    Register { needs: 1, ..at("fp3, lower mantissa", 64, 4) },
    Register { needs: 1, mask: 0xffff_0000, ..at("fp4, sign and exponent", 68, 4) },
    Register { needs: 1, ..at("fp4, upper mantissa", 72, 4) },
    Register { needs: 1, ..at("fp4, lower mantissa", 76, 4) },
    Register { needs: 1, mask: 0xffff_0000, ..at("fp5, sign and exponent", 80, 4) },
    Register { needs: 1, ..at("fp5, upper mantissa", 84, 4) },
    Register { needs: 1, ..at("fp5, lower mantissa", 88, 4) },
    Register { needs: 1, mask: 0xffff_0000, ..at("fp6, sign and exponent", 92, 4) },
    Register { needs: 1, ..at("fp6, upper mantissa", 96, 4) },
    Register { needs: 1, ..at("fp6, lower mantissa", 100, 4) },
    Register { needs: 1, mask: 0xffff_0000, ..at("fp7, sign and exponent", 104, 4) },
    Register { needs: 1, ..at("fp7, upper mantissa", 108, 4) },
    Register { needs: 1, ..at("fp7, lower mantissa", 112, 4) },
    // The exception enables, precision, rounding.
    Register { needs: 1, ..control("fpcr", 116, 4, 0xfff0, 0) },
];

const _: () = {
    let mut i = 0;
    while i < REGISTERS.len() {
        let register = &REGISTERS[i];
        assert!(register.size == 4 || register.size == 8);
        assert!(register.offset.is_multiple_of(register.size));
        assert!(register.offset + register.size <= size_of::<Image>());
        i += 1;
    }
};
