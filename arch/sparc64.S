/* greenlet_switch for SPARC V9, 64 bits.

   Source: SPARC Compliance Definition 2.4.1, chapter 3 (64-bit "Low-Level System Information"): "Registers and the
   Stack Frame"; The SPARC Architecture Manual, version 9, "Register-Window State Registers" and appendix H, for the windows.

   A callee must preserve      its caller's window: %l0 to %l7, %i0 to %i7, and %sp (%fp in a window of its own);
                               %o7 so far as it is where to return to. No floating-point register.
   FSR                         its trap enables and rounding mode may be changed only by calls that are meant to:
                               as good as preserved, so it is kept.
   %g6 and %g7 are the platform's, and never change.

   The windows of all callers are flushed to their frames first, where they are bytes of the slice like any others. From
   then on the only window that is not in memory is this function's own. What it still needs of that in the target it
   reads from the slice. `restore` then finds the target's caller in memory.

   Written by a callee, or by a trap, above the callee's own frame: the 128 bytes where this function's window is
   spilled, and the slots of six arguments (48).

   What a suspended greenlet has at its stack start, lowest address first. Registers point 2047 below what they mean.

       start - 176  [reserved: for the window and the argument slots; in nobody's slice]
       start + 0    %i6: the caller's %sp
             + 8    %i7: the address of the call
             + 16   FSR
             + 24   unused: the stack start is a multiple of 16                                     */

#define BIAS 2047
#define RESERVED 176
#define FRAME (RESERVED + 32)

        .text

/* void *greenlet_switch(void *(*save)(void *ctx, void *sp), void *(*restore)(void *ctx, void *sp),
                         void *ctx)
                         %o0: save, %o1: restore, %o2: ctx                                        */
        .globl  greenlet_switch
        .hidden greenlet_switch
        .type   greenlet_switch, #function
        .p2align 2
greenlet_switch:
        .cfi_startproc
        save    %sp, -FRAME, %sp
        .cfi_def_cfa_offset BIAS + FRAME
        .cfi_window_save
        .cfi_register 15, 31            /* %o7 */
        flushw
        stx     %i6, [%sp + BIAS + RESERVED]
        stx     %i7, [%sp + BIAS + RESERVED + 8]
        .cfi_offset 15, RESERVED + 8 - FRAME
        stx     %fsr, [%sp + BIAS + RESERVED + 16]

        mov     %i2, %o0
        call    %i0                     /* target = save(ctx, start) */
        add     %sp, BIAS + RESERVED, %o1 /* (executed before the callee) */
        brz,pn  %o0, .Lresume           /* nothing has changed: return null */
        mov     %o0, %o1

        mov     %i2, %o0
        clr     %i6                     /* survives: walkers by frame pointer end here */
        clr     %i7                     /* survives: as do those that look for where to return to */
        .cfi_remember_state
        sub     %o1, BIAS + RESERVED, %sp
        .cfi_undefined 15               /* above sp there may be another greenlet's bytes, or none */
        .cfi_undefined 16
        .cfi_undefined 17
        .cfi_undefined 18
        .cfi_undefined 19
        .cfi_undefined 20
        .cfi_undefined 21
        .cfi_undefined 22
        .cfi_undefined 23
        .cfi_undefined 24
        .cfi_undefined 25
        .cfi_undefined 26
        .cfi_undefined 27
        .cfi_undefined 28
        .cfi_undefined 29
        .cfi_undefined 30
        .cfi_undefined 31
        call    %i1                     /* result = restore(ctx, target) */
        nop
        .cfi_restore_state

.Lresume:
        ldx     [%sp + BIAS + RESERVED + 16], %fsr
        ldx     [%sp + BIAS + RESERVED], %i6
        ldx     [%sp + BIAS + RESERVED + 8], %i7
        ret
        restore %g0, %o0, %o0
        .cfi_endproc
        .size   greenlet_switch, . - greenlet_switch

        .section .note.GNU-stack, "", @progbits
