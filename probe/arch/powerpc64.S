/* greenlet_probe and the area callbacks: see ../src/lib.rs. 64-bit PowerPC, ELFv1 and ELFv2.
   r3: load, r4: store, r5: f, r6, r7, r8: a, b, c.

   greenlet_probe's frame: r1 + 0  the header and more,  + 112 store,  + 120 CR,  + 124 VRSAVE,  + 128 FPSCR,
   + 136 r14 to r31,  + 280 f14 to f31,  + 424 r2,  + 432 v20 to v31,  + 624 VSCR,
   + 640 f's r2. That cannot have any value: stored is what was loaded, plus how far it is off.     */

#define FRAME 656

/* The groups of registers that there are: bits of greenlet_probe_features. */
#if defined(_SOFT_FLOAT)
#define FLOAT 0
#else
#define FLOAT 1
#endif
#if defined(__ALTIVEC__)
#define VECTOR 2
#else
#define VECTOR 0
#endif
#if defined(__ALTIVEC__) && _CALL_ELF != 2
#define VRSAVE 4
#else
#define VRSAVE 0
#endif
#if defined(_ARCH_PWR6)
#define DECIMAL 8
#else
#define DECIMAL 0
#endif

/* VSCR is in the last word of its register, which is stored at such an address modulo 16. */
#if defined(__LITTLE_ENDIAN__)
#define LAST 0
#else
#define LAST 12
#endif
        .macro  CALL
#if _CALL_ELF == 2
        mtctr   %r12
#else
        ld      %r0, 0(%r12)
        ld      %r2, 8(%r12)
        ld      %r11, 16(%r12)
        mtctr   %r0
#endif
        bctrl
        .endm

        .macro  FUNCTION name
        .globl  \name
        .type   \name, @function
#if _CALL_ELF == 2
        .text
        .p2align 2
\name:
#else
        .section .opd, "aw"
        .p2align 3
\name:
        .quad   .Lcode_\name, .TOC.@tocbase, 0
        .text
        .p2align 2
.Lcode_\name:
#endif
        .endm
#if _CALL_ELF == 2
        .abiversion 2
#endif

        FUNCTION greenlet_probe
        mflr    %r0
        std     %r0, 16(%r1)
        stdu    %r1, -FRAME(%r1)
        std     %r4, 112(%r1)
        std     %r2, 424(%r1)
        lwz     %r0, 504(%r3)
        stw     %r0, 504(%r4)
        mfcr    %r0
        stw     %r0, 120(%r1)
        std     %r14, 136(%r1)
        std     %r15, 144(%r1)
        std     %r16, 152(%r1)
        std     %r17, 160(%r1)
        std     %r18, 168(%r1)
        std     %r19, 176(%r1)
        std     %r20, 184(%r1)
        std     %r21, 192(%r1)
        std     %r22, 200(%r1)
        std     %r23, 208(%r1)
        std     %r24, 216(%r1)
        std     %r25, 224(%r1)
        std     %r26, 232(%r1)
        std     %r27, 240(%r1)
        std     %r28, 248(%r1)
        std     %r29, 256(%r1)
        std     %r30, 264(%r1)
        std     %r31, 272(%r1)
#if !defined(_SOFT_FLOAT)
        mffs    %f0
        stfd    %f0, 128(%r1)
        stfd    %f14, 280(%r1)
        stfd    %f15, 288(%r1)
        stfd    %f16, 296(%r1)
        stfd    %f17, 304(%r1)
        stfd    %f18, 312(%r1)
        stfd    %f19, 320(%r1)
        stfd    %f20, 328(%r1)
        stfd    %f21, 336(%r1)
        stfd    %f22, 344(%r1)
        stfd    %f23, 352(%r1)
        stfd    %f24, 360(%r1)
        stfd    %f25, 368(%r1)
        stfd    %f26, 376(%r1)
        stfd    %f27, 384(%r1)
        stfd    %f28, 392(%r1)
        stfd    %f29, 400(%r1)
        stfd    %f30, 408(%r1)
        stfd    %f31, 416(%r1)
