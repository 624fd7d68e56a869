/* greenlet_probe and the area callbacks: see ../src/lib.rs. 32-bit PowerPC, System V ABI.
   r3: load, r4: store, r5: f, r6, r7, r8: a, b, c.

   greenlet_probe's frame: r1 + 0  the header and more,  + 112 store,  + 120 CR,  + 124 VRSAVE,  + 128 FPSCR,
   + 136 r14 to r31,  + 280 f14 to f31,  + 432 v20 to v31,  + 624 VSCR                               */

#define FRAME 640

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
#if defined(__ALTIVEC__)
#define VRSAVE 4
#else
#define VRSAVE 0
#endif
#define DECIMAL 0

/* VSCR is in the last word of its register, which is stored at such an address modulo 16. */
#if defined(__LITTLE_ENDIAN__)
#define LAST 0
#else
#define LAST 12
#endif
        .macro  CALL
        mtctr   %r12
        bctrl
        .endm

        .macro  FUNCTION name
        .globl  \name
        .type   \name, @function
        .text
        .p2align 2
\name:
        .endm

        FUNCTION greenlet_probe
        mflr    %r0
        stw     %r0, 4(%r1)
        stwu    %r1, -FRAME(%r1)
        stw     %r4, 112(%r1)
        mfcr    %r0
        stw     %r0, 120(%r1)
        stw     %r14, 136(%r1)
        stw     %r15, 144(%r1)
        stw     %r16, 152(%r1)
        stw     %r17, 160(%r1)
        stw     %r18, 168(%r1)
        stw     %r19, 176(%r1)
        stw     %r20, 184(%r1)
        stw     %r21, 192(%r1)
        stw     %r22, 200(%r1)
        stw     %r23, 208(%r1)
        stw     %r24, 216(%r1)
        stw     %r25, 224(%r1)
        stw     %r26, 232(%r1)
        stw     %r27, 240(%r1)
        stw     %r28, 248(%r1)
        stw     %r29, 256(%r1)
        stw     %r30, 264(%r1)
        stw     %r31, 272(%r1)
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

        lwz     %r14, 0(%r3)
        lwz     %r15, 8(%r3)
        lwz     %r16, 16(%r3)
        lwz     %r17, 24(%r3)
        lwz     %r18, 32(%r3)
        lwz     %r19, 40(%r3)
        lwz     %r20, 48(%r3)
        lwz     %r21, 56(%r3)
        lwz     %r22, 64(%r3)
        lwz     %r23, 72(%r3)
        lwz     %r24, 80(%r3)
        lwz     %r25, 88(%r3)
        lwz     %r26, 96(%r3)
        lwz     %r27, 104(%r3)
        lwz     %r28, 112(%r3)
        lwz     %r29, 120(%r3)
        lwz     %r30, 128(%r3)
        lwz     %r31, 136(%r3)
        lwz     %r0, 144(%r3)
        mtcrf   0x38, %r0
#if !defined(_SOFT_FLOAT)
        lfd     %f0, 152(%r3)
        mtfsf   3, %f0
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
        CALL

        lwz     %r4, 112(%r1)
        stw     %r14, 0(%r4)
        stw     %r15, 8(%r4)
        stw     %r16, 16(%r4)
        stw     %r17, 24(%r4)
        stw     %r18, 32(%r4)
        stw     %r19, 40(%r4)
        stw     %r20, 48(%r4)
        stw     %r21, 56(%r4)
        stw     %r22, 64(%r4)
        stw     %r23, 72(%r4)
        stw     %r24, 80(%r4)
        stw     %r25, 88(%r4)
        stw     %r26, 96(%r4)
        stw     %r27, 104(%r4)
        stw     %r28, 112(%r4)
        stw     %r29, 120(%r4)
        stw     %r30, 128(%r4)
        stw     %r31, 136(%r4)
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
        mtfsf   3, %f0
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
        lwz     %r14, 136(%r1)
        lwz     %r15, 144(%r1)
        lwz     %r16, 152(%r1)
        lwz     %r17, 160(%r1)
        lwz     %r18, 168(%r1)
        lwz     %r19, 176(%r1)
        lwz     %r20, 184(%r1)
        lwz     %r21, 192(%r1)
        lwz     %r22, 200(%r1)
        lwz     %r23, 208(%r1)
        lwz     %r24, 216(%r1)
        lwz     %r25, 224(%r1)
        lwz     %r26, 232(%r1)
        lwz     %r27, 240(%r1)
        lwz     %r28, 248(%r1)
        lwz     %r29, 256(%r1)
        lwz     %r30, 264(%r1)
        lwz     %r31, 272(%r1)
        lwz     %r0, 120(%r1)
        mtcrf   0x38, %r0
        addi    %r1, %r1, FRAME
        lwz     %r0, 4(%r1)
        mtlr    %r0
        blr

/* save and restore that fill the area above their own frame (the caller's header), forward, and check it. The link
   register is kept in their own frame meanwhile. The chain of frames is checked too: in save it leads to
   greenlet_probe's and on to its caller's, in restore it ends.                                     */
        FUNCTION greenlet_probe_save
        lwz     %r6, 0(%r1)
        lwz     %r7, 0(%r6)
        subf    %r6, %r6, %r7
        addi    %r6, %r6, -FRAME
        li      %r5, 0
        b       forward
        FUNCTION greenlet_probe_restore
        lwz     %r6, 0(%r1)
        li      %r5, 4
        b       forward
forward:
        mflr    %r0
        stwu    %r1, -160(%r1)
        stw     %r0, 120(%r1)
        stw     %r31, 128(%r1)
        stw     %r30, 136(%r1)
        mr      %r31, %r3
        lwz     %r0, 8(%r31)
        or      %r0, %r0, %r6
        stw     %r0, 8(%r31)
        lis     %r30, 0x5eed
        ori     %r30, %r30, 0x1234
        stw     %r30, 164(%r1)
        lwzx    %r12, %r3, %r5
        CALL
        li      %r5, 0
        lwz     %r0, 164(%r1)
        xor     %r0, %r0, %r30
        or      %r5, %r5, %r0
        lwz     %r0, 8(%r31)
        or      %r0, %r0, %r5
        stw     %r0, 8(%r31)
        lwz     %r0, 120(%r1)
        mtlr    %r0
        lwz     %r31, 128(%r1)
        lwz     %r30, 136(%r1)
        addi    %r1, %r1, 160
        blr

        .section .rodata
        .globl  greenlet_probe_features
        .p2align 2
greenlet_probe_features:
        .long   FLOAT + VECTOR + VRSAVE + DECIMAL
        .section .note.GNU-stack, "", @progbits
