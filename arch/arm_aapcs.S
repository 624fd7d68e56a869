/* greenlet_switch for 32-bit ARM, AAPCS: ARM state on application and real-time processors (callers and callbacks may
   be Thumb), Thumb-2 on microcontrollers.

   Source: Procedure Call Standard for the Arm Architecture (AAPCS32), 2025Q4, section 6.1.1 "Core registers",
   6.1.2.1 "VFP register usage conventions" (FPSCR too); Exception Handling ABI for the
   Arm Architecture (EHABI32), 2024Q3, for the unwind data.

   A callee must preserve      r4 to r8, r10, r11, sp; r9 where the platform makes it v6: so always;
                               lr so far as it is where to return to
                               d8 to d15 where there are floating-point registers
   FPSCR                       its rounding, flush-to-zero and trap bits may be changed only by calls that
                               are meant to: as good as preserved, so it is kept.
   Written by a callee above its own frame: nothing, so nothing is reserved.

   What a suspended greenlet has at its stack start, lowest address first:

       start + 0    d8 to d15                               64 bytes where there are such registers
       then  + 0    FPSCR, or unused: the stack start is a multiple of 8
             + 4    r4 to r11
             + 36   lr

   EHABI speaks of whole functions, so for it the function is three in a row: until sp is switched; from there until
   restore has returned, where nothing can be unwound; and after that. Debuggers read the CFI. */

        .syntax unified
        .cfi_sections .debug_frame
        .text

#if __ARM_ARCH_PROFILE == 'M'
        .thumb
#else
        .arm
#endif

#if defined(__ARM_FP) && !defined(__SOFTFP__)
#define FLOAT 1
#else
#define FLOAT 0
#endif

        .macro  CALL reg
#if __ARM_ARCH >= 5
        blx     \reg
#else
        mov     lr, pc
        bx      \reg
#endif
        .endm

/* void *greenlet_switch(void *(*save)(void *ctx, void *sp), void *(*restore)(void *ctx, void *sp),
                         void *ctx)
                         r0: save, r1: restore, r2: ctx                                           */
        .globl  greenlet_switch
        .hidden greenlet_switch
        .type   greenlet_switch, %function
        .p2align 2
greenlet_switch:
        .fnstart
        .cfi_startproc
#if FLOAT
        vmrs    r3, fpscr
#endif
        push    {r3-r11, lr}
        .save   {r3-r11, lr}
        .cfi_def_cfa_offset 40
        .cfi_offset r4, -36
        .cfi_offset r5, -32
        .cfi_offset r6, -28
        .cfi_offset r7, -24
        .cfi_offset r8, -20
        .cfi_offset r9, -16
        .cfi_offset r10, -12
        .cfi_offset r11, -8
        .cfi_offset lr, -4
#if FLOAT
        vpush   {d8-d15}
        .vsave  {d8-d15}
        .cfi_def_cfa_offset 104
        .cfi_offset 264, -104            /* d8 to d15 */
        .cfi_offset 265, -96
        .cfi_offset 266, -88
        .cfi_offset 267, -80
        .cfi_offset 268, -72
        .cfi_offset 269, -64
        .cfi_offset 270, -56
        .cfi_offset 271, -48
#endif
        mov     r4, r1                  /* restore and ctx outlive the call to save */
        mov     r5, r2
        mov     r12, r0
        mov     r0, r2
        mov     r1, sp
        CALL    r12                     /* target = save(ctx, start) */
        cmp     r0, #0
        beq     .Lresume                /* nothing has changed: return null */

        mov     r1, r0
        mov     r7, #0                  /* survives: walkers by frame pointer end here: Thumb's is r7 */
        mov     r11, #0                 /* survives: and ARM's is r11 */
        .cfi_remember_state
        mov     sp, r0                  /* survives: as r1, which is the same */
        .fnend

        .fnstart                        /* above sp there may be another greenlet's bytes, or none */
        .cantunwind
        .cfi_undefined lr
        .cfi_undefined r4
        .cfi_undefined r5
        .cfi_undefined r6
        .cfi_undefined r7
        .cfi_undefined r8
        .cfi_undefined r9
        .cfi_undefined r10
        .cfi_undefined r11
#if FLOAT
        .cfi_undefined 264
        .cfi_undefined 265
        .cfi_undefined 266
        .cfi_undefined 267
        .cfi_undefined 268
        .cfi_undefined 269
        .cfi_undefined 270
        .cfi_undefined 271
#endif
        mov     r0, r5
        CALL    r4                      /* result = restore(ctx, target) */
        .cfi_restore_state
        .fnend

        .fnstart
        .save   {r3-r11, lr}
#if FLOAT
        .vsave  {d8-d15}
#endif
.Lresume:
#if FLOAT
        vpop    {d8-d15}
        .cfi_def_cfa_offset 40
        .cfi_restore 264
        .cfi_restore 265
        .cfi_restore 266
        .cfi_restore 267
        .cfi_restore 268
        .cfi_restore 269
        .cfi_restore 270
        .cfi_restore 271
#endif
        pop     {r3-r11, lr}
        .cfi_def_cfa_offset 0
        .cfi_restore r4
        .cfi_restore r5
        .cfi_restore r6
        .cfi_restore r7
        .cfi_restore r8
        .cfi_restore r9
        .cfi_restore r10
        .cfi_restore r11
        .cfi_restore lr
#if FLOAT
        vmsr    fpscr, r3
#endif
        bx      lr
        .cfi_endproc
        .fnend
        .size   greenlet_switch, . - greenlet_switch

        .section .note.GNU-stack, "", %progbits
