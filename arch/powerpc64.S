/* greenlet_switch for 64-bit PowerPC: ELFv2 (little-endian Linux, and big-endian with musl or FreeBSD) and ELFv1
   (big-endian Linux with glibc).

   Source: 64-Bit ELF V2 ABI Specification: Power Architecture, revision 1.5, section 2.2.1 "Function Call Linkage
   Protocols", 2.2.2.1 "Register Roles", 2.2.2.2 "Limited-Access Bits", 2.2.3 "The Stack Frame";
   64-bit PowerPC ELF Application Binary Interface Supplement 1.9, section 3.2.1 "Registers", 3.2.2 "The Stack
   Frame", 3.2.3 "Parameter Passing".

   A callee must preserve      r1, r14 to r31; fields 2 to 4 of CR; r2, the TOC, towards callers of the same
                               module (save and restore may change it if they belong to another one)
                               f14 to f31; v20 to v31 where the target has Altivec, and then VRSAVE (ELFv1)
   FPSCR                       its enable and rounding bits may be changed only by calls that are meant to
                               ("limited access"): as good as preserved, so they are kept, with its flags; so is
   VSCR                        with its non-Java bit, where the target has Altivec. DSCR, which is hints for prefetching,
                               is the thread's.
   r13 is the thread pointer, and never changes.
   Written by a callee above its own frame: the caller's frame header, which is the back chain, CR, LR, the TOC, ...
   (32 bytes; ELFv1 48), and in ELFv1 always the parameter save area (64). The ELFv2 one is not
   there for callees with so few parameters.

   What a suspended greenlet has at its stack start, lowest address first:

       start - 32   [reserved: the frame header for save and restore; in nobody's slice. ELFv1: 112]
       start + 0    r14 to r31
             + 144  CR (4 bytes), unused (4)
             + 152  r2
             + 160  FPSCR
             + 168  VRSAVE (4 bytes), VSCR (4)
             + 176  f14 to f31
             + 320  v20 to v31, where there is Altivec
       then         the caller's frame: back chain, CR, our LR                                      */

#if _CALL_ELF == 2
#define RESERVED 32
#else
#define RESERVED 112
#endif
#if defined(__ALTIVEC__)
#define FRAME (RESERVED + 512)
#else
#define FRAME (RESERVED + 320)
#endif

/* v20 to v31. The lowest four bits of such an address are ignored. */
#define VECTOR(reg) (RESERVED + 320 + 16 * (reg - 20))
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

/* Call the function that r12 points to. In ELFv1 that is a descriptor: entry, TOC, environment. */
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

/* void *greenlet_switch(void *(*save)(void *ctx, void *sp), void *(*restore)(void *ctx, void *sp),
                         void *ctx)
                         r3: save, r4: restore, r5: ctx                                           */
        .globl  greenlet_switch
        .hidden greenlet_switch
        .type   greenlet_switch, @function
#if _CALL_ELF == 2
        .abiversion 2
        .text
        .p2align 2
greenlet_switch:
#else
        .section .opd, "aw"
        .p2align 3
greenlet_switch:
        .quad   .Lcode, .TOC.@tocbase, 0
        .text
        .p2align 2
.Lcode:
#endif
        .cfi_startproc
        mflr    %r0
        std     %r0, 16(%r1)
        .cfi_offset 65, 16               /* LR */
        stdu    %r1, -FRAME(%r1)
        .cfi_def_cfa_offset FRAME
        std     %r14, RESERVED + 0(%r1)
        .cfi_offset 14, RESERVED + 0 - FRAME
        std     %r15, RESERVED + 8(%r1)
        .cfi_offset 15, RESERVED + 8 - FRAME
        std     %r16, RESERVED + 16(%r1)
        .cfi_offset 16, RESERVED + 16 - FRAME
        std     %r17, RESERVED + 24(%r1)
        .cfi_offset 17, RESERVED + 24 - FRAME
        std     %r18, RESERVED + 32(%r1)
        .cfi_offset 18, RESERVED + 32 - FRAME
        std     %r19, RESERVED + 40(%r1)
        .cfi_offset 19, RESERVED + 40 - FRAME
        std     %r20, RESERVED + 48(%r1)
        .cfi_offset 20, RESERVED + 48 - FRAME
        std     %r21, RESERVED + 56(%r1)
        .cfi_offset 21, RESERVED + 56 - FRAME
        std     %r22, RESERVED + 64(%r1)
        .cfi_offset 22, RESERVED + 64 - FRAME
        std     %r23, RESERVED + 72(%r1)
        .cfi_offset 23, RESERVED + 72 - FRAME
        std     %r24, RESERVED + 80(%r1)
        .cfi_offset 24, RESERVED + 80 - FRAME
        std     %r25, RESERVED + 88(%r1)
        .cfi_offset 25, RESERVED + 88 - FRAME
        std     %r26, RESERVED + 96(%r1)
        .cfi_offset 26, RESERVED + 96 - FRAME
        std     %r27, RESERVED + 104(%r1)
        .cfi_offset 27, RESERVED + 104 - FRAME
        std     %r28, RESERVED + 112(%r1)
        .cfi_offset 28, RESERVED + 112 - FRAME
        std     %r29, RESERVED + 120(%r1)
        .cfi_offset 29, RESERVED + 120 - FRAME
        std     %r30, RESERVED + 128(%r1)
        .cfi_offset 30, RESERVED + 128 - FRAME
        std     %r31, RESERVED + 136(%r1)
        .cfi_offset 31, RESERVED + 136 - FRAME
        mfcr    %r0
        stw     %r0, RESERVED + 144(%r1)
        .cfi_offset 70, RESERVED + 144 - FRAME     /* CR */
        std     %r2, RESERVED + 152(%r1)
