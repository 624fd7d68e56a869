/* greenlet_probe: see ../src/lib.rs. LoongArch, 64 bits.
   $a0: load, $a1: store, $a2: f, $a3, $a4, $a5: a, b, c.

   The image: $r22 to $r31, $f24 to $f31, FCSR0. The frame has the same, then $ra and store.       */

#if defined(__loongarch_double_float)
#define FLOAT 3
#define FSAVE fst.d
#define FLOAD fld.d
#elif defined(__loongarch_single_float)
#define FLOAT 1
#define FSAVE fst.s
#define FLOAD fld.s
#else
#define FLOAT 0
#endif

        .macro  STORE_ALL base
        st.d    $r22, \base, 0
        st.d    $r23, \base, 8
        st.d    $r24, \base, 16
        st.d    $r25, \base, 24
        st.d    $r26, \base, 32
        st.d    $r27, \base, 40
        st.d    $r28, \base, 48
        st.d    $r29, \base, 56
        st.d    $r30, \base, 64
        st.d    $r31, \base, 72
#if FLOAT
        FSAVE   $f24, \base, 80
        FSAVE   $f25, \base, 88
        FSAVE   $f26, \base, 96
        FSAVE   $f27, \base, 104
        FSAVE   $f28, \base, 112
        FSAVE   $f29, \base, 120
        FSAVE   $f30, \base, 128
        FSAVE   $f31, \base, 136
        movfcsr2gr $t0, $fcsr0
        st.w    $t0, \base, 144
#endif
        .endm

        .macro  LOAD_ALL base
        ld.d    $r22, \base, 0
        ld.d    $r23, \base, 8
        ld.d    $r24, \base, 16
        ld.d    $r25, \base, 24
        ld.d    $r26, \base, 32
        ld.d    $r27, \base, 40
        ld.d    $r28, \base, 48
        ld.d    $r29, \base, 56
        ld.d    $r30, \base, 64
        ld.d    $r31, \base, 72
#if FLOAT
        FLOAD   $f24, \base, 80
        FLOAD   $f25, \base, 88
        FLOAD   $f26, \base, 96
        FLOAD   $f27, \base, 104
        FLOAD   $f28, \base, 112
        FLOAD   $f29, \base, 120
        FLOAD   $f30, \base, 128
        FLOAD   $f31, \base, 136
        ld.w    $t0, \base, 144
        movgr2fcsr $fcsr0, $t0
#endif
        .endm

        .text
        .globl  greenlet_probe
        .type   greenlet_probe, @function
        .p2align 2
greenlet_probe:
        addi.d  $sp, $sp, -176
        STORE_ALL $sp
        st.d    $ra, $sp, 152
        st.d    $a1, $sp, 160
        LOAD_ALL $a0
        move    $t0, $a2
        move    $a0, $a3
        move    $a1, $a4
        move    $a2, $a5
        jirl    $ra, $t0, 0
        ld.d    $a1, $sp, 160
        STORE_ALL $a1
        LOAD_ALL $sp
        ld.d    $ra, $sp, 152
        addi.d  $sp, $sp, 176
        jr      $ra

        .section .rodata
        .globl  greenlet_probe_features
        .p2align 2
greenlet_probe_features:
        .long   FLOAT
        .section .note.GNU-stack, "", @progbits
