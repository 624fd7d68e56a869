/* void *greenlet_probe(load, store, f, a, b, c): see ../src/lib.rs. AArch64, AAPCS64.
   x0: load, x1: store, x2: f, x3, x4, x5: a, b, c.

   Its frame:  sp + 0 x29, x30,  + 16 x19 to x28,  + 96 d8 to d15,  + 160 our FPCR, store         */

#if defined(__APPLE__)
#define SYM(name) _##name
#else
#define SYM(name) name
#endif

        .text
        .globl  SYM(greenlet_probe)
        .p2align 2
SYM(greenlet_probe):
        hint    #34                     /* bti c */
        stp     x29, x30, [sp, #-176]!
        stp     x19, x20, [sp, #16]
        stp     x21, x22, [sp, #32]
        stp     x23, x24, [sp, #48]
        stp     x25, x26, [sp, #64]
        stp     x27, x28, [sp, #80]
        stp     d8, d9, [sp, #96]
        stp     d10, d11, [sp, #112]
        stp     d12, d13, [sp, #128]
        stp     d14, d15, [sp, #144]
        mrs     x9, fpcr
        stp     x9, x1, [sp, #160]

        ldp     x19, x20, [x0]
        ldp     x21, x22, [x0, #16]
        ldp     x23, x24, [x0, #32]
        ldp     x25, x26, [x0, #48]
        ldp     x27, x28, [x0, #64]
        ldr     x29, [x0, #80]
        ldp     d8, d9, [x0, #88]
        ldp     d10, d11, [x0, #104]
        ldp     d12, d13, [x0, #120]
        ldp     d14, d15, [x0, #136]
        ldr     x9, [x0, #152]
        msr     fpcr, x9

        mov     x9, x2
        mov     x0, x3
        mov     x1, x4
        mov     x2, x5
        blr     x9

        ldr     x10, [sp, #168]
        stp     x19, x20, [x10]
        stp     x21, x22, [x10, #16]
        stp     x23, x24, [x10, #32]
        stp     x25, x26, [x10, #48]
        stp     x27, x28, [x10, #64]
        str     x29, [x10, #80]
        stp     d8, d9, [x10, #88]
        stp     d10, d11, [x10, #104]
        stp     d12, d13, [x10, #120]
        stp     d14, d15, [x10, #136]
        mrs     x9, fpcr
        str     x9, [x10, #152]

        ldr     x9, [sp, #160]
        msr     fpcr, x9
        ldp     d14, d15, [sp, #144]
        ldp     d12, d13, [sp, #128]
        ldp     d10, d11, [sp, #112]
        ldp     d8, d9, [sp, #96]
        ldp     x27, x28, [sp, #80]
        ldp     x25, x26, [sp, #64]
        ldp     x23, x24, [sp, #48]
        ldp     x21, x22, [sp, #32]
        ldp     x19, x20, [sp, #16]
        ldp     x29, x30, [sp], #176
        ret

#if defined(__ELF__)
        .section .rodata
#elif defined(__APPLE__)
        .const
#else
        .section .rdata, "dr"
#endif
        .globl  SYM(greenlet_probe_features)
        .p2align 2
SYM(greenlet_probe_features):
        .long   0
#if defined(__ELF__)
        .section .note.gnu.property, "a"
        .p2align 3
        .long   4, 16, 5
        .asciz  "GNU"
        .long   0xc0000000, 4, 1
        .long   0
        .section .note.GNU-stack, "", %progbits
#endif
