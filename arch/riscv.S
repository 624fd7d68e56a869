/* greenlet_switch for RISC-V, 32 and 64 bits, with and without floating point, and the small register file (E).

   Source: RISC-V ABIs Specification 1.0 (psABI), "Register Convention" (integer, floating-point, vector; fcsr)
   and "ILP32E Calling Convention"; The RISC-V Instruction Set Manual, "F" extension, for fcsr.

   A callee must preserve      sp, s0 to s11 (E: s0, s1); ra so far as it is where to return to
                               fs0 to fs11, as wide as the ABI's floating-point arguments: not at all in
                               the soft-float ABIs, 32 bits in F's, 64 in D's
   frm                         the rounding mode in fcsr belongs to the floating-point environment, which a thread has
                               to itself and only fesetenv and the like change: so a greenlet has its
                               own as well, wherever there is one.
   No vector register and none of the vector control words is preserved.
   Written by a callee above its own frame: nothing, so nothing is reserved.

   What a suspended greenlet has at its stack start, lowest address first, in words of WORD bytes:

       start + 0 words   ra
             + 1         s0 to s11; E: s0, s1
             + 13        frm, or unused; E: + 3, unused
             + 14        fs0 to fs11, FLOAT bytes each, if any
       rounded up to a multiple of 16                                                               */

#if __riscv_xlen == 64
#define WORD 8
#define SAVE sd
#define LOAD ld
#else
#define WORD 4
#define SAVE sw
#define LOAD lw
#endif

#if defined(__riscv_float_abi_double)
#define FLOAT 8
#define FSAVE fsd
#define FLOAD fld
#elif defined(__riscv_float_abi_single)
#define FLOAT 4
#define FSAVE fsw
#define FLOAD flw
#else
#define FLOAT 0
#endif

#if defined(__riscv_32e) || defined(__riscv_64e) || defined(__riscv_e)
#define FRAME (4 * WORD)
#define CTX s0                          /* nothing walks frame pointers on a machine this small */
#else
#define FRAME ((14 * WORD + 12 * FLOAT + 15) / 16 * 16)
#define FULL 1
#define CTX s2
#endif

        .text

/* void *greenlet_switch(void *(*save)(void *ctx, void *sp), void *(*restore)(void *ctx, void *sp),
                         void *ctx)
                         a0: save, a1: restore, a2: ctx                                           */
        .globl  greenlet_switch
        .hidden greenlet_switch
        .type   greenlet_switch, @function
        .p2align 2
greenlet_switch:
        .cfi_startproc
        addi    sp, sp, -FRAME
        .cfi_def_cfa_offset FRAME
        SAVE    ra, 0(sp)
        .cfi_offset ra, -FRAME
        SAVE    s0, 1 * WORD(sp)
        .cfi_offset s0, 1 * WORD - FRAME
        SAVE    s1, 2 * WORD(sp)
        .cfi_offset s1, 2 * WORD - FRAME
#if defined(FULL)
        SAVE    s2, 3 * WORD(sp)
        .cfi_offset s2, 3 * WORD - FRAME
        SAVE    s3, 4 * WORD(sp)
        .cfi_offset s3, 4 * WORD - FRAME
        SAVE    s4, 5 * WORD(sp)
        .cfi_offset s4, 5 * WORD - FRAME
        SAVE    s5, 6 * WORD(sp)
        .cfi_offset s5, 6 * WORD - FRAME
        SAVE    s6, 7 * WORD(sp)
        .cfi_offset s6, 7 * WORD - FRAME
        SAVE    s7, 8 * WORD(sp)
        .cfi_offset s7, 8 * WORD - FRAME
        SAVE    s8, 9 * WORD(sp)
        .cfi_offset s8, 9 * WORD - FRAME
        SAVE    s9, 10 * WORD(sp)
        .cfi_offset s9, 10 * WORD - FRAME
        SAVE    s10, 11 * WORD(sp)
        .cfi_offset s10, 11 * WORD - FRAME
        SAVE    s11, 12 * WORD(sp)
        .cfi_offset s11, 12 * WORD - FRAME
#endif
#if FLOAT
        FSAVE   fs0, 14 * WORD + 0 * FLOAT(sp)
        .cfi_offset fs0, 14 * WORD + 0 * FLOAT - FRAME
        FSAVE   fs1, 14 * WORD + 1 * FLOAT(sp)
        .cfi_offset fs1, 14 * WORD + 1 * FLOAT - FRAME
        FSAVE   fs2, 14 * WORD + 2 * FLOAT(sp)
        .cfi_offset fs2, 14 * WORD + 2 * FLOAT - FRAME
        FSAVE   fs3, 14 * WORD + 3 * FLOAT(sp)
        .cfi_offset fs3, 14 * WORD + 3 * FLOAT - FRAME
        FSAVE   fs4, 14 * WORD + 4 * FLOAT(sp)
        .cfi_offset fs4, 14 * WORD + 4 * FLOAT - FRAME
        FSAVE   fs5, 14 * WORD + 5 * FLOAT(sp)
        .cfi_offset fs5, 14 * WORD + 5 * FLOAT - FRAME
        FSAVE   fs6, 14 * WORD + 6 * FLOAT(sp)
        .cfi_offset fs6, 14 * WORD + 6 * FLOAT - FRAME
        FSAVE   fs7, 14 * WORD + 7 * FLOAT(sp)
        .cfi_offset fs7, 14 * WORD + 7 * FLOAT - FRAME
        FSAVE   fs8, 14 * WORD + 8 * FLOAT(sp)
        .cfi_offset fs8, 14 * WORD + 8 * FLOAT - FRAME
        FSAVE   fs9, 14 * WORD + 9 * FLOAT(sp)
        .cfi_offset fs9, 14 * WORD + 9 * FLOAT - FRAME
        FSAVE   fs10, 14 * WORD + 10 * FLOAT(sp)
        .cfi_offset fs10, 14 * WORD + 10 * FLOAT - FRAME
        FSAVE   fs11, 14 * WORD + 11 * FLOAT(sp)
        .cfi_offset fs11, 14 * WORD + 11 * FLOAT - FRAME
