/* greenlet_switch for 32-bit PowerPC, System V ABI (Linux, the BSDs, bare metal).

   Source: Power Architecture 32-bit Application Binary Interface Supplement 1.0 (Linux and embedded),
   section 3.2.1 "Registers" (3.2.1.1 "Register Roles", those of vectors too; 3.2.1.2 "Limited-Access Bits") and
   3.2.2 "The Stack Frame" (the stack pointer points to a valid back chain at all times).

   A callee must preserve      r1, r14 to r31; fields 2 to 4 of CR
                               f14 to f31 where floating point is hard
                               v20 to v31 and VRSAVE where the target has Altivec
   FPSCR                       its enable and rounding bits may be changed only by calls that are meant to:
                               as good as preserved, so they are kept, with its flags; so is
   VSCR                        with its non-Java bit, where the target has Altivec.
   r2 and r13 are the platform's, and never change.
   Written by a callee above its own frame: the word for LR, above the back chain. 16 bytes with both
   and the padding that keeps the stack aligned.

   What a suspended greenlet has at its stack start, lowest address first:

       start - 16   [reserved: the back chain, LR of save and restore; in nobody's slice]
       start + 0    r14 to r31
             + 72   CR
             + 76   VRSAVE
             + 80   FPSCR
             + 88   f14 to f31
             + 232  unused (4), VSCR (4)
             + 240  v20 to v31, where there is Altivec
       then         the caller's frame: back chain, our LR                                          */

#if defined(__SPE__)
#error "the 64-bit registers of SPE are not saved here"
#endif

#if defined(__ALTIVEC__)
#define FRAME 448
#else
#define FRAME 256
#endif

/* v20 to v31. The lowest four bits of such an address are ignored. */
#define VECTOR(reg) (256 + 16 * (reg - 20))
        .macro  SAVE_VECTOR reg
        li      %r0, VECTOR(\reg)
        stvx    %v\reg, %r1, %r0
        .cfi_offset 77 + \reg, VECTOR(\reg) - FRAME
        .endm
        .macro  LOAD_VECTOR reg
        li      %r0, VECTOR(\reg)
        lvx     %v\reg, %r1, %r0
        .cfi_restore 77 + \reg
        .endm

        .text

/* void *greenlet_switch(void *(*save)(void *ctx, void *sp), void *(*restore)(void *ctx, void *sp),
                         void *ctx)
                         r3: save, r4: restore, r5: ctx                                           */
        .globl  greenlet_switch
        .hidden greenlet_switch
        .type   greenlet_switch, @function
        .p2align 2
greenlet_switch:
        .cfi_startproc
        mflr    %r0
        stw     %r0, 4(%r1)
        .cfi_offset 65, 4               /* LR */
        stwu    %r1, -FRAME(%r1)
        .cfi_def_cfa_offset FRAME
        stmw    %r14, 16(%r1)
        .cfi_offset 14, 16 - FRAME
        .cfi_offset 15, 20 - FRAME
        .cfi_offset 16, 24 - FRAME
        .cfi_offset 17, 28 - FRAME
        .cfi_offset 18, 32 - FRAME
        .cfi_offset 19, 36 - FRAME
        .cfi_offset 20, 40 - FRAME
        .cfi_offset 21, 44 - FRAME
        .cfi_offset 22, 48 - FRAME
        .cfi_offset 23, 52 - FRAME
        .cfi_offset 24, 56 - FRAME
        .cfi_offset 25, 60 - FRAME
        .cfi_offset 26, 64 - FRAME
        .cfi_offset 27, 68 - FRAME
        .cfi_offset 28, 72 - FRAME
        .cfi_offset 29, 76 - FRAME
        .cfi_offset 30, 80 - FRAME
        .cfi_offset 31, 84 - FRAME
        mfcr    %r0
        stw     %r0, 88(%r1)
        .cfi_offset 70, 88 - FRAME     /* CR */
