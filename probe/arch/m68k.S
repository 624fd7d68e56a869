/* greenlet_probe and the area callbacks: see ../src/lib.rs. Motorola 680x0.
   On the stack: return address, load, store, f, a, b, c.

   The image: d2 to d7, a2 to a6, fp2 to fp7, FPCR. greenlet_probe's frame: the arguments of f (12), the same as
   the image (120); then what is on the stack.                                                     */

        .text
        .globl  greenlet_probe
        .type   greenlet_probe, @function
        .p2align 2
greenlet_probe:
        lea     (-132, %sp), %sp
        movem.l %d2-%d7/%a2-%a6, (12, %sp)
#if defined(__HAVE_68881__)
        fmovem.x %fp2-%fp7, (56, %sp)
        fmove.l %fpcr, (128, %sp)
#endif
        move.l  (148, %sp), (%sp)
        move.l  (152, %sp), (4, %sp)
        move.l  (156, %sp), (8, %sp)
        move.l  (144, %sp), %a1
        move.l  (136, %sp), %a0
        movem.l (%a0), %d2-%d7/%a2-%a6
#if defined(__HAVE_68881__)
        fmovem.x (44, %a0), %fp2-%fp7
        fmove.l (116, %a0), %fpcr
#endif
        jsr     (%a1)
        move.l  (140, %sp), %a1
        movem.l %d2-%d7/%a2-%a6, (%a1)
#if defined(__HAVE_68881__)
        fmovem.x %fp2-%fp7, (44, %a1)
        fmove.l %fpcr, (116, %a1)
        fmove.l (128, %sp), %fpcr
        fmovem.x (56, %sp), %fp2-%fp7
#endif
        movem.l (12, %sp), %d2-%d7/%a2-%a6
        lea     (132, %sp), %sp
        rts

/* save and restore that fill the area above their own frame (their two arguments), forward, and check it. */
        .globl  greenlet_probe_save
        .type   greenlet_probe_save, @function
greenlet_probe_save:
        moveq   #0, %d1
        jra     forward
        .globl  greenlet_probe_restore
        .type   greenlet_probe_restore, @function
greenlet_probe_restore:
        moveq   #4, %d1
forward:
        move.l  %a2, -(%sp)
        move.l  (8, %sp), %a2
        move.l  (12, %sp), -(%sp)
        move.l  %a2, -(%sp)
        move.l  #0x5eed0001, (16, %sp)
        move.l  #0x5eed0002, (20, %sp)
        move.l  (0, %a2, %d1.l), %a0
        jsr     (%a0)
        addq.l  #8, %sp
        cmp.l   #0x5eed0001, (8, %sp)
        jne     damaged
        cmp.l   #0x5eed0002, (12, %sp)
        jeq     whole
damaged:
        addq.l  #1, (8, %a2)
whole:
        move.l  (%sp)+, %a2
        move.l  %a0, %d0
        rts

        .section .rodata
        .globl  greenlet_probe_features
        .p2align 2
greenlet_probe_features:
#if defined(__HAVE_68881__)
        .long   1
#else
        .long   0
#endif
        .section .note.GNU-stack, "", @progbits
