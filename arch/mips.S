/* greenlet_switch for MIPS, ABIs o32 (32 bits) and n64 (64 bits), either byte order.

   Source: System V Application Binary Interface, MIPS RISC Processor Supplement, 3rd edition, chapter 3 (o32);
   MIPSpro 64-Bit Porting and Transition Guide, chapter 2, "Native 64-Bit Subprogram Interface for MIPS
   Architectures", table 2-1 (n64).

   A callee must preserve      $16 to $23 (s0 to s7), $29 (sp), $30 (s8, fp); $31 (ra) so far as it is where to
                               return to; n64: $28 (gp). o32's callers look after their gp themselves.
                               where floating point is hard: o32 $f20, 22, ... 30 (64 bits each: with 32-bit
                               registers that is the odd ones as well), n64 $f24 to $f31
   FCSR                        its enable and rounding bits may be changed only by calls that are meant to: as
                               good as preserved, so it is kept.
   Functions are called through $25, as position-independent code expects.
   Written by a callee above its own frame: o32 the slots of its four register arguments, 16 bytes; n64 nothing.

   What a suspended greenlet has at its stack start, lowest address first, in words of WORD bytes:

       start - 16       [o32: reserved: argument slots of save and restore; in nobody's slice]
       start + 0 words  $16 to $23
             + 8        $30
             + 9        $31
             + 10       $28 (n64)
             + 11       FCSR (4 bytes)
             + 12       $f20, 22, ... 30 (o32), $f24 to $f31 (n64)                                  */

#if defined(__mips64) && _MIPS_SIM == _ABI64
#define WORD 8
#define SAVE sd
#define LOAD ld
#define ADD daddiu
#define RESERVED 0
#define FRAME (12 * WORD + 64)
#elif !defined(__mips64)
#define WORD 4
#define SAVE sw
#define LOAD lw
#define ADD addiu
#define RESERVED 16
#define FRAME (RESERVED + 12 * WORD + 48)
/* Where the two halves of a register pair are in memory: to the CFI they are registers of 32 bits each. */
#if defined(__MIPSEB__)
#define EVEN 4
#define ODD 0
#else
#define EVEN 0
#define ODD 4
#endif
#else
#error "ABI n32 is not supported"
#endif
#define AT(n) (RESERVED + (n) * WORD)

        .text
        .set    nomips16

/* void *greenlet_switch(void *(*save)(void *ctx, void *sp), void *(*restore)(void *ctx, void *sp),
                         void *ctx)
                         $4: save, $5: restore, $6: ctx                                           */
        .globl  greenlet_switch
        .hidden greenlet_switch
        .type   greenlet_switch, @function
        .p2align 2
greenlet_switch:
        .cfi_startproc
        ADD     $sp, $sp, -FRAME
        .cfi_def_cfa_offset FRAME
        SAVE    $16, AT(0)($sp)
        .cfi_offset 16, AT(0) - FRAME
        SAVE    $17, AT(1)($sp)
        .cfi_offset 17, AT(1) - FRAME
        SAVE    $18, AT(2)($sp)
        .cfi_offset 18, AT(2) - FRAME
        SAVE    $19, AT(3)($sp)
        .cfi_offset 19, AT(3) - FRAME
        SAVE    $20, AT(4)($sp)
        .cfi_offset 20, AT(4) - FRAME
        SAVE    $21, AT(5)($sp)
        .cfi_offset 21, AT(5) - FRAME
        SAVE    $22, AT(6)($sp)
        .cfi_offset 22, AT(6) - FRAME
        SAVE    $23, AT(7)($sp)
        .cfi_offset 23, AT(7) - FRAME
        SAVE    $30, AT(8)($sp)
        .cfi_offset 30, AT(8) - FRAME
        SAVE    $31, AT(9)($sp)
        .cfi_offset 31, AT(9) - FRAME
#if WORD == 8
        SAVE    $28, AT(10)($sp)
        .cfi_offset 28, AT(10) - FRAME
#endif
#if !defined(__mips_soft_float)
        cfc1    $8, $31
        sw      $8, AT(11)($sp)
#if WORD == 8
        sdc1    $f24, AT(12) + 0($sp)
        .cfi_offset 56, AT(12) + 0 - FRAME
        sdc1    $f25, AT(12) + 8($sp)
        .cfi_offset 57, AT(12) + 8 - FRAME
        sdc1    $f26, AT(12) + 16($sp)
        .cfi_offset 58, AT(12) + 16 - FRAME
        sdc1    $f27, AT(12) + 24($sp)
        .cfi_offset 59, AT(12) + 24 - FRAME
        sdc1    $f28, AT(12) + 32($sp)
        .cfi_offset 60, AT(12) + 32 - FRAME
        sdc1    $f29, AT(12) + 40($sp)
        .cfi_offset 61, AT(12) + 40 - FRAME
        sdc1    $f30, AT(12) + 48($sp)
        .cfi_offset 62, AT(12) + 48 - FRAME
        sdc1    $f31, AT(12) + 56($sp)
        .cfi_offset 63, AT(12) + 56 - FRAME
