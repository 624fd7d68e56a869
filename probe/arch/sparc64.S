/* greenlet_probe and the area callbacks: see ../src/lib.rs. SPARC V9, 64 bits.
   %o0: load, %o1: store, %o2: f, %o3, %o4, %o5: a, b, c.

   greenlet_probe's frame, from %sp + BIAS: the window (128), argument slots (48), then load, store, f, our FSR, result.
   %i6 and %i7 cannot have any value: they are needed to return.                                   */

#define BIAS 2047
#define AT(n) %sp + BIAS + 176 + (n)

        .text
        .globl  greenlet_probe
        .type   greenlet_probe, #function
        .p2align 2
greenlet_probe:
        save    %sp, -224, %sp
        stx     %i1, [AT(8)]
        stx     %fsr, [AT(24)]
        mov     %i3, %o0
        mov     %i4, %o1
        mov     %i5, %o2
        mov     %i2, %g1
        mov     %i0, %g4
        ldx     [%g4 + 0], %l0
        ldx     [%g4 + 8], %l1
        ldx     [%g4 + 16], %l2
        ldx     [%g4 + 24], %l3
        ldx     [%g4 + 32], %l4
        ldx     [%g4 + 40], %l5
        ldx     [%g4 + 48], %l6
        ldx     [%g4 + 56], %l7
        ldx     [%g4 + 64], %i0
        ldx     [%g4 + 72], %i1
        ldx     [%g4 + 80], %i2
        ldx     [%g4 + 88], %i3
        ldx     [%g4 + 96], %i4
        ldx     [%g4 + 104], %i5
        ldx     [%g4 + 112], %fsr
        call    %g1
        nop
        ldx     [AT(8)], %g4
        stx     %l0, [%g4 + 0]
        stx     %l1, [%g4 + 8]
        stx     %l2, [%g4 + 16]
        stx     %l3, [%g4 + 24]
        stx     %l4, [%g4 + 32]
        stx     %l5, [%g4 + 40]
        stx     %l6, [%g4 + 48]
        stx     %l7, [%g4 + 56]
        stx     %i0, [%g4 + 64]
        stx     %i1, [%g4 + 72]
        stx     %i2, [%g4 + 80]
        stx     %i3, [%g4 + 88]
        stx     %i4, [%g4 + 96]
        stx     %i5, [%g4 + 104]
        stx     %fsr, [%g4 + 112]
        ldx     [AT(24)], %fsr
        ret
        restore %g0, %o0, %o0

/* save and restore that write all of the area above their own frame, forward, and check it: a flush writes the caller's
   window there, and the argument slots are the callee's.                                           */
        .globl  greenlet_probe_save
        .type   greenlet_probe_save, #function
greenlet_probe_save:
        ba,pt   %xcc, forward
        ldx     [%o0], %g1
        .globl  greenlet_probe_restore
        .type   greenlet_probe_restore, #function
greenlet_probe_restore:
        ldx     [%o0 + 8], %g1
forward:
        save    %sp, -192, %sp
        flushw
        sethi   %hi(0x5eed1234), %l0
        ldx     [%fp + BIAS + 64], %l1
        stx     %l0, [%fp + BIAS + 128]
        stx     %l0, [%fp + BIAS + 136]
        stx     %l0, [%fp + BIAS + 144]
        stx     %l0, [%fp + BIAS + 152]
        stx     %l0, [%fp + BIAS + 160]
        stx     %l0, [%fp + BIAS + 168]
        mov     %i0, %o0
        call    %g1
        mov     %i1, %o1
        ldx     [%i0 + 16], %l2
        ldx     [%fp + BIAS + 128], %l3
        xor     %l3, %l0, %l3
        or      %l3, %l2, %l2
        ldx     [%fp + BIAS + 136], %l3
        xor     %l3, %l0, %l3
        or      %l3, %l2, %l2
        ldx     [%fp + BIAS + 144], %l3
        xor     %l3, %l0, %l3
        or      %l3, %l2, %l2
        ldx     [%fp + BIAS + 152], %l3
        xor     %l3, %l0, %l3
        or      %l3, %l2, %l2
        ldx     [%fp + BIAS + 160], %l3
        xor     %l3, %l0, %l3
        or      %l3, %l2, %l2
        ldx     [%fp + BIAS + 168], %l3
        xor     %l3, %l0, %l3
        or      %l3, %l2, %l2
        ldx     [%fp + BIAS + 64], %l3  /* of the window one word will do */
        xor     %l3, %l1, %l3
        or      %l3, %l2, %l2
        stx     %l2, [%i0 + 16]
        ret
        restore %g0, %o0, %o0

        .section .rodata
        .globl  greenlet_probe_features
        .p2align 2
greenlet_probe_features:
        .long   0
        .section .note.GNU-stack, "", @progbits
