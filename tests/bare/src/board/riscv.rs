//! RISC-V, in machine mode: the start, and semihosting by a breakpoint between two marks.

use core::arch::{asm, global_asm};

global_asm!(
    ".section .start, \"ax\"",
    ".option push",
    ".option arch, +zicsr",
    ".option norelax",
    ".globl _start",
    "_start:",
    "la sp, _stack_top",
    "la t0, _fault",
    "csrw mtvec, t0",
    "li t0, 0x2000", // the floating-point unit, where there is one: state "initial"
    "csrs mstatus, t0",
    "la a0, _data",
    "la a1, _data_end",
    "la a2, _data_load",
    "2: bgeu a0, a1, 3f",
    "lw a3, 0(a2)",
    "sw a3, 0(a0)",
    "addi a0, a0, 4",
    "addi a2, a2, 4",
    "j 2b",
    "3: la a0, _bss",
    "la a1, _bss_end",
    "4: bgeu a0, a1, 5f",
    "sw zero, 0(a0)",
    "addi a0, a0, 4",
    "j 4b",
    "5: call run",
    ".balign 4", // the two low bits of mtvec are a mode
    "_fault: call fault",
    ".option pop",
);

pub fn semihosting(operation: usize, argument: *const usize) {
    // SAFETY: the emulator reads the argument as the operation says, and writes nothing.
    unsafe {
        asm!(
            ".balign 16",
            ".option push",
            ".option norvc",
            "slli x0, x0, 0x1f",
            "ebreak",
            "srai x0, x0, 7",
            ".option pop",
            inout("a0") operation => _,
            in("a1") argument,
        );
    }
}