#if !defined(_SOFT_FLOAT) && !defined(__NO_FPRS__)
        stfd    %f14, 104(%r1)
        .cfi_offset 46, 104 - FRAME
        stfd    %f15, 112(%r1)
        .cfi_offset 47, 112 - FRAME
        stfd    %f16, 120(%r1)
        .cfi_offset 48, 120 - FRAME
        stfd    %f17, 128(%r1)
        .cfi_offset 49, 128 - FRAME
        stfd    %f18, 136(%r1)
        .cfi_offset 50, 136 - FRAME
        stfd    %f19, 144(%r1)
        .cfi_offset 51, 144 - FRAME
        stfd    %f20, 152(%r1)
        .cfi_offset 52, 152 - FRAME
        stfd    %f21, 160(%r1)
        .cfi_offset 53, 160 - FRAME
        stfd    %f22, 168(%r1)
        .cfi_offset 54, 168 - FRAME
        stfd    %f23, 176(%r1)
        .cfi_offset 55, 176 - FRAME
        stfd    %f24, 184(%r1)
        .cfi_offset 56, 184 - FRAME
        stfd    %f25, 192(%r1)
        .cfi_offset 57, 192 - FRAME
        stfd    %f26, 200(%r1)
        .cfi_offset 58, 200 - FRAME
        stfd    %f27, 208(%r1)
        .cfi_offset 59, 208 - FRAME
        stfd    %f28, 216(%r1)
        .cfi_offset 60, 216 - FRAME
        stfd    %f29, 224(%r1)
        .cfi_offset 61, 224 - FRAME
        stfd    %f30, 232(%r1)
        .cfi_offset 62, 232 - FRAME
        stfd    %f31, 240(%r1)
        .cfi_offset 63, 240 - FRAME
        mffs    %f0
        stfd    %f0, 96(%r1)
#endif
#if defined(__ALTIVEC__)
        SAVE_VECTOR 20
        SAVE_VECTOR 21
        SAVE_VECTOR 22
        SAVE_VECTOR 23
        SAVE_VECTOR 24
        SAVE_VECTOR 25
        SAVE_VECTOR 26
        SAVE_VECTOR 27
        SAVE_VECTOR 28
        SAVE_VECTOR 29
        SAVE_VECTOR 30
        SAVE_VECTOR 31
        mfspr   %r0, 256                /* VRSAVE */
        stw     %r0, 92(%r1)
        mfvscr  %v0                     /* in the last word, which is what is stored at such an address */
        li      %r0, 252
        stvewx  %v0, %r1, %r0
#endif

        mr      %r31, %r4               /* restore and ctx outlive the call to save */
        mr      %r30, %r5
        mtctr   %r3
        mr      %r3, %r5
        addi    %r4, %r1, 16
        bctrl                           /* target = save(ctx, start) */
        cmpwi   %r3, 0
        beq     .Lresume                /* nothing has changed: return null */

        addi    %r5, %r3, -16
        subf    %r5, %r1, %r5
        li      %r0, 0
        .cfi_remember_state
        stwux   %r0, %r1, %r5           /* with a back chain of 0, at once: walkers end here */
        .cfi_undefined 65               /* above sp there may be another greenlet's bytes, or none */
        .cfi_undefined 70
        .cfi_undefined 14
        .cfi_undefined 15
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
#if !defined(_SOFT_FLOAT) && !defined(__NO_FPRS__)
        .cfi_undefined 46
        .cfi_undefined 47
        .cfi_undefined 48
        .cfi_undefined 49
        .cfi_undefined 50
        .cfi_undefined 51
        .cfi_undefined 52
        .cfi_undefined 53
        .cfi_undefined 54
        .cfi_undefined 55
        .cfi_undefined 56
        .cfi_undefined 57
        .cfi_undefined 58
        .cfi_undefined 59
        .cfi_undefined 60
        .cfi_undefined 61
        .cfi_undefined 62
        .cfi_undefined 63
