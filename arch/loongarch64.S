/* greenlet_switch for LoongArch, 64 bits (lp64d, lp64f, lp64s).

   Source: Procedure Call Standard for the LoongArch Architecture 20231219, "Processor Architecture" ("The registers"),
   "Subroutine Calling Sequence" ("The registers", "The stack"); LoongArch Reference Manual, volume 1, 3.1.3
   "Registers", for FCSR0, of which the standard says nothing.

   A callee must preserve      $r3 (sp), $r22 (fp), $r23 to $r31 (s0 to s8); $r1 (ra) so far as it is where to
                               return to; $f24 to $f31 (fs0 to fs7), as wide as the ABI's floating-point
                               arguments: lp64s none, lp64f 32 bits, lp64d 64
   FCSR0                       its enable and rounding bits are changed only by calls that are meant to: as
                               good as preserved, so it is kept.
   $r2 (tp) and $r21 are the platform's, and never change.
   Written by a callee above its own frame: nothing, so nothing is reserved.

   What a suspended greenlet has at its stack start, lowest address first:

       start + 0    $r1
             + 8    $r22 to $r31
             + 88   FCSR0 (4 bytes), unused (4)
             + 96   $f24 to $f31, 8 bytes each, if any                                             */

#if defined(__loongarch_double_float)
#define FSAVE fst.d
#define FLOAD fld.d
#define FRAME 160
#elif defined(__loongarch_single_float)
#define FSAVE fst.s
#define FLOAD fld.s
#define FRAME 160
#else
#define FRAME 96
#endif

        .text

/* void *greenlet_switch(void *(*save)(void *ctx, void *sp), void *(*restore)(void *ctx, void *sp),
                         void *ctx)
                         $r4: save, $r5: restore, $r6: ctx                                        */
        .globl  greenlet_switch
        .hidden greenlet_switch
        .type   greenlet_switch, @function
        .p2align 2
greenlet_switch:
        .cfi_startproc
        addi.d  $sp, $sp, -FRAME
        .cfi_def_cfa_offset FRAME
        st.d    $r1, $sp, 0
        .cfi_offset 1, -FRAME
        st.d    $r22, $sp, 8
        .cfi_offset 22, 8 - FRAME
        st.d    $r23, $sp, 16
        .cfi_offset 23, 16 - FRAME
        st.d    $r24, $sp, 24
        .cfi_offset 24, 24 - FRAME
        st.d    $r25, $sp, 32
        .cfi_offset 25, 32 - FRAME
        st.d    $r26, $sp, 40
        .cfi_offset 26, 40 - FRAME
        st.d    $r27, $sp, 48
        .cfi_offset 27, 48 - FRAME
        st.d    $r28, $sp, 56
        .cfi_offset 28, 56 - FRAME
        st.d    $r29, $sp, 64
        .cfi_offset 29, 64 - FRAME
        st.d    $r30, $sp, 72
        .cfi_offset 30, 72 - FRAME
        st.d    $r31, $sp, 80
        .cfi_offset 31, 80 - FRAME
#if FRAME > 96
        movfcsr2gr $t0, $fcsr0
        st.w    $t0, $sp, 88
        FSAVE   $f24, $sp, 96
        .cfi_offset 56, 96 - FRAME
        FSAVE   $f25, $sp, 104
        .cfi_offset 57, 104 - FRAME
        FSAVE   $f26, $sp, 112
        .cfi_offset 58, 112 - FRAME
        FSAVE   $f27, $sp, 120
        .cfi_offset 59, 120 - FRAME
        FSAVE   $f28, $sp, 128
        .cfi_offset 60, 128 - FRAME
        FSAVE   $f29, $sp, 136
        .cfi_offset 61, 136 - FRAME
        FSAVE   $f30, $sp, 144
        .cfi_offset 62, 144 - FRAME
        FSAVE   $f31, $sp, 152
        .cfi_offset 63, 152 - FRAME
#endif

        move    $s0, $a1                /* restore and ctx outlive the call to save */
        move    $s1, $a2
        move    $t0, $a0
        move    $a0, $a2
        move    $a1, $sp
        jirl    $ra, $t0, 0             /* target = save(ctx, start) */
        beqz    $a0, .Lresume           /* nothing has changed: return null */

        move    $a1, $a0
        move    $a0, $s1
        move    $fp, $zero              /* survives: walkers by frame pointer end here */
        .cfi_remember_state
        move    $sp, $a1
        .cfi_undefined 1                /* above sp there may be another greenlet's bytes, or none */
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
#if FRAME > 96
        .cfi_undefined 56
        .cfi_undefined 57
        .cfi_undefined 58
        .cfi_undefined 59
        .cfi_undefined 60
        .cfi_undefined 61
        .cfi_undefined 62
        .cfi_undefined 63
#endif
        jirl    $ra, $s0, 0             /* result = restore(ctx, target) */
        .cfi_restore_state

.Lresume:
#if FRAME > 96
        ld.w    $t0, $sp, 88
        movgr2fcsr $fcsr0, $t0
        FLOAD   $f24, $sp, 96
        .cfi_restore 56
        FLOAD   $f25, $sp, 104
        .cfi_restore 57
        FLOAD   $f26, $sp, 112
        .cfi_restore 58
        FLOAD   $f27, $sp, 120
        .cfi_restore 59
        FLOAD   $f28, $sp, 128
        .cfi_restore 60
        FLOAD   $f29, $sp, 136
        .cfi_restore 61
        FLOAD   $f30, $sp, 144
        .cfi_restore 62
        FLOAD   $f31, $sp, 152
        .cfi_restore 63
#endif
        ld.d    $r22, $sp, 8
        .cfi_restore 22
        ld.d    $r23, $sp, 16
        .cfi_restore 23
        ld.d    $r24, $sp, 24
        .cfi_restore 24
        ld.d    $r25, $sp, 32
        .cfi_restore 25
        ld.d    $r26, $sp, 40
        .cfi_restore 26
        ld.d    $r27, $sp, 48
        .cfi_restore 27
        ld.d    $r28, $sp, 56
        .cfi_restore 28
        ld.d    $r29, $sp, 64
        .cfi_restore 29
        ld.d    $r30, $sp, 72
        .cfi_restore 30
        ld.d    $r31, $sp, 80
        .cfi_restore 31
        ld.d    $r1, $sp, 0
        .cfi_restore 1
        addi.d  $sp, $sp, FRAME
        .cfi_def_cfa_offset 0
        jr      $ra
        .cfi_endproc
        .size   greenlet_switch, . - greenlet_switch

        .section .note.GNU-stack, "", @progbits
