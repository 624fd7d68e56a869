/* greenlet_switch for 32-bit ARM, AAPCS, on processors that have only the first Thumb instruction set (ARMv6-M,
   ARMv8-M baseline).

   Source: as in arm_aapcs.S. These have no floating-point registers, and push and pop reach the low registers only.

   A callee must preserve      r4 to r11, sp; lr so far as it is where to return to.
   Written by a callee above its own frame: nothing, so nothing is reserved.

   What a suspended greenlet has at its stack start, lowest address first:

       start + 0    r8 to r11
             + 16   unused: the stack start is a multiple of 8
             + 20   r4 to r7
             + 36   lr                                                                             */

        .syntax unified
        .cfi_sections .debug_frame
        .text
        .thumb

/* void *greenlet_switch(void *(*save)(void *ctx, void *sp), void *(*restore)(void *ctx, void *sp),
                         void *ctx)
                         r0: save, r1: restore, r2: ctx                                           */
        .globl  greenlet_switch
        .hidden greenlet_switch
        .type   greenlet_switch, %function
        .p2align 2
        .thumb_func
greenlet_switch:
        .fnstart
        .cfi_startproc
        push    {r3-r7, lr}
        .save   {r3-r7, lr}
        .cfi_def_cfa_offset 24
        .cfi_offset r4, -20
        .cfi_offset r5, -16
        .cfi_offset r6, -12
        .cfi_offset r7, -8
        .cfi_offset lr, -4
        mov     r4, r8
        mov     r5, r9
        mov     r6, r10
        mov     r7, r11
        push    {r4-r7}
        .save   {r8-r11}
        .cfi_def_cfa_offset 40
        .cfi_offset r8, -40
        .cfi_offset r9, -36
        .cfi_offset r10, -32
        .cfi_offset r11, -28
        movs    r4, r1                  /* restore and ctx outlive the call to save */
        movs    r5, r2
        movs    r3, r0
        movs    r0, r2
        mov     r1, sp
        blx     r3                      /* target = save(ctx, start) */
        cmp     r0, #0
        beq     .Lresume                /* nothing has changed: return null */

        movs    r1, r0
        movs    r7, #0                  /* survives: walkers by frame pointer end here */
        mov     r11, r7                 /* survives: as do those of the older convention */
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
        movs    r0, r5
        blx     r4                      /* result = restore(ctx, target) */
        .cfi_restore_state
        .fnend

        .fnstart
        .save   {r3-r7, lr}
        .save   {r8-r11}
.Lresume:
        pop     {r4-r7}
        .cfi_def_cfa_offset 24
        .cfi_register r8, r4
        .cfi_register r9, r5
        .cfi_register r10, r6
        .cfi_register r11, r7
        mov     r8, r4
        mov     r9, r5
        mov     r10, r6
        mov     r11, r7
        .cfi_restore r8
        .cfi_restore r9
        .cfi_restore r10
        .cfi_restore r11
        pop     {r3-r7, pc}
        .cfi_endproc
        .fnend
        .size   greenlet_switch, . - greenlet_switch

        .section .note.GNU-stack, "", %progbits