#endif
#if defined(__ALTIVEC__)
        mfspr   %r0, 256
        stw     %r0, 124(%r1)
        mfvscr  %v0
        li      %r0, 624 + LAST
        stvewx  %v0, %r1, %r0
        li      %r0, 432
        stvx    %v20, %r1, %r0
        li      %r0, 448
        stvx    %v21, %r1, %r0
        li      %r0, 464
        stvx    %v22, %r1, %r0
        li      %r0, 480
        stvx    %v23, %r1, %r0
        li      %r0, 496
        stvx    %v24, %r1, %r0
        li      %r0, 512
        stvx    %v25, %r1, %r0
        li      %r0, 528
        stvx    %v26, %r1, %r0
        li      %r0, 544
        stvx    %v27, %r1, %r0
        li      %r0, 560
        stvx    %v28, %r1, %r0
        li      %r0, 576
        stvx    %v29, %r1, %r0
        li      %r0, 592
        stvx    %v30, %r1, %r0
        li      %r0, 608
        stvx    %v31, %r1, %r0
#endif

        ld      %r14, 0(%r3)
        ld      %r15, 8(%r3)
        ld      %r16, 16(%r3)
        ld      %r17, 24(%r3)
        ld      %r18, 32(%r3)
        ld      %r19, 40(%r3)
        ld      %r20, 48(%r3)
        ld      %r21, 56(%r3)
        ld      %r22, 64(%r3)
        ld      %r23, 72(%r3)
        ld      %r24, 80(%r3)
        ld      %r25, 88(%r3)
        ld      %r26, 96(%r3)
        ld      %r27, 104(%r3)
        ld      %r28, 112(%r3)
        ld      %r29, 120(%r3)
        ld      %r30, 128(%r3)
        ld      %r31, 136(%r3)
        lwz     %r0, 144(%r3)
        mtcrf   0x38, %r0
#if !defined(_SOFT_FLOAT)
        lfd     %f0, 152(%r3)
#if defined(_ARCH_PWR6)
        mtfsf   255, %f0, 1, 0
#else
        mtfsf   3, %f0
#endif
        lfd     %f14, 160(%r3)
        lfd     %f15, 168(%r3)
        lfd     %f16, 176(%r3)
        lfd     %f17, 184(%r3)
        lfd     %f18, 192(%r3)
        lfd     %f19, 200(%r3)
        lfd     %f20, 208(%r3)
        lfd     %f21, 216(%r3)
        lfd     %f22, 224(%r3)
        lfd     %f23, 232(%r3)
        lfd     %f24, 240(%r3)
        lfd     %f25, 248(%r3)
        lfd     %f26, 256(%r3)
        lfd     %f27, 264(%r3)
        lfd     %f28, 272(%r3)
        lfd     %f29, 280(%r3)
        lfd     %f30, 288(%r3)
        lfd     %f31, 296(%r3)
        fmr     %f0, %f31               /* lest f0 still hold FPSCR */
#endif
#if defined(__ALTIVEC__)
        lwz     %r0, 148(%r3)
        mtspr   256, %r0
        li      %r0, 496 + LAST
        lvewx   %v0, %r3, %r0
        mtvscr  %v0
        vxor    %v0, %v0, %v0           /* lest it still hold VSCR */
        li      %r0, 304
        lvx     %v20, %r3, %r0
        li      %r0, 320
        lvx     %v21, %r3, %r0
        li      %r0, 336
        lvx     %v22, %r3, %r0
        li      %r0, 352
        lvx     %v23, %r3, %r0
        li      %r0, 368
        lvx     %v24, %r3, %r0
        li      %r0, 384
        lvx     %v25, %r3, %r0
        li      %r0, 400
        lvx     %v26, %r3, %r0
        li      %r0, 416
        lvx     %v27, %r3, %r0
        li      %r0, 432
        lvx     %v28, %r3, %r0
        li      %r0, 448
        lvx     %v29, %r3, %r0
        li      %r0, 464
        lvx     %v30, %r3, %r0
        li      %r0, 480
        lvx     %v31, %r3, %r0
#endif
        mr      %r12, %r5
        mr      %r3, %r6
        mr      %r4, %r7
        mr      %r5, %r8
#if _CALL_ELF == 2
        std     %r2, 640(%r1)
#else
        ld      %r0, 8(%r12)
        std     %r0, 640(%r1)
#endif
        CALL

        ld      %r4, 112(%r1)
        ld      %r0, 640(%r1)
        subf    %r5, %r0, %r2
        lwz     %r0, 504(%r4)
        add     %r0, %r0, %r5
        stw     %r0, 504(%r4)
        std     %r14, 0(%r4)
        std     %r15, 8(%r4)
        std     %r16, 16(%r4)
        std     %r17, 24(%r4)
        std     %r18, 32(%r4)
        std     %r19, 40(%r4)
        std     %r20, 48(%r4)
        std     %r21, 56(%r4)
        std     %r22, 64(%r4)
        std     %r23, 72(%r4)
        std     %r24, 80(%r4)
        std     %r25, 88(%r4)
        std     %r26, 96(%r4)
        std     %r27, 104(%r4)
        std     %r28, 112(%r4)
        std     %r29, 120(%r4)
        std     %r30, 128(%r4)
        std     %r31, 136(%r4)
        mfcr    %r0
        stw     %r0, 144(%r4)
