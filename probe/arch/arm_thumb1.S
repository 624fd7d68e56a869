/* greenlet_probe: see ../src/lib.rs. 32-bit ARM, AAPCS, the first Thumb instruction set.
   r0: load, r1: store, r2: f, r3: a; b and c on the stack.

   Its frame:  sp + 0 store, unused,  + 8 r8 to r11,  + 24 r4 to r7, lr,  + 44 unused,  + 48 b, c   */

        .syntax unified
        .text
        .thumb
        .globl  greenlet_probe
        .type   greenlet_probe, %function
        .p2align 2
        .thumb_func
greenlet_probe:
        sub     sp, sp, #4
        push    {r4-r7, lr}
        mov     r4, r8
        mov     r5, r9
        mov     r6, r10
        mov     r7, r11
        push    {r4-r7}
        sub     sp, sp, #8
        str     r1, [sp]
        mov     r12, r2
        mov     lr, r0
        adds    r0, r0, #16
        ldm     r0!, {r4-r7}
        mov     r8, r4
        mov     r9, r5
        mov     r10, r6
        mov     r11, r7
        mov     r0, lr
        ldm     r0!, {r4-r7}
        movs    r0, r3
        ldr     r1, [sp, #48]
        ldr     r2, [sp, #52]
        blx     r12
        ldr     r1, [sp]
        stm     r1!, {r4-r7}
        mov     r4, r8
        mov     r5, r9
        mov     r6, r10
        mov     r7, r11
        stm     r1!, {r4-r7}
        add     sp, sp, #8
        pop     {r4-r7}
        mov     r8, r4
        mov     r9, r5
        mov     r10, r6
        mov     r11, r7
        pop     {r4-r7}
        pop     {r1}
        add     sp, sp, #4
        bx      r1

        .section .rodata
        .globl  greenlet_probe_features
        .p2align 2
greenlet_probe_features:
        .long   0
