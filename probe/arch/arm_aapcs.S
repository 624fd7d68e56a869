/* greenlet_probe: see ../src/lib.rs. 32-bit ARM, AAPCS: ARM state, Thumb-2 on microcontrollers.
   r0: load, r1: store, r2: f, r3: a; b and c on the stack.

   Its frame:  sp + 0 store,  + 4 our FPSCR,  + 12 r4 to r11, lr,  + 48 d8 to d15 if any,  then b, c  */

        .syntax unified
        .text
#if __ARM_ARCH_PROFILE == 'M'
        .thumb
#else
        .arm
#endif
#if defined(__ARM_FP) && !defined(__SOFTFP__)
#define FLOAT 1
#define ABOVE 112
#else
#define FLOAT 0
#define ABOVE 48
#endif

        .globl  greenlet_probe
        .type   greenlet_probe, %function
        .p2align 2
greenlet_probe:
#if FLOAT
        vpush   {d8-d15}
#endif
        push    {r4-r11, lr}
        sub     sp, sp, #12
        str     r1, [sp]
        ldm     r0!, {r4-r11}
#if FLOAT
        vmrs    r12, fpscr
        str     r12, [sp, #4]
        vldm    r0!, {d8-d15}
        ldr     r12, [r0]
        vmsr    fpscr, r12
#endif
        mov     r12, r2
        mov     r0, r3
        ldr     r1, [sp, #ABOVE]
        ldr     r2, [sp, #ABOVE + 4]
#if __ARM_ARCH >= 5
        blx     r12
#else
        mov     lr, pc
        bx      r12
#endif
        ldr     r1, [sp]
        stm     r1!, {r4-r11}
#if FLOAT
        vstm    r1!, {d8-d15}
        vmrs    r12, fpscr
        str     r12, [r1]
        ldr     r12, [sp, #4]
        vmsr    fpscr, r12
#endif
        add     sp, sp, #12
        pop     {r4-r11, lr}
#if FLOAT
        vpop    {d8-d15}
#endif
        bx      lr

        .section .rodata
        .globl  greenlet_probe_features
        .p2align 2
greenlet_probe_features:
        .long   FLOAT
#if defined(__linux__)
        .section .note.GNU-stack, "", %progbits
#endif