#if !defined(_SOFT_FLOAT)
        stfd    %f14, RESERVED + 176(%r1)
        .cfi_offset 46, RESERVED + 176 - FRAME
        stfd    %f15, RESERVED + 184(%r1)
        .cfi_offset 47, RESERVED + 184 - FRAME
        stfd    %f16, RESERVED + 192(%r1)
        .cfi_offset 48, RESERVED + 192 - FRAME
        stfd    %f17, RESERVED + 200(%r1)
        .cfi_offset 49, RESERVED + 200 - FRAME
        stfd    %f18, RESERVED + 208(%r1)
        .cfi_offset 50, RESERVED + 208 - FRAME
        stfd    %f19, RESERVED + 216(%r1)
        .cfi_offset 51, RESERVED + 216 - FRAME
        stfd    %f20, RESERVED + 224(%r1)
        .cfi_offset 52, RESERVED + 224 - FRAME
        stfd    %f21, RESERVED + 232(%r1)
        .cfi_offset 53, RESERVED + 232 - FRAME
        stfd    %f22, RESERVED + 240(%r1)
        .cfi_offset 54, RESERVED + 240 - FRAME
        stfd    %f23, RESERVED + 248(%r1)
        .cfi_offset 55, RESERVED + 248 - FRAME
        stfd    %f24, RESERVED + 256(%r1)
        .cfi_offset 56, RESERVED + 256 - FRAME
        stfd    %f25, RESERVED + 264(%r1)
        .cfi_offset 57, RESERVED + 264 - FRAME
        stfd    %f26, RESERVED + 272(%r1)
        .cfi_offset 58, RESERVED + 272 - FRAME
        stfd    %f27, RESERVED + 280(%r1)
        .cfi_offset 59, RESERVED + 280 - FRAME
        stfd    %f28, RESERVED + 288(%r1)
        .cfi_offset 60, RESERVED + 288 - FRAME
        stfd    %f29, RESERVED + 296(%r1)
        .cfi_offset 61, RESERVED + 296 - FRAME
        stfd    %f30, RESERVED + 304(%r1)
        .cfi_offset 62, RESERVED + 304 - FRAME
        stfd    %f31, RESERVED + 312(%r1)
        .cfi_offset 63, RESERVED + 312 - FRAME
        mffs    %f0
        stfd    %f0, RESERVED + 160(%r1)
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
        mfvscr  %v0                     /* in the last word */
#if defined(__LITTLE_ENDIAN__)
        vspltw  %v0, %v0, 3             /* which word is stored depends on the address */
#endif
        li      %r0, RESERVED + 172
        stvewx  %v0, %r1, %r0
#endif
#if defined(__ALTIVEC__) && _CALL_ELF != 2
        mfspr   %r0, 256                /* VRSAVE */
        stw     %r0, RESERVED + 168(%r1)
#endif

        mr      %r31, %r4               /* restore and ctx outlive the call to save */
        mr      %r30, %r5
        mr      %r12, %r3
        mr      %r3, %r5
        addi    %r4, %r1, RESERVED
        CALL                            /* target = save(ctx, start) */
        cmpdi   %r3, 0
        beq     .Lresume                /* nothing has changed: return null */

        addi    %r5, %r3, -RESERVED
        subf    %r5, %r1, %r5
        li      %r0, 0
        .cfi_remember_state
        stdux   %r0, %r1, %r5           /* with a back chain of 0, at once: walkers end here */
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
#if !defined(_SOFT_FLOAT)
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
        mr      %r12, %r31
        mr      %r3, %r30
        CALL                            /* result = restore(ctx, target) */
        .cfi_restore_state

