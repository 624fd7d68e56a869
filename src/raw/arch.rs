//! The door to the assembly: `greenlet_switch` and, where the arch file has them, the two entries
//! that are inlined into their caller.
//!
//! What lies behind the door is the contract of `arch/README.md`. This file knows nothing of slices.

use core::ffi::c_void;

/// One of the two callbacks of a switch: `(ctx, stack pointer)`; see `arch/README.md`.
pub(super) type Callback = unsafe extern "C" fn(*mut c_void, *mut c_void) -> *mut c_void;

unsafe extern "C" {
    fn greenlet_switch(save: Callback, restore: Callback, ctx: *mut c_void) -> *mut c_void;
    #[cfg(greenlet_jump_entry)]
    fn greenlet_jump();
    #[cfg(all(greenlet_jump_entry, not(any(greenlet_asan, greenlet_valgrind))))]
    fn greenlet_swap();
}

/// Whether this target's arch file has the inlined entries.
pub const HAS_JUMP_ENTRY: bool = cfg!(greenlet_jump_entry);

/// What a stack start and a stack stop are multiples of, in bytes: what the ABI asks of a stack pointer.
pub const STACK_ALIGN: usize = if cfg!(any(
    target_abi = "ilp32e", // RISC-V with 16 registers
    target_arch = "m68k",
    all(target_arch = "x86", windows)
)) {
    4
} else if cfg!(any(target_arch = "arm", target_arch = "mips", target_arch = "s390x")) {
    8
} else {
    16
};

/// Switches by an ordinary call of the assembly function.
///
/// # Safety
///
/// `save` answers null, or an address that an earlier `save` of a suspended flow received, or one
/// at which a stack may begin; in the latter case `restore` does not return. Below the answered
/// address the stack is free to be written once `save` has returned, and `restore` puts every byte
/// at and above it, up to where the flow began, back to what it was. `ctx` does not live on a stack
/// that is sliced.
#[inline(always)]
pub(super) unsafe fn call(save: Callback, restore: Callback, ctx: *mut c_void) -> *mut c_void {
    // SAFETY: the caller's promise is the contract of the assembly.
    unsafe { greenlet_switch(save, restore, ctx) }
}

/// The same, inlined into the caller where the arch file has the entry for it: no call, no return,
/// and only the registers that are live are saved.
///
/// # Safety
///
/// As for [`call`].
#[inline(always)]
pub(super) unsafe fn jump(save: Callback, restore: Callback, ctx: *mut c_void) -> *mut c_void {
    #[cfg(greenlet_jump_entry)]
    {
        let result;
        // SAFETY: `greenlet_jump` takes the arguments of `greenlet_switch` in other registers and returns its result; it
        // preserves rbx, rbp and rsp, all else is declared clobbered. The block is entered with rsp
        // aligned as for a call and without a red zone (no `nostack`), so one word may be pushed;
        // the assembly pops it. For one instruction, the jump, unwind information is a word off.
        unsafe {
            core::arch::asm!(
                "lea rcx, [rip + 2f]",
                "push rcx",
                "jmp {entry}",
                "2:",
                entry = sym greenlet_jump,
                inlateout("rax") save as *const () => result,
                inlateout("r12") restore as *const () => _,
                inlateout("r13") ctx => _,
                lateout("r14") _,
                lateout("r15") _,
                clobber_abi("sysv64"),
            );
        }
        result
    }
    #[cfg(not(greenlet_jump_entry))]
    // SAFETY: as the caller promises.
    unsafe {
        call(save, restore, ctx)
    }
}

/// Leaves the running flow with its stack start stored in `*start` and goes on with the one whose start
/// is `target`. Inlined; only where the arch file has the entry for it.
///
/// # Safety
///
/// `target` is a stack start that an earlier switch of a suspended flow left, and every byte of
/// that flow's stretch is in place. `start` may be written.
#[cfg(all(greenlet_jump_entry, not(any(greenlet_asan, greenlet_valgrind))))]
#[inline(always)]
pub(super) unsafe fn swap(start: *mut usize, target: usize) {
    // SAFETY: as in `jump`; nothing is called, and both sides of the swap have the same layout.
    unsafe {
        core::arch::asm!(
            "lea rcx, [rip + 2f]",
            "push rcx",
            "jmp {entry}",
            "2:",
            entry = sym greenlet_swap,
            in("rdi") start,
            in("rsi") target,
            lateout("rax") _,
            lateout("r12") _,
            lateout("r13") _,
            lateout("r14") _,
            lateout("r15") _,
            clobber_abi("sysv64"),
        );
    }
}
