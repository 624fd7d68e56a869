/* greenlet_switch for IBM Z, 64 bits (s390x), ELF.

   Source: ELF Application Binary Interface, s390x Supplement, version 1.7, section 1.2 "Function-Calling Sequence":
   1.2.1 "Registers" (table "Register usage across function calls"), 1.2.2 "The Stack Frame".

   A callee must preserve      r6 to r13, r15; r14 so far as it is where to return to; f8 to f15
   FPC                         The document says nothing of it. Its masks and rounding modes are changed only by calls that
                               are meant to: as good as preserved, so it is kept.
   The program mask is zero at every call and return.
   The access registers a0 and a1 are the thread pointer, and never change.
   Written by a callee above its own frame: the caller's 160 bytes, which are the back chain and the register save area.

   What a suspended greenlet has at its stack start, lowest address first:

       start - 160  [reserved: the register save area of save and restore; in nobody's slice]
       start + 0    r6 to r14
             + 72   f8 to f15
             + 136  FPC (4 bytes), unused (4)
             + 144  the caller's frame                                                             */

#define FRAME (160 + 144)

        .text

/* void *greenlet_switch(void *(*save)(void *ctx, void *sp), void *(*restore)(void *ctx, void *sp),
                         void *ctx)
                         r2: save, r3: restore, r4: ctx                                           */
        .globl  greenlet_switch
        .hidden greenlet_switch
        .type   greenlet_switch, @function
        .p2align 2
greenlet_switch:
        .cfi_startproc
        lgr     %r1, %r15
        lay     %r15, -FRAME(%r15)
        .cfi_adjust_cfa_offset FRAME
        .cfi_val_offset %r15, -160      /* the CFA is not what the caller's r15 is; the back chain is not kept */
        stg     %r1, 0(%r15)            /* the back chain */
        stmg    %r6, %r14, 160(%r15)
        .cfi_rel_offset %r6, 160
        .cfi_rel_offset %r7, 168
        .cfi_rel_offset %r8, 176
        .cfi_rel_offset %r9, 184
        .cfi_rel_offset %r10, 192
        .cfi_rel_offset %r11, 200
        .cfi_rel_offset %r12, 208
        .cfi_rel_offset %r13, 216
        .cfi_rel_offset %r14, 224
        std     %f8, 232(%r15)
        .cfi_rel_offset %f8, 232
        std     %f9, 240(%r15)
        .cfi_rel_offset %f9, 240
        std     %f10, 248(%r15)
        .cfi_rel_offset %f10, 248
        std     %f11, 256(%r15)
        .cfi_rel_offset %f11, 256
        std     %f12, 264(%r15)
        .cfi_rel_offset %f12, 264
        std     %f13, 272(%r15)
        .cfi_rel_offset %f13, 272
        std     %f14, 280(%r15)
        .cfi_rel_offset %f14, 280
        std     %f15, 288(%r15)
        .cfi_rel_offset %f15, 288
        stfpc   296(%r15)

        lgr     %r6, %r3                /* restore and ctx outlive the call to save */
        lgr     %r7, %r4
        lgr     %r1, %r2
        lgr     %r2, %r4
        la      %r3, 160(%r15)
        basr    %r14, %r1               /* target = save(ctx, start) */
        ltgr    %r2, %r2
        jz      .Lresume                /* nothing has changed: return null */

        lgr     %r3, %r2
        lgr     %r2, %r7
        lghi    %r11, 0                 /* walkers by frame pointer or back chain end here */
        .cfi_remember_state
        lay     %r15, -160(%r3)
        .cfi_undefined %r14             /* above sp there may be another greenlet's bytes, or none */
        .cfi_undefined %r6
        .cfi_undefined %r7
        .cfi_undefined %r8
        .cfi_undefined %r9
        .cfi_undefined %r10
        .cfi_undefined %r11
        .cfi_undefined %r12
        .cfi_undefined %r13
        .cfi_undefined %f8
        .cfi_undefined %f9
        .cfi_undefined %f10
        .cfi_undefined %f11
        .cfi_undefined %f12
        .cfi_undefined %f13
        .cfi_undefined %f14
        .cfi_undefined %f15
        xc      0(8, %r15), 0(%r15)
        basr    %r14, %r6               /* result = restore(ctx, target) */
        .cfi_restore_state

.Lresume:
        lfpc    296(%r15)
        ld      %f8, 232(%r15)
        .cfi_restore %f8
        ld      %f9, 240(%r15)
        .cfi_restore %f9
        ld      %f10, 248(%r15)
        .cfi_restore %f10
        ld      %f11, 256(%r15)
        .cfi_restore %f11
        ld      %f12, 264(%r15)
        .cfi_restore %f12
        ld      %f13, 272(%r15)
        .cfi_restore %f13
        ld      %f14, 280(%r15)
        .cfi_restore %f14
        ld      %f15, 288(%r15)
        .cfi_restore %f15
        lmg     %r6, %r14, 160(%r15)
        .cfi_restore %r6
        .cfi_restore %r7
        .cfi_restore %r8
        .cfi_restore %r9
        .cfi_restore %r10
        .cfi_restore %r11
        .cfi_restore %r12
        .cfi_restore %r13
        .cfi_restore %r14
        la      %r15, FRAME(%r15)
        .cfi_adjust_cfa_offset -FRAME
        br      %r14
        .cfi_endproc
        .size   greenlet_switch, . - greenlet_switch

        .section .note.GNU-stack, "", @progbits
