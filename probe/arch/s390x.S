/* greenlet_probe and the area callbacks: see ../src/lib.rs. IBM Z, 64 bits, ELF.
   r2: load, r3: store, r4: f, r5, r6: a, b; c on the stack.

   greenlet_probe's frame: r15 + 0  the register save area,  + 160 r6 to r14,  + 232 f8 to f15,  + 296 FPC,
   + 304 store                                                                                     */

        .text
        .globl  greenlet_probe
        .type   greenlet_probe, @function
        .p2align 2
greenlet_probe:
        lay     %r15, -312(%r15)
        stmg    %r6, %r14, 160(%r15)
        std     %f8, 232(%r15)
        std     %f9, 240(%r15)
        std     %f10, 248(%r15)
        std     %f11, 256(%r15)
        std     %f12, 264(%r15)
        std     %f13, 272(%r15)
        std     %f14, 280(%r15)
        std     %f15, 288(%r15)
        stfpc   296(%r15)
        stg     %r3, 304(%r15)
        lgr     %r0, %r2
        lgr     %r1, %r4
        lgr     %r2, %r5
        lgr     %r3, %r6
        lg      %r4, 472(%r15)
        lgr     %r5, %r0
        lmg     %r6, %r13, 0(%r5)
        ld      %f8, 64(%r5)
        ld      %f9, 72(%r5)
        ld      %f10, 80(%r5)
        ld      %f11, 88(%r5)
        ld      %f12, 96(%r5)
        ld      %f13, 104(%r5)
        ld      %f14, 112(%r5)
        ld      %f15, 120(%r5)
        lfpc    128(%r5)
        basr    %r14, %r1
        lg      %r3, 304(%r15)
        stmg    %r6, %r13, 0(%r3)
        std     %f8, 64(%r3)
        std     %f9, 72(%r3)
        std     %f10, 80(%r3)
        std     %f11, 88(%r3)
        std     %f12, 96(%r3)
        std     %f13, 104(%r3)
        std     %f14, 112(%r3)
        std     %f15, 120(%r3)
        stfpc   128(%r3)
        lfpc    296(%r15)
        ld      %f8, 232(%r15)
        ld      %f9, 240(%r15)
        ld      %f10, 248(%r15)
        ld      %f11, 256(%r15)
        ld      %f12, 264(%r15)
        ld      %f13, 272(%r15)
        ld      %f14, 280(%r15)
        ld      %f15, 288(%r15)
        lmg     %r6, %r14, 160(%r15)
        la      %r15, 312(%r15)
        br      %r14

/* save and restore that fill the area above their own frame (the register save area), forward, and check it.
   Their own frame: the area for the function that is called, then r6, r7, r14.                    */
        .globl  greenlet_probe_save
        .type   greenlet_probe_save, @function
greenlet_probe_save:
        lghi    %r1, 0
        j       forward
        .globl  greenlet_probe_restore
        .type   greenlet_probe_restore, @function
greenlet_probe_restore:
        lghi    %r1, 8
forward:
        lay     %r15, -184(%r15)
        stg     %r6, 160(%r15)
        stg     %r7, 168(%r15)
        stg     %r14, 176(%r15)
        lgr     %r6, %r2
        lghi    %r0, 0x5eed
        stg     %r0, 192(%r15)
        stg     %r0, 200(%r15)
        stg     %r0, 208(%r15)
        stg     %r0, 216(%r15)
        stg     %r0, 224(%r15)
        stg     %r0, 232(%r15)
        stg     %r0, 240(%r15)
        stg     %r0, 248(%r15)
        stg     %r0, 256(%r15)
        stg     %r0, 264(%r15)
        stg     %r0, 272(%r15)
        stg     %r0, 280(%r15)
        stg     %r0, 288(%r15)
        stg     %r0, 296(%r15)
        stg     %r0, 304(%r15)
        stg     %r0, 312(%r15)
        stg     %r0, 320(%r15)
        stg     %r0, 328(%r15)
        stg     %r0, 336(%r15)
        lg      %r1, 0(%r1, %r2)
        basr    %r14, %r1
        lg      %r1, 16(%r6)
        lghi    %r0, 0x5eed
        xg      %r0, 192(%r15)
        ogr     %r1, %r0
        lghi    %r0, 0x5eed
        xg      %r0, 200(%r15)
        ogr     %r1, %r0
        lghi    %r0, 0x5eed
        xg      %r0, 208(%r15)
        ogr     %r1, %r0
        lghi    %r0, 0x5eed
        xg      %r0, 216(%r15)
        ogr     %r1, %r0
        lghi    %r0, 0x5eed
        xg      %r0, 224(%r15)
        ogr     %r1, %r0
        lghi    %r0, 0x5eed
        xg      %r0, 232(%r15)
        ogr     %r1, %r0
        lghi    %r0, 0x5eed
        xg      %r0, 240(%r15)
        ogr     %r1, %r0
        lghi    %r0, 0x5eed
        xg      %r0, 248(%r15)
        ogr     %r1, %r0
        lghi    %r0, 0x5eed
        xg      %r0, 256(%r15)
        ogr     %r1, %r0
        lghi    %r0, 0x5eed
        xg      %r0, 264(%r15)
        ogr     %r1, %r0
        lghi    %r0, 0x5eed
        xg      %r0, 272(%r15)
        ogr     %r1, %r0
        lghi    %r0, 0x5eed
        xg      %r0, 280(%r15)
        ogr     %r1, %r0
        lghi    %r0, 0x5eed
        xg      %r0, 288(%r15)
        ogr     %r1, %r0
        lghi    %r0, 0x5eed
        xg      %r0, 296(%r15)
        ogr     %r1, %r0
        lghi    %r0, 0x5eed
        xg      %r0, 304(%r15)
        ogr     %r1, %r0
        lghi    %r0, 0x5eed
        xg      %r0, 312(%r15)
        ogr     %r1, %r0
        lghi    %r0, 0x5eed
        xg      %r0, 320(%r15)
        ogr     %r1, %r0
        lghi    %r0, 0x5eed
        xg      %r0, 328(%r15)
        ogr     %r1, %r0
        lghi    %r0, 0x5eed
        xg      %r0, 336(%r15)
        ogr     %r1, %r0
        stg     %r1, 16(%r6)
        lg      %r6, 160(%r15)
        lg      %r7, 168(%r15)
        lg      %r14, 176(%r15)
        la      %r15, 184(%r15)
        br      %r14

        .section .rodata
        .globl  greenlet_probe_features
        .p2align 2
greenlet_probe_features:
        .long   0
        .section .note.GNU-stack, "", @progbits
