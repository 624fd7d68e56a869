/* greenlet_switch for AArch64, Windows (MSVC and LLVM-MinGW).

   Source: Microsoft, "Overview of ARM64 ABI conventions" (integer and floating-point registers, FPCR), "ARM64
   exception handling" (unwind codes).

   A callee must preserve      x19 to x28, x29 (frame pointer), sp, d8 to d15 (the low halves of v8 to v15)
                               and x30 so far as it is where to return to.
   FPCR                        its rounding and trap bits may be changed only by calls that are meant to: as
                               good as preserved, so it is kept.
   x18 is the platform's, and never changes. The thread block's stack bounds are not touched.
   Written by a callee above its own frame: nothing. Below the start there are 16 bytes all the same, see below.

   What a suspended greenlet has at its stack start, lowest address first:

       start - 16   [a frame record of zeros while restore runs; in nobody's slice]
       start + 0    x29, x30 (a frame record)
             + 16   x19 to x28
             + 96   d8 to d15
             + 160  FPCR, unused                                               176 bytes in all

   Windows' unwind data has no word for "undefined". So the function is two of them in a row for the unwinder, and
   the second, which is where sp has been switched and restore not yet returned, finds a return
   address of 0, at which every walk ends.                                                         */

        .text

/* void *greenlet_switch(void *(*save)(void *ctx, void *sp), void *(*restore)(void *ctx, void *sp),
                         void *ctx)
                         x0: save, x1: restore, x2: ctx                                           */
        .globl  greenlet_switch
        .def    greenlet_switch
        .scl    2
        .type   32
        .endef
        .p2align 4
        .seh_proc greenlet_switch
greenlet_switch:
        sub     sp, sp, #192
        .seh_stackalloc 192
        stp     x29, x30, [sp, #16]
        .seh_save_fplr 16
        stp     x19, x20, [sp, #32]
        .seh_save_regp x19, 32
        stp     x21, x22, [sp, #48]
        .seh_save_regp x21, 48
        stp     x23, x24, [sp, #64]
        .seh_save_regp x23, 64
        stp     x25, x26, [sp, #80]
        .seh_save_regp x25, 80
        stp     x27, x28, [sp, #96]
        .seh_save_regp x27, 96
        stp     d8, d9, [sp, #112]
        .seh_save_fregp d8, 112
        stp     d10, d11, [sp, #128]
        .seh_save_fregp d10, 128
        stp     d12, d13, [sp, #144]
        .seh_save_fregp d12, 144
        stp     d14, d15, [sp, #160]
        .seh_save_fregp d14, 160
        .seh_endprologue
        mrs     x9, fpcr
        str     x9, [sp, #176]

        mov     x19, x1                 /* restore and ctx outlive the call to save */
        mov     x20, x2
        mov     x9, x0
        mov     x0, x2
        add     x1, sp, #16
        blr     x9                      /* target = save(ctx, start) */
        mov     x1, x0
        mov     x29, xzr                /* walkers end here */
        mov     x30, xzr
        cbnz    x1, greenlet_switch_restoring
                                        /* else nothing has changed: return null */
.Lresume:
        ldr     x9, [sp, #176]
        msr     fpcr, x9
        .seh_startepilogue
        ldp     d14, d15, [sp, #160]
        .seh_save_fregp d14, 160
        ldp     d12, d13, [sp, #144]
        .seh_save_fregp d12, 144
        ldp     d10, d11, [sp, #128]
        .seh_save_fregp d10, 128
        ldp     d8, d9, [sp, #112]
        .seh_save_fregp d8, 112
        ldp     x27, x28, [sp, #96]
        .seh_save_regp x27, 96
        ldp     x25, x26, [sp, #80]
        .seh_save_regp x25, 80
        ldp     x23, x24, [sp, #64]
        .seh_save_regp x23, 64
        ldp     x21, x22, [sp, #48]
        .seh_save_regp x21, 48
        ldp     x19, x20, [sp, #32]
        .seh_save_regp x19, 32
        ldp     x29, x30, [sp, #16]
        .seh_save_fplr 16
        add     sp, sp, #192
        .seh_stackalloc 192
        .seh_endepilogue
        ret
        .seh_endproc

        .seh_proc greenlet_switch_restoring
greenlet_switch_restoring:
        sub     sp, x1, #16
        .seh_nop
        stp     x29, x30, [sp]          /* zeros */
        .seh_save_fplr 0
        .seh_endprologue
        mov     x0, x20
        blr     x19                     /* result = restore(ctx, target) */
        b       .Lresume
        .seh_endproc
