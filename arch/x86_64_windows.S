/* greenlet_switch for x86-64, Windows (GNU and MSVC).

   Source: Microsoft, "x64 calling convention" and "x64 ABI conventions" (register volatility and preservation,
   the stack's home space, MXCSR and FPCSR), "x64 exception handling" (unwind data).

   A callee must preserve      rbx, rbp, rdi, rsi, rsp, r12 to r15, xmm6 to xmm15 (the low 128 bits of
                               wider ones)
   and the control bits of     MXCSR and the x87 control word (FPCSR).
   Written by a callee above its own frame: 32 bytes, the home space of its register arguments.
   The thread block's stack bounds are not touched here: src/raw/bounds.rs sets them when another stack runs.

   What a suspended greenlet has at its stack start, lowest address first:

       start - 48   [reserved: the home space of save and restore; in nobody's slice]
       start - 16   [reserved: a return address of 0 while restore runs]
       start + 0    xmm6 to xmm15
             + 160  MXCSR (4 bytes), x87 control word (2), unused (2)
             + 168  r15, r14, r13, r12, rsi, rdi, rbx, rbp
             + 232  return address
             + 240  the home space of greenlet_switch itself: the caller's

   Windows' unwind data has no word for "undefined", and speaks of whole functions. So the function is three of them in a
   row for the unwinder: until rsp is switched; from there until restore has returned, where the
   return address is found to be 0, at which every walk ends; and after that.                      */

        .intel_syntax noprefix
        .text

        .macro  SAVED                   /* what is where, once all is saved: the unwinder's view */
        .seh_savexmm xmm6, 48
        .seh_savexmm xmm7, 64
        .seh_savexmm xmm8, 80
        .seh_savexmm xmm9, 96
        .seh_savexmm xmm10, 112
        .seh_savexmm xmm11, 128
        .seh_savexmm xmm12, 144
        .seh_savexmm xmm13, 160
        .seh_savexmm xmm14, 176
        .seh_savexmm xmm15, 192
        .seh_endprologue
        .endm

/* void *greenlet_switch(void *(*save)(void *ctx, void *sp), void *(*restore)(void *ctx, void *sp),
                         void *ctx)
                         rcx: save, rdx: restore, r8: ctx                                         */
        .globl  greenlet_switch
        .def    greenlet_switch
        .scl    2
        .type   32
        .endef
        .p2align 4
        .seh_proc greenlet_switch
greenlet_switch:
        push    rbp
        .seh_pushreg rbp
        push    rbx
        .seh_pushreg rbx
        push    rdi
        .seh_pushreg rdi
        push    rsi
        .seh_pushreg rsi
        push    r12
        .seh_pushreg r12
        push    r13
        .seh_pushreg r13
        push    r14
        .seh_pushreg r14
        push    r15
        .seh_pushreg r15
        sub     rsp, 216
        .seh_stackalloc 216
        movaps  [rsp + 48], xmm6
        movaps  [rsp + 64], xmm7
        movaps  [rsp + 80], xmm8
        movaps  [rsp + 96], xmm9
        movaps  [rsp + 112], xmm10
        movaps  [rsp + 128], xmm11
        movaps  [rsp + 144], xmm12
        movaps  [rsp + 160], xmm13
        movaps  [rsp + 176], xmm14
        movaps  [rsp + 192], xmm15
        SAVED
        stmxcsr [rsp + 208]
        fnstcw  [rsp + 212]

        mov     rsi, rdx                /* restore and ctx outlive the call to save */
        mov     rdi, r8
        mov     rax, rcx
        mov     rcx, r8
        lea     rdx, [rsp + 48]
        call    rax                     /* target = save(ctx, start) */
        test    rax, rax
        jz      .Lresume                /* nothing has changed: return null */

        xor     ebp, ebp                /* walkers by frame pointer end here */
        mov     rcx, rdi
        mov     rdx, rax
        mov     qword ptr [rax - 16], 0 /* free: what was there is saved, or was never used */
        lea     rsp, [rax - 48]
        .seh_endproc

        .seh_proc greenlet_switch_restoring
greenlet_switch_restoring:
        .seh_stackalloc 32              /* and there is the return address, which is 0 */
        .seh_endprologue
        call    rsi                     /* result = restore(ctx, target) */
        jmp     .Lresume                /* the next one: the return address of restore is to lie in this part */
        .seh_endproc

        .seh_proc greenlet_switch_resume
greenlet_switch_resume:
        .seh_pushreg rbp
        .seh_pushreg rbx
        .seh_pushreg rdi
        .seh_pushreg rsi
        .seh_pushreg r12
        .seh_pushreg r13
        .seh_pushreg r14
        .seh_pushreg r15
        .seh_stackalloc 216
        SAVED
.Lresume:
        ldmxcsr [rsp + 208]
        fldcw   [rsp + 212]
        movaps  xmm6, [rsp + 48]
        movaps  xmm7, [rsp + 64]
        movaps  xmm8, [rsp + 80]
        movaps  xmm9, [rsp + 96]
        movaps  xmm10, [rsp + 112]
        movaps  xmm11, [rsp + 128]
        movaps  xmm12, [rsp + 144]
        movaps  xmm13, [rsp + 160]
        movaps  xmm14, [rsp + 176]
        movaps  xmm15, [rsp + 192]
        add     rsp, 216
        pop     r15
        pop     r14
        pop     r13
        pop     r12
        pop     rsi
        pop     rdi
        pop     rbx
        pop     rbp
        ret
        .seh_endproc
