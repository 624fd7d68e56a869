//! AArch64, at exception level 1: the start, and semihosting by a halt.

use core::arch::{asm, global_asm};

global_asm!(
    ".section .start, \"ax\"",
    ".globl _start",
    "_start:",
    "mov x0, #0x300000", // floating-point and vector registers do not trap
    "msr cpacr_el1, x0",
    "adr x0, _vectors",
    "msr vbar_el1, x0",
    "isb",
    "ldr x0, =_stack_top",
    "mov sp, x0",
    "ldr x0, =_data",
    "ldr x1, =_data_end",
    "ldr x2, =_data_load",
    "2: cmp x0, x1",
    "b.hs 3f",
    "ldr x3, [x2], #8",
    "str x3, [x0], #8",
    "b 2b",
    "3: ldr x0, =_bss",
    "ldr x1, =_bss_end",
    "4: cmp x0, x1",
    "b.hs 5f",
    "str xzr, [x0], #8",
    "b 4b",
    "5: bl run",
    ".ltorg",
    // Sixteen entries of 128 bytes.
    ".balign 2048",
    "_vectors:",
    ".rept 16",
    ".balign 128",
    "b fault",
    ".endr",
);

pub fn semihosting(operation: usize, argument: *const usize) {
    // SAFETY: the emulator reads the argument as the operation says, and writes nothing.
    unsafe { asm!("hlt #0xf000", inout("x0") operation => _, in("x1") argument) }
}
