//! Cortex-M: the vector table, the start, and semihosting by a breakpoint.

use core::arch::{asm, global_asm};

global_asm!(
    ".section .vectors, \"a\"",
    ".word _stack_top",
    ".word _start",
    ".rept 14",
    ".word _fault",
    ".endr",
    ".section .start, \"ax\"",
    ".thumb",
    ".globl _start",
    ".type _start, %function",
    ".thumb_func",
    "_start:",
    // The floating-point unit, where there is one: full access to coprocessors 10 and 11.
    ".if {float}",
    "ldr r0, =0xe000ed88",
    "ldr r1, [r0]",
    "ldr r2, =0x00f00000",
    "orrs r1, r2",
    "str r1, [r0]",
    "dsb",
    "isb",
    ".endif",
    "ldr r0, =_data",
    "ldr r1, =_data_end",
    "ldr r2, =_data_load",
    "2: cmp r0, r1",
    "bhs 3f",
    "ldr r3, [r2]",
    "str r3, [r0]",
    "adds r0, #4",
    "adds r2, #4",
    "b 2b",
    "3: ldr r0, =_bss",
    "ldr r1, =_bss_end",
    "movs r2, #0",
    "4: cmp r0, r1",
    "bhs 5f",
    "str r2, [r0]",
    "adds r0, #4",
    "b 4b",
    "5: bl run",
    ".type _fault, %function",
    ".thumb_func",
    "_fault: bl fault",
    ".ltorg",
    float = const cfg!(target_abi = "eabihf") as u32,
);

pub fn semihosting(operation: usize, argument: *const usize) {
    // SAFETY: the emulator reads the argument as the operation says, and writes nothing.
    unsafe { asm!("bkpt #0xab", inout("r0") operation => _, in("r1") argument) }
}