.Lresume:
#if defined(__ALTIVEC__) && _CALL_ELF != 2
        lwz     %r0, RESERVED + 168(%r1) /* first: by it some systems know which vectors to keep when they interrupt */
        mtspr   256, %r0
#endif
#if defined(__ALTIVEC__)
        li      %r0, RESERVED + 172
        lvewx   %v0, %r1, %r0
#if defined(__LITTLE_ENDIAN__)
        vspltw  %v0, %v0, 0
#endif
        mtvscr  %v0
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
#endif
#if !defined(_SOFT_FLOAT)
        lfd     %f0, RESERVED + 160(%r1) /* the flags, too: an enable bit meets only flags of its own greenlet, else it traps */
#if defined(_ARCH_PWR6)
        mtfsf   255, %f0, 1, 0          /* with the decimal rounding mode, in the upper half; survives: 1 says all */
#else
        mtfsf   255, %f0                /* survives: fields 0 to 3 and 5 are flags and results */
#endif
        lfd     %f14, RESERVED + 176(%r1)
        .cfi_restore 46
        lfd     %f15, RESERVED + 184(%r1)
        .cfi_restore 47
        lfd     %f16, RESERVED + 192(%r1)
        .cfi_restore 48
        lfd     %f17, RESERVED + 200(%r1)
        .cfi_restore 49
        lfd     %f18, RESERVED + 208(%r1)
        .cfi_restore 50
        lfd     %f19, RESERVED + 216(%r1)
        .cfi_restore 51
        lfd     %f20, RESERVED + 224(%r1)
        .cfi_restore 52
        lfd     %f21, RESERVED + 232(%r1)
        .cfi_restore 53
        lfd     %f22, RESERVED + 240(%r1)
        .cfi_restore 54
        lfd     %f23, RESERVED + 248(%r1)
        .cfi_restore 55
        lfd     %f24, RESERVED + 256(%r1)
        .cfi_restore 56
        lfd     %f25, RESERVED + 264(%r1)
        .cfi_restore 57
        lfd     %f26, RESERVED + 272(%r1)
        .cfi_restore 58
        lfd     %f27, RESERVED + 280(%r1)
        .cfi_restore 59
        lfd     %f28, RESERVED + 288(%r1)
        .cfi_restore 60
        lfd     %f29, RESERVED + 296(%r1)
        .cfi_restore 61
        lfd     %f30, RESERVED + 304(%r1)
        .cfi_restore 62
        lfd     %f31, RESERVED + 312(%r1)
        .cfi_restore 63
#endif
        ld      %r2, RESERVED + 152(%r1)
        lwz     %r0, RESERVED + 144(%r1)
        mtcrf   0x38, %r0               /* fields 2, 3, 4 */
        .cfi_restore 70
        ld      %r14, RESERVED + 0(%r1)
        .cfi_restore 14
        ld      %r15, RESERVED + 8(%r1)
        .cfi_restore 15
        ld      %r16, RESERVED + 16(%r1)
        .cfi_restore 16
        ld      %r17, RESERVED + 24(%r1)
        .cfi_restore 17
        ld      %r18, RESERVED + 32(%r1)
        .cfi_restore 18
        ld      %r19, RESERVED + 40(%r1)
        .cfi_restore 19
        ld      %r20, RESERVED + 48(%r1)
        .cfi_restore 20
        ld      %r21, RESERVED + 56(%r1)
        .cfi_restore 21
        ld      %r22, RESERVED + 64(%r1)
        .cfi_restore 22
        ld      %r23, RESERVED + 72(%r1)
        .cfi_restore 23
        ld      %r24, RESERVED + 80(%r1)
        .cfi_restore 24
        ld      %r25, RESERVED + 88(%r1)
        .cfi_restore 25
        ld      %r26, RESERVED + 96(%r1)
        .cfi_restore 26
        ld      %r27, RESERVED + 104(%r1)
        .cfi_restore 27
        ld      %r28, RESERVED + 112(%r1)
        .cfi_restore 28
        ld      %r29, RESERVED + 120(%r1)
        .cfi_restore 29
        ld      %r30, RESERVED + 128(%r1)
        .cfi_restore 30
        ld      %r31, RESERVED + 136(%r1)
        .cfi_restore 31
        ld      %r0, FRAME + 16(%r1)
        mtlr    %r0
        .cfi_restore 65
        addi    %r1, %r1, FRAME
        .cfi_def_cfa_offset 0
        blr
        .cfi_endproc
#if _CALL_ELF == 2
        .size   greenlet_switch, . - greenlet_switch
#else
        .size   greenlet_switch, . - .Lcode
#endif

        .section .note.GNU-stack, "", @progbits
