/* greenlet_switch for the Motorola 680x0, System V ABI (Linux, the BSDs, bare metal).

   Source: System V Application Binary Interface, Motorola 68000 Processor Family Supplement, 1990, chapter 3,
   "Registers and the Stack Frame".

   A callee must preserve      d2 to d7, a2 to a7; fp2 to fp7 where there is a floating-point unit
   FPCR                        its enable, rounding and precision bits may be changed only by calls that are
                               meant to: as good as preserved, so it is kept.
   Written by a callee above its own frame: its arguments, which are its own: 8 bytes for two of them.
   Pointers are returned in a0; some compilers look in d0. So it is both, here and of the callbacks.

   What a suspended greenlet has at its stack start, lowest address first:

       start - 8    [reserved: the arguments of save and restore; in nobody's slice]
       start + 0    FPCR, or unused
             + 4    fp2 to fp7, 12 bytes each, if any
       then         d2 to d7, a2 to a6
             + 44   return address                                                                 */

#if defined(__mcffpu__)
#error "the floating-point registers of ColdFire are not saved here"
#endif

#if defined(__HAVE_68881__)
#define FLOAT 72
#else
#define FLOAT 0
#endif
#define FRAME (8 + 4 + FLOAT + 44)

        .text

/* void *greenlet_switch(void *(*save)(void *ctx, void *sp), void *(*restore)(void *ctx, void *sp),
                         void *ctx)                                                               */
        .globl  greenlet_switch
        .hidden greenlet_switch
        .type   greenlet_switch, @function
        .p2align 2
greenlet_switch:
        .cfi_startproc
        lea     (-FRAME, %sp), %sp
        .cfi_def_cfa_offset FRAME + 4
        movem.l %d2-%d7/%a2-%a6, (12 + FLOAT, %sp)
        .cfi_rel_offset %d2, 12 + FLOAT
        .cfi_rel_offset %d3, 16 + FLOAT
        .cfi_rel_offset %d4, 20 + FLOAT
        .cfi_rel_offset %d5, 24 + FLOAT
        .cfi_rel_offset %d6, 28 + FLOAT
        .cfi_rel_offset %d7, 32 + FLOAT
        .cfi_rel_offset %a2, 36 + FLOAT
        .cfi_rel_offset %a3, 40 + FLOAT
        .cfi_rel_offset %a4, 44 + FLOAT
        .cfi_rel_offset %a5, 48 + FLOAT
        .cfi_rel_offset %a6, 52 + FLOAT
#if FLOAT
        fmovem.x %fp2-%fp7, (12, %sp)
        .cfi_rel_offset %fp2, 12
        .cfi_rel_offset %fp3, 24
        .cfi_rel_offset %fp4, 36
        .cfi_rel_offset %fp5, 48
        .cfi_rel_offset %fp6, 60
        .cfi_rel_offset %fp7, 72
        fmove.l %fpcr, (8, %sp)
#endif

        move.l  (FRAME + 4, %sp), %a0   /* save; restore and ctx outlive the call to it */
        move.l  (FRAME + 8, %sp), %a2
        move.l  (FRAME + 12, %sp), %a3
        lea     (8, %sp), %a1
        move.l  %a3, (%sp)
        move.l  %a1, (4, %sp)
        jsr     (%a0)                   /* target = save(ctx, start) */
        move.l  %a0, %d0
        jeq     .Lresume                /* nothing has changed: return null */

        sub.l   %a6, %a6                /* walkers by frame pointer end here */
        .cfi_remember_state
        lea     (-8, %a0), %sp
        .cfi_undefined %pc              /* above sp there may be another greenlet's bytes, or none */
        .cfi_undefined %d2
        .cfi_undefined %d3
        .cfi_undefined %d4
        .cfi_undefined %d5
        .cfi_undefined %d6
        .cfi_undefined %d7
        .cfi_undefined %a2
        .cfi_undefined %a3
        .cfi_undefined %a4
        .cfi_undefined %a5
        .cfi_undefined %a6
#if FLOAT
        .cfi_undefined %fp2
        .cfi_undefined %fp3
        .cfi_undefined %fp4
        .cfi_undefined %fp5
        .cfi_undefined %fp6
        .cfi_undefined %fp7
#endif
        move.l  %a3, (%sp)
        move.l  %a0, (4, %sp)
        jsr     (%a2)                   /* result = restore(ctx, target) */
        .cfi_restore_state
        move.l  %a0, %d0

.Lresume:
#if FLOAT
        fmove.l (8, %sp), %fpcr
        fmovem.x (12, %sp), %fp2-%fp7
#endif
        movem.l (12 + FLOAT, %sp), %d2-%d7/%a2-%a6
        lea     (FRAME, %sp), %sp
        .cfi_def_cfa_offset 4
        .cfi_restore %d2
        .cfi_restore %d3
        .cfi_restore %d4
        .cfi_restore %d5
        .cfi_restore %d6
        .cfi_restore %d7
        .cfi_restore %a2
        .cfi_restore %a3
        .cfi_restore %a4
        .cfi_restore %a5
        .cfi_restore %a6
#if FLOAT
        .cfi_restore %fp2
        .cfi_restore %fp3
        .cfi_restore %fp4
        .cfi_restore %fp5
        .cfi_restore %fp6
        .cfi_restore %fp7
#endif
        rts
        .cfi_endproc
        .size   greenlet_switch, . - greenlet_switch

        .section .note.GNU-stack, "", @progbits