#endif
#if defined(__ALTIVEC__)
        .cfi_undefined 97
        .cfi_undefined 98
        .cfi_undefined 99
        .cfi_undefined 100
        .cfi_undefined 101
        .cfi_undefined 102
        .cfi_undefined 103
        .cfi_undefined 104
        .cfi_undefined 105
        .cfi_undefined 106
        .cfi_undefined 107
        .cfi_undefined 108
#endif
        mr      %r4, %r3
        mtctr   %r31
        mr      %r3, %r30
        bctrl                           /* result = restore(ctx, target) */
        .cfi_restore_state

.Lresume:
#if defined(__ALTIVEC__)
        lwz     %r0, 92(%r1)            /* first: by it some systems know which vectors to keep when they interrupt */
        mtspr   256, %r0
        LOAD_VECTOR 20
        LOAD_VECTOR 21
        LOAD_VECTOR 22
        LOAD_VECTOR 23
        LOAD_VECTOR 24
        LOAD_VECTOR 25
        LOAD_VECTOR 26
        LOAD_VECTOR 27
        LOAD_VECTOR 28
        LOAD_VECTOR 29
        LOAD_VECTOR 30
        LOAD_VECTOR 31
        li      %r0, 252
        lvewx   %v0, %r1, %r0
        mtvscr  %v0
#endif
#if !defined(_SOFT_FLOAT) && !defined(__NO_FPRS__)
        lfd     %f0, 96(%r1)            /* the flags, too: an enable bit meets only flags of its own greenlet, else it traps */
#if defined(_ARCH_PWR6)
        mtfsf   255, %f0, 1, 0          /* with the decimal rounding mode, in the upper half; survives: 1 says all */
#else
        mtfsf   255, %f0                /* survives: fields 0 to 3 and 5 are flags and results */
#endif
        lfd     %f14, 104(%r1)
        .cfi_restore 46
        lfd     %f15, 112(%r1)
        .cfi_restore 47
        lfd     %f16, 120(%r1)
        .cfi_restore 48
        lfd     %f17, 128(%r1)
        .cfi_restore 49
        lfd     %f18, 136(%r1)
        .cfi_restore 50
        lfd     %f19, 144(%r1)
        .cfi_restore 51
        lfd     %f20, 152(%r1)
        .cfi_restore 52
        lfd     %f21, 160(%r1)
        .cfi_restore 53
        lfd     %f22, 168(%r1)
        .cfi_restore 54
        lfd     %f23, 176(%r1)
        .cfi_restore 55
        lfd     %f24, 184(%r1)
        .cfi_restore 56
        lfd     %f25, 192(%r1)
        .cfi_restore 57
        lfd     %f26, 200(%r1)
        .cfi_restore 58
        lfd     %f27, 208(%r1)
        .cfi_restore 59
        lfd     %f28, 216(%r1)
        .cfi_restore 60
        lfd     %f29, 224(%r1)
        .cfi_restore 61
        lfd     %f30, 232(%r1)
        .cfi_restore 62
        lfd     %f31, 240(%r1)
        .cfi_restore 63
#endif
        lwz     %r0, 88(%r1)
        mtcrf   0x38, %r0               /* fields 2, 3, 4 */
        .cfi_restore 70
        lmw     %r14, 16(%r1)
        .cfi_restore 14
        .cfi_restore 15
        .cfi_restore 16
        .cfi_restore 17
        .cfi_restore 18
        .cfi_restore 19
        .cfi_restore 20
        .cfi_restore 21
        .cfi_restore 22
        .cfi_restore 23
        .cfi_restore 24
        .cfi_restore 25
        .cfi_restore 26
        .cfi_restore 27
        .cfi_restore 28
        .cfi_restore 29
        .cfi_restore 30
        .cfi_restore 31
        lwz     %r0, FRAME + 4(%r1)
        mtlr    %r0
        .cfi_restore 65
        addi    %r1, %r1, FRAME
        .cfi_def_cfa_offset 0
        blr
        .cfi_endproc
        .size   greenlet_switch, . - greenlet_switch

        .section .note.GNU-stack, "", @progbits
