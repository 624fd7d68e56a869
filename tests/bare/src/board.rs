//! Start code, and a way to print and to end with a status, by semihosting. It knows nothing of greenlets.

use core::arch::{asm, global_asm};
use core::fmt;

#[cfg(target_arch = "arm")]
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
    "3: bl run",
    ".type _fault, %function",
    ".thumb_func",
    "_fault: b fault",
    ".ltorg",
    float = const cfg!(target_abi = "eabihf") as u32,
);

#[cfg(any(target_arch = "riscv32", target_arch = "riscv64"))]
global_asm!(
    ".section .start, \"ax\"",
    ".option push",
    ".option arch, +zicsr",
    ".option norelax",
    ".globl _start",
    "_start:",
    "la sp, _stack_top",
    "la t0, fault",
    "csrw mtvec, t0",
    "li t0, 0x2000", // the floating-point unit: state "initial"
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
    "3: call run",
    ".option pop",
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".section .start, \"ax\"",
    ".globl _start",
    "_start:",
    "mov x0, #0x300000",
    "msr cpacr_el1, x0",
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
    "3: bl run",
    ".ltorg",
);

/// Asks the emulator for an operation.
fn semihosting(operation: usize, argument: *const usize) {
    // SAFETY: the emulator reads the argument as the operation says, and writes nothing.
    unsafe {
        #[cfg(target_arch = "arm")]
        asm!("bkpt #0xab", inout("r0") operation => _, in("r1") argument);
        #[cfg(target_arch = "aarch64")]
        asm!("hlt #0xf000", inout("x0") operation => _, in("x1") argument);
        #[cfg(any(target_arch = "riscv32", target_arch = "riscv64"))]
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

/// Ends the emulator with this status.
pub fn exit(status: usize) -> ! {
    semihosting(0x20, [0x20026, status].as_ptr());
    loop {}
}

/// Prints to the emulator's console.
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.as_bytes().chunks(63) {
            let mut line = [0u8; 64];
            line[..part.len()].copy_from_slice(part);
            semihosting(0x04, line.as_ptr().cast());
        }
        Ok(())
    }
}

#[unsafe(no_mangle)]
extern "C" fn fault() -> ! {
    let _ = fmt::Write::write_str(&mut Console, "a fault of the processor\n");
    exit(3)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    let _ = fmt::Write::write_fmt(&mut Console, format_args!("{info}\n"));
    exit(1)
}