#else
        sdc1    $f20, AT(12) + 0($sp)
        .cfi_offset 52, AT(12) + 0 + EVEN - FRAME
        .cfi_offset 53, AT(12) + 0 + ODD - FRAME
        sdc1    $f22, AT(12) + 8($sp)
        .cfi_offset 54, AT(12) + 8 + EVEN - FRAME
        .cfi_offset 55, AT(12) + 8 + ODD - FRAME
        sdc1    $f24, AT(12) + 16($sp)
        .cfi_offset 56, AT(12) + 16 + EVEN - FRAME
        .cfi_offset 57, AT(12) + 16 + ODD - FRAME
        sdc1    $f26, AT(12) + 24($sp)
        .cfi_offset 58, AT(12) + 24 + EVEN - FRAME
        .cfi_offset 59, AT(12) + 24 + ODD - FRAME
        sdc1    $f28, AT(12) + 32($sp)
        .cfi_offset 60, AT(12) + 32 + EVEN - FRAME
        .cfi_offset 61, AT(12) + 32 + ODD - FRAME
        sdc1    $f30, AT(12) + 40($sp)
        .cfi_offset 62, AT(12) + 40 + EVEN - FRAME
        .cfi_offset 63, AT(12) + 40 + ODD - FRAME
#endif
#endif

        move    $16, $5                 /* restore and ctx outlive the call to save */
        move    $17, $6
        move    $25, $4
        move    $4, $6
        ADD     $5, $sp, RESERVED
        jalr    $25                     /* target = save(ctx, start) */
        beqz    $2, .Lresume            /* nothing has changed: return null */

        move    $5, $2
        move    $4, $17
        move    $25, $16
        move    $30, $0                 /* survives: walkers by frame pointer end here */
        .cfi_remember_state
        ADD     $sp, $2, -RESERVED
        .cfi_undefined 31               /* above sp there may be another greenlet's bytes, or none */
        .cfi_undefined 16
        .cfi_undefined 17
        .cfi_undefined 18
        .cfi_undefined 19
        .cfi_undefined 20
        .cfi_undefined 21
        .cfi_undefined 22
        .cfi_undefined 23
        .cfi_undefined 30
#if WORD == 8
        .cfi_undefined 28
#endif
#if !defined(__mips_soft_float)
#if WORD == 8
        .cfi_undefined 56
        .cfi_undefined 57
        .cfi_undefined 58
        .cfi_undefined 59
        .cfi_undefined 60
        .cfi_undefined 61
        .cfi_undefined 62
        .cfi_undefined 63
#else
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
#endif
        jalr    $25                     /* result = restore(ctx, target) */
        .cfi_restore_state

.Lresume:
#if !defined(__mips_soft_float)
        lw      $8, AT(11)($sp)
        ctc1    $8, $31
#if WORD == 8
        ldc1    $f24, AT(12) + 0($sp)
        .cfi_restore 56
        ldc1    $f25, AT(12) + 8($sp)
        .cfi_restore 57
        ldc1    $f26, AT(12) + 16($sp)
        .cfi_restore 58
        ldc1    $f27, AT(12) + 24($sp)
        .cfi_restore 59
        ldc1    $f28, AT(12) + 32($sp)
        .cfi_restore 60
        ldc1    $f29, AT(12) + 40($sp)
        .cfi_restore 61
        ldc1    $f30, AT(12) + 48($sp)
        .cfi_restore 62
        ldc1    $f31, AT(12) + 56($sp)
        .cfi_restore 63
#else
        ldc1    $f20, AT(12) + 0($sp)
        .cfi_restore 52
        .cfi_restore 53
        ldc1    $f22, AT(12) + 8($sp)
        .cfi_restore 54
        .cfi_restore 55
        ldc1    $f24, AT(12) + 16($sp)
        .cfi_restore 56
        .cfi_restore 57
        ldc1    $f26, AT(12) + 24($sp)
        .cfi_restore 58
        .cfi_restore 59
        ldc1    $f28, AT(12) + 32($sp)
        .cfi_restore 60
        .cfi_restore 61
        ldc1    $f30, AT(12) + 40($sp)
        .cfi_restore 62
        .cfi_restore 63
#endif
#endif
#if WORD == 8
        LOAD    $28, AT(10)($sp)
        .cfi_restore 28
#endif
        LOAD    $16, AT(0)($sp)
        .cfi_restore 16
        LOAD    $17, AT(1)($sp)
        .cfi_restore 17
        LOAD    $18, AT(2)($sp)
        .cfi_restore 18
        LOAD    $19, AT(3)($sp)
        .cfi_restore 19
        LOAD    $20, AT(4)($sp)
        .cfi_restore 20
        LOAD    $21, AT(5)($sp)
        .cfi_restore 21
        LOAD    $22, AT(6)($sp)
        .cfi_restore 22
        LOAD    $23, AT(7)($sp)
        .cfi_restore 23
        LOAD    $30, AT(8)($sp)
        .cfi_restore 30
        LOAD    $31, AT(9)($sp)
        .cfi_restore 31
        ADD     $sp, $sp, FRAME
        .cfi_def_cfa_offset 0
        jr      $31
        .cfi_endproc
        .size   greenlet_switch, . - greenlet_switch

        .section .note.GNU-stack, "", @progbits