#if !defined(_SOFT_FLOAT)
        mffs    %f0
        stfd    %f0, 152(%r4)
        stfd    %f14, 160(%r4)
        stfd    %f15, 168(%r4)
        stfd    %f16, 176(%r4)
        stfd    %f17, 184(%r4)
        stfd    %f18, 192(%r4)
        stfd    %f19, 200(%r4)
        stfd    %f20, 208(%r4)
        stfd    %f21, 216(%r4)
        stfd    %f22, 224(%r4)
        stfd    %f23, 232(%r4)
        stfd    %f24, 240(%r4)
        stfd    %f25, 248(%r4)
        stfd    %f26, 256(%r4)
        stfd    %f27, 264(%r4)
        stfd    %f28, 272(%r4)
        stfd    %f29, 280(%r4)
        stfd    %f30, 288(%r4)
        stfd    %f31, 296(%r4)
#endif
#if defined(__ALTIVEC__)
        mfspr   %r0, 256
        stw     %r0, 148(%r4)
        mfvscr  %v0
        li      %r0, 496 + LAST
        stvewx  %v0, %r4, %r0
        li      %r0, 304
        stvx    %v20, %r4, %r0
        li      %r0, 320
        stvx    %v21, %r4, %r0
        li      %r0, 336
        stvx    %v22, %r4, %r0
        li      %r0, 352
        stvx    %v23, %r4, %r0
        li      %r0, 368
        stvx    %v24, %r4, %r0
        li      %r0, 384
        stvx    %v25, %r4, %r0
        li      %r0, 400
        stvx    %v26, %r4, %r0
        li      %r0, 416
        stvx    %v27, %r4, %r0
        li      %r0, 432
        stvx    %v28, %r4, %r0
        li      %r0, 448
        stvx    %v29, %r4, %r0
        li      %r0, 464
        stvx    %v30, %r4, %r0
        li      %r0, 480
        stvx    %v31, %r4, %r0
#endif

#if defined(__ALTIVEC__)
        li      %r0, 432
        lvx     %v20, %r1, %r0
        li      %r0, 448
        lvx     %v21, %r1, %r0
        li      %r0, 464
        lvx     %v22, %r1, %r0
        li      %r0, 480
        lvx     %v23, %r1, %r0
        li      %r0, 496
        lvx     %v24, %r1, %r0
        li      %r0, 512
        lvx     %v25, %r1, %r0
        li      %r0, 528
        lvx     %v26, %r1, %r0
        li      %r0, 544
        lvx     %v27, %r1, %r0
        li      %r0, 560
        lvx     %v28, %r1, %r0
        li      %r0, 576
        lvx     %v29, %r1, %r0
        li      %r0, 592
        lvx     %v30, %r1, %r0
        li      %r0, 608
        lvx     %v31, %r1, %r0
        lwz     %r0, 124(%r1)
        mtspr   256, %r0
        li      %r0, 624 + LAST
        lvewx   %v0, %r1, %r0
        mtvscr  %v0
#endif
#if !defined(_SOFT_FLOAT)
        lfd     %f0, 128(%r1)
#if defined(_ARCH_PWR6)
        mtfsf   255, %f0, 1, 0
#else
        mtfsf   3, %f0
#endif
        lfd     %f14, 280(%r1)
        lfd     %f15, 288(%r1)
        lfd     %f16, 296(%r1)
        lfd     %f17, 304(%r1)
        lfd     %f18, 312(%r1)
        lfd     %f19, 320(%r1)
        lfd     %f20, 328(%r1)
        lfd     %f21, 336(%r1)
        lfd     %f22, 344(%r1)
        lfd     %f23, 352(%r1)
        lfd     %f24, 360(%r1)
        lfd     %f25, 368(%r1)
        lfd     %f26, 376(%r1)
        lfd     %f27, 384(%r1)
        lfd     %f28, 392(%r1)
        lfd     %f29, 400(%r1)
        lfd     %f30, 408(%r1)
        lfd     %f31, 416(%r1)
