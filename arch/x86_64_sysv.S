/* greenlet_switch for x86-64, System V ABI (Linux, the BSDs, Solaris, bare metal; Mach-O as well).

   Source: System V Application Binary Interface, AMD64 Architecture Processor Supplement,
   version 1.0, section 3.2.1 "Registers" and figure 3.4 "Register Usage".

   A callee must preserve      rbx, rbp, rsp, r12, r13, r14, r15
   and the control bits of     MXCSR (not its status flags) and the x87 control word, except where the compiler
                               is told to use no SSE, as in kernels: there is no floating point then, and
                               an instruction that looks at it may trap.
   Written by a callee above its own frame: nothing (no home space), so nothing is reserved.
   The direction flag is clear on entry and return; x87 is in x87 mode; no vector register is kept.

   What a suspended greenlet has at its stack start, lowest address first. Stacks grow down.

       start + 0    unused: the stack start is a multiple of 16
             + 8    rbx
             + 16   rbp
             + 24   where to continue: .Lreturn below, or the code that was inlined
     and when it came through greenlet_switch, above that
             + 32   MXCSR (4 bytes), x87 control word (2), unused (2)
             + 40   r12
             + 48   r13
             + 56   r14
             + 64   r15
             + 72   return address

   There are three entries, and a greenlet suspended through one may be resumed through any other,
   since all leave by "pop the 32 bytes, jump to the word at + 24":

   - greenlet_switch(save, restore, ctx): an ordinary C function, returns by `ret`;
   - greenlet_jump: for Rust code, inlined into its caller. It is entered by a jump with the address to
     continue at already pushed. No call, no return: the return predictor stays in step whoever is
     resumed. The code that is left has declared r12 to r15 as clobbered, and its MXCSR and x87 control
     words are Rust's defaults (the Rust Reference makes anything else undefined), so neither is
     kept: reading and loading MXCSR alone costs 4 + 3 ns a switch on Zen 4. What it takes comes in
     registers in which it outlives the calls;
   - greenlet_swap: entered in the same way, for a target whose bytes are all in place: no callback.  */

#if defined(__APPLE__)
#define SYM(name) _##name
#define HIDDEN(name) .private_extern _##name
#define TYPE(name)
#define SIZE(name)
#define LOCAL(name) L##name
#else
#define SYM(name) name
#define HIDDEN(name) .hidden name
#define TYPE(name) .type name, @function
#define SIZE(name) .size name, . - name
#define LOCAL(name) .L##name
#endif

        .intel_syntax noprefix
        .text

/* void *greenlet_switch(void *(*save)(void *ctx, void *sp), void *(*restore)(void *ctx, void *sp),
                         void *ctx)
                         rdi: save, rsi: restore, rdx: ctx                                        */
        .globl  SYM(greenlet_switch)
        HIDDEN(greenlet_switch)
        TYPE(greenlet_switch)
        .p2align 4
SYM(greenlet_switch):
        .cfi_startproc
        endbr64                         /* survives: a landing pad, which Linux does not ask of programs */
        push    r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r15, 0
        push    r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r14, 0
        push    r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r13, 0
        push    r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r12, 0
        sub     rsp, 8
        .cfi_adjust_cfa_offset 8
#if defined(__SSE__)
        stmxcsr [rsp]
        fnstcw  [rsp + 4]
#endif
        mov     rax, rdi
        mov     r12, rsi
        mov     r13, rdx
        lea     rcx, [rip + LOCAL(return)]
        push    rcx
        .cfi_adjust_cfa_offset 8
        jmp     SYM(greenlet_jump)
        .cfi_adjust_cfa_offset -8
        nop                             /* unwinders look up the address before the one below */
LOCAL(return):
#if defined(__SSE__)
        ldmxcsr [rsp]
        fldcw   [rsp + 4]
#endif
        add     rsp, 8
        .cfi_adjust_cfa_offset -8
        pop     r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore r12
        pop     r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore r13
        pop     r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore r14
        pop     r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore r15
        ret
        .cfi_endproc
        SIZE(greenlet_switch)

/* rax: save, r12: restore, r13: ctx; the address to continue at on the stack (rsp is 8 off a multiple
   of 16).                                                                                        */
        .globl  SYM(greenlet_jump)
        HIDDEN(greenlet_jump)
        TYPE(greenlet_jump)
        .p2align 4
SYM(greenlet_jump):
        .cfi_startproc
        push    rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbp, 0
        push    rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbx, 0
        sub     rsp, 8
        .cfi_adjust_cfa_offset 8

        mov     rdi, r13
        mov     rsi, rsp
        call    rax                     /* target = save(ctx, start) */
        test    rax, rax
        jz      LOCAL(resume)           /* nothing has changed: return null */

        .cfi_remember_state
        xor     ebp, ebp                /* walkers by frame pointer end here */
        mov     rsp, rax
        .cfi_undefined rip              /* above sp there may be another greenlet's bytes, or none */
        .cfi_undefined rbx
        .cfi_undefined rbp
        mov     rdi, r13
        mov     rsi, rax
        call    r12                     /* result = restore(ctx, target) */
        .cfi_restore_state

LOCAL(resume):
        add     rsp, 8
        .cfi_adjust_cfa_offset -8
        pop     rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbx
        pop     rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbp
        pop     rcx
        .cfi_adjust_cfa_offset -8
        .cfi_register rip, rcx
        notrack jmp rcx
        .cfi_endproc
        SIZE(greenlet_jump)

/* rdi: where to store the start of the one that is left; rsi: the start of the target, whose bytes
   are all in place. The address to continue at is on the stack, as for greenlet_jump. Whoever is
   continued gets a result that is not null, as from the other entries.                           */
        .globl  SYM(greenlet_swap)
        HIDDEN(greenlet_swap)
        TYPE(greenlet_swap)
        .p2align 4
SYM(greenlet_swap):
        .cfi_startproc
        push    rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbp, 0
        push    rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbx, 0
        lea     rax, [rsp - 8]          /* the start; and the target's result: not null */
        mov     [rdi], rax
        lea     rsp, [rsi + 8]          /* the same layout, so the same rules: now the target's */
        pop     rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbx
        pop     rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbp
        pop     rcx
        .cfi_adjust_cfa_offset -8
        .cfi_register rip, rcx
        notrack jmp rcx
        .cfi_endproc
        SIZE(greenlet_swap)

#if defined(__ELF__)
        .section .note.gnu.property, "a"
        .p2align 3
        .long   4, 16, 5                /* name size, descriptor size, NT_GNU_PROPERTY_TYPE_0 */
        .asciz  "GNU"
        .long   0xc0000002, 4, 1        /* GNU_PROPERTY_X86_FEATURE_1_AND: IBT, not SHSTK */
        .long   0
        .section .note.GNU-stack, "", @progbits
#endif
