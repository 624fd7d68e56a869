//! x86-64, on a machine without firmware to speak of: it enters at `_start` in 32-bit mode with paging off (the PVH
//! entry, which the ELF note names). A serial port to print, and qemu's debug-exit device to end.

use core::arch::{asm, global_asm};

global_asm!(
    ".section .note.Xen, \"a\", @note",
    ".long 4, 8, 18", // sizes of name and value; 18 is XEN_ELFNOTE_PHYS32_ENTRY
    ".asciz \"Xen\"",
    ".quad _start",
    ".section .start, \"awx\"",
    ".code32",
    ".globl _start",
    "_start:",
    "mov esp, offset _stack_top",
    "mov eax, cr4",
    "or eax, 0x20", // PAE
    "mov cr4, eax",
    "mov eax, offset _level4",
    "mov cr3, eax",
    "mov ecx, 0xc0000080", // EFER
    "rdmsr",
    "or eax, 0x100", // long mode
    "wrmsr",
    "mov eax, cr0",
    "or eax, 0x80000001", // paging, and protection
    "mov cr0, eax",
    "lgdt [_gdt_pointer]",
    "mov eax, offset _long_mode",
    "push 8",
    "push eax",
    "retf",
    ".code64",
    "_long_mode:",
    "xor eax, eax",
    "mov ds, eax",
    "mov es, eax",
    "mov ss, eax",
    "mov edi, offset _data",
    "mov esi, offset _data_load",
    "mov ecx, offset _data_end",
    "sub ecx, edi",
    "rep movsb",
    "mov edi, offset _bss",
    "mov ecx, offset _bss_end",
    "sub ecx, edi",
    "rep stosb",
    "call run",
    ".balign 8",
    "_gdt: .quad 0, 0x00209a0000000000", // nothing, 64-bit code
    "_gdt_pointer: .word 15",
    ".long _gdt",
    // The first GiB at its own addresses, by pages of 2 MiB.
    ".balign 4096",
    "_level4: .quad _level3 + 3",
    ".balign 4096",
    "_level3: .quad _level2 + 3",
    ".balign 4096",
    "_level2:",
    ".set page, 0",
    ".rept 512",
    ".quad page + 0x83",
    ".set page, page + 0x200000",
    ".endr",
);

/// Ends with status 33 for 0, else with 2 n + 1: it cannot be 0, which is what a fault of the processor ends with here.
pub fn exit(status: u32) -> ! {
    let value = if status == 0 { 16 } else { status };
    // SAFETY: it ends the emulator.
    unsafe { asm!("out dx, eax", in("dx") 0xf4u16, in("eax") value) };
    loop {}
}

pub fn write(text: &[u8]) {
    const PORT: u16 = 0x3f8;
    for &byte in text {
        // SAFETY: the serial port takes bytes when it is ready, and does nothing else.
        unsafe {
            let mut state = 0u8;
            while state & 0x20 == 0 {
                asm!("in al, dx", out("al") state, in("dx") PORT + 5);
            }
            asm!("out dx, al", in("dx") PORT, in("al") byte);
        }
    }
}