#endif
        ld      %r14, 136(%r1)
        ld      %r15, 144(%r1)
        ld      %r16, 152(%r1)
        ld      %r17, 160(%r1)
        ld      %r18, 168(%r1)
        ld      %r19, 176(%r1)
        ld      %r20, 184(%r1)
        ld      %r21, 192(%r1)
        ld      %r22, 200(%r1)
        ld      %r23, 208(%r1)
        ld      %r24, 216(%r1)
        ld      %r25, 224(%r1)
        ld      %r26, 232(%r1)
        ld      %r27, 240(%r1)
        ld      %r28, 248(%r1)
        ld      %r29, 256(%r1)
        ld      %r30, 264(%r1)
        ld      %r31, 272(%r1)
        ld      %r2, 424(%r1)
        lwz     %r0, 120(%r1)
        mtcrf   0x38, %r0
        addi    %r1, %r1, FRAME
        ld      %r0, 16(%r1)
        mtlr    %r0
        blr

/* save and restore that fill the area above their own frame (the caller's header), forward, and check it. The link
   register is kept in their own frame meanwhile. The chain of frames is checked too: in save it leads to
   greenlet_probe's and on to its caller's, in restore it ends.                                     */
        FUNCTION greenlet_probe_save
        ld      %r6, 0(%r1)
        ld      %r7, 0(%r6)
        subf    %r6, %r6, %r7
        addi    %r6, %r6, -FRAME
        li      %r5, 0
        b       forward
        FUNCTION greenlet_probe_restore
        ld      %r6, 0(%r1)
        li      %r5, 8
        b       forward
forward:
        mflr    %r0
        stdu    %r1, -160(%r1)
        std     %r0, 120(%r1)
        std     %r31, 128(%r1)
        std     %r30, 136(%r1)
        std     %r2, 144(%r1)
        mr      %r31, %r3
        ld      %r0, 16(%r31)
        or      %r0, %r0, %r6
        std     %r0, 16(%r31)
        lis     %r30, 0x5eed
        ori     %r30, %r30, 0x1234
        std     %r30, 168(%r1)
        std     %r30, 176(%r1)
        std     %r30, 184(%r1)
#if _CALL_ELF != 2
        std     %r30, 192(%r1)
        std     %r30, 200(%r1)
        std     %r30, 208(%r1)
        std     %r30, 216(%r1)
        std     %r30, 224(%r1)
        std     %r30, 232(%r1)
        std     %r30, 240(%r1)
        std     %r30, 248(%r1)
        std     %r30, 256(%r1)
        std     %r30, 264(%r1)
#endif
        ldx     %r12, %r3, %r5
        CALL
        li      %r5, 0
        ld      %r0, 168(%r1)
        xor     %r0, %r0, %r30
        or      %r5, %r5, %r0
        ld      %r0, 176(%r1)
        xor     %r0, %r0, %r30
        or      %r5, %r5, %r0
        ld      %r0, 184(%r1)
        xor     %r0, %r0, %r30
        or      %r5, %r5, %r0
#if _CALL_ELF != 2
        ld      %r0, 192(%r1)
        xor     %r0, %r0, %r30
        or      %r5, %r5, %r0
        ld      %r0, 200(%r1)
        xor     %r0, %r0, %r30
        or      %r5, %r5, %r0
        ld      %r0, 208(%r1)
        xor     %r0, %r0, %r30
        or      %r5, %r5, %r0
        ld      %r0, 216(%r1)
        xor     %r0, %r0, %r30
        or      %r5, %r5, %r0
        ld      %r0, 224(%r1)
        xor     %r0, %r0, %r30
        or      %r5, %r5, %r0
        ld      %r0, 232(%r1)
        xor     %r0, %r0, %r30
        or      %r5, %r5, %r0
        ld      %r0, 240(%r1)
        xor     %r0, %r0, %r30
        or      %r5, %r5, %r0
        ld      %r0, 248(%r1)
        xor     %r0, %r0, %r30
        or      %r5, %r5, %r0
        ld      %r0, 256(%r1)
        xor     %r0, %r0, %r30
        or      %r5, %r5, %r0
        ld      %r0, 264(%r1)
        xor     %r0, %r0, %r30
        or      %r5, %r5, %r0
#endif
        ld      %r0, 16(%r31)
        or      %r0, %r0, %r5
        std     %r0, 16(%r31)
        ld      %r0, 120(%r1)
        mtlr    %r0
        ld      %r31, 128(%r1)
        ld      %r30, 136(%r1)
        li      %r2, 0                  /* as if this were another module, whose TOC is another one */
        addi    %r1, %r1, 160
        blr

        .section .rodata
        .globl  greenlet_probe_features
        .p2align 2
greenlet_probe_features:
        .long   FLOAT + VECTOR + VRSAVE + DECIMAL
        .section .note.GNU-stack, "", @progbits