#endif
#if defined(__riscv_flen)
        frrm    t0
        SAVE    t0, 13 * WORD(sp)
#endif

        mv      s1, a1                  /* restore and ctx outlive the call to save */
        mv      CTX, a2
        mv      t0, a0
        mv      a0, a2
        mv      a1, sp
        jalr    t0                      /* target = save(ctx, start) */
        beqz    a0, .Lresume            /* nothing has changed: return null */

        mv      a1, a0
        mv      a0, CTX
        mv      s0, zero                /* survives: walkers by frame pointer end here */
        .cfi_remember_state
        mv      sp, a1
        .cfi_undefined ra               /* above sp there may be another greenlet's bytes, or none */
        .cfi_undefined s0
        .cfi_undefined s1
#if defined(FULL)
        .cfi_undefined s2
        .cfi_undefined s3
        .cfi_undefined s4
        .cfi_undefined s5
        .cfi_undefined s6
        .cfi_undefined s7
        .cfi_undefined s8
        .cfi_undefined s9
        .cfi_undefined s10
        .cfi_undefined s11
#endif
#if FLOAT
        .cfi_undefined fs0
        .cfi_undefined fs1
        .cfi_undefined fs2
        .cfi_undefined fs3
        .cfi_undefined fs4
        .cfi_undefined fs5
        .cfi_undefined fs6
        .cfi_undefined fs7
        .cfi_undefined fs8
        .cfi_undefined fs9
        .cfi_undefined fs10
        .cfi_undefined fs11
#endif
        jalr    s1                      /* result = restore(ctx, target) */
        .cfi_restore_state

.Lresume:
#if defined(__riscv_flen)
        LOAD    t0, 13 * WORD(sp)
        fsrm    t0
#endif
#if FLOAT
        FLOAD   fs0, 14 * WORD + 0 * FLOAT(sp)
        .cfi_restore fs0
        FLOAD   fs1, 14 * WORD + 1 * FLOAT(sp)
        .cfi_restore fs1
        FLOAD   fs2, 14 * WORD + 2 * FLOAT(sp)
        .cfi_restore fs2
        FLOAD   fs3, 14 * WORD + 3 * FLOAT(sp)
        .cfi_restore fs3
        FLOAD   fs4, 14 * WORD + 4 * FLOAT(sp)
        .cfi_restore fs4
        FLOAD   fs5, 14 * WORD + 5 * FLOAT(sp)
        .cfi_restore fs5
        FLOAD   fs6, 14 * WORD + 6 * FLOAT(sp)
        .cfi_restore fs6
        FLOAD   fs7, 14 * WORD + 7 * FLOAT(sp)
        .cfi_restore fs7
        FLOAD   fs8, 14 * WORD + 8 * FLOAT(sp)
        .cfi_restore fs8
        FLOAD   fs9, 14 * WORD + 9 * FLOAT(sp)
        .cfi_restore fs9
        FLOAD   fs10, 14 * WORD + 10 * FLOAT(sp)
        .cfi_restore fs10
        FLOAD   fs11, 14 * WORD + 11 * FLOAT(sp)
        .cfi_restore fs11
#endif
        LOAD    s0, 1 * WORD(sp)
        .cfi_restore s0
        LOAD    s1, 2 * WORD(sp)
        .cfi_restore s1
#if defined(FULL)
        LOAD    s2, 3 * WORD(sp)
        .cfi_restore s2
        LOAD    s3, 4 * WORD(sp)
        .cfi_restore s3
        LOAD    s4, 5 * WORD(sp)
        .cfi_restore s4
        LOAD    s5, 6 * WORD(sp)
        .cfi_restore s5
        LOAD    s6, 7 * WORD(sp)
        .cfi_restore s6
        LOAD    s7, 8 * WORD(sp)
        .cfi_restore s7
        LOAD    s8, 9 * WORD(sp)
        .cfi_restore s8
        LOAD    s9, 10 * WORD(sp)
        .cfi_restore s9
        LOAD    s10, 11 * WORD(sp)
        .cfi_restore s10
        LOAD    s11, 12 * WORD(sp)
        .cfi_restore s11
#endif
        LOAD    ra, 0(sp)
        .cfi_restore ra
        addi    sp, sp, FRAME
        .cfi_def_cfa_offset 0
        ret
        .cfi_endproc
        .size   greenlet_switch, . - greenlet_switch

        .section .note.GNU-stack, "", @progbits
