/* greenlet_probe: see ../src/lib.rs. RISC-V of every kind.
   a0: load, a1: store, a2: f, a3, a4, a5: a, b, c.

   In the image every register has 8 bytes: s0 to s11, fs0 to fs11, frm. The frame has the same, then ra and store. */

#if __riscv_xlen == 64
#define SAVE sd
#define LOAD ld
#else
#define SAVE sw
#define LOAD lw
#endif
#if defined(__riscv_float_abi_double)
#define FLOAT 6
#define FSAVE fsd
#define FLOAD fld
#elif defined(__riscv_float_abi_single)
#define FLOAT 2
#define FSAVE fsw
#define FLOAD flw
#else
#define FLOAT 0
#endif
#if defined(__riscv_32e) || defined(__riscv_64e) || defined(__riscv_e)
#define FULL 0
#else
#define FULL 1
#endif
#if defined(__riscv_flen)
#define FRM 8
#else
#define FRM 0
#endif

/* Stores or loads all of them at what base points to; t0 is scratch. */
        .macro  STORE_ALL base
        SAVE    s0, 0(\base)
        SAVE    s1, 8(\base)
#if FULL
        SAVE    s2, 16(\base)
        SAVE    s3, 24(\base)
        SAVE    s4, 32(\base)
        SAVE    s5, 40(\base)
        SAVE    s6, 48(\base)
        SAVE    s7, 56(\base)
        SAVE    s8, 64(\base)
        SAVE    s9, 72(\base)
        SAVE    s10, 80(\base)
        SAVE    s11, 88(\base)
#endif
#if FLOAT
        FSAVE   fs0, 96(\base)
        FSAVE   fs1, 104(\base)
        FSAVE   fs2, 112(\base)
        FSAVE   fs3, 120(\base)
        FSAVE   fs4, 128(\base)
        FSAVE   fs5, 136(\base)
        FSAVE   fs6, 144(\base)
        FSAVE   fs7, 152(\base)
        FSAVE   fs8, 160(\base)
        FSAVE   fs9, 168(\base)
        FSAVE   fs10, 176(\base)
        FSAVE   fs11, 184(\base)
#endif
#if FRM
        frrm    t0
        sw      t0, 192(\base)
#endif
        .endm

        .macro  LOAD_ALL base
        LOAD    s0, 0(\base)
        LOAD    s1, 8(\base)
#if FULL
        LOAD    s2, 16(\base)
        LOAD    s3, 24(\base)
        LOAD    s4, 32(\base)
        LOAD    s5, 40(\base)
        LOAD    s6, 48(\base)
        LOAD    s7, 56(\base)
        LOAD    s8, 64(\base)
        LOAD    s9, 72(\base)
        LOAD    s10, 80(\base)
        LOAD    s11, 88(\base)
#endif
#if FLOAT
        FLOAD   fs0, 96(\base)
        FLOAD   fs1, 104(\base)
        FLOAD   fs2, 112(\base)
        FLOAD   fs3, 120(\base)
        FLOAD   fs4, 128(\base)
        FLOAD   fs5, 136(\base)
        FLOAD   fs6, 144(\base)
        FLOAD   fs7, 152(\base)
        FLOAD   fs8, 160(\base)
        FLOAD   fs9, 168(\base)
        FLOAD   fs10, 176(\base)
        FLOAD   fs11, 184(\base)
#endif
#if FRM
        lw      t0, 192(\base)
        fsrm    t0
#endif
        .endm

        .text
        .globl  greenlet_probe
        .type   greenlet_probe, @function
        .p2align 2
greenlet_probe:
        addi    sp, sp, -224
        STORE_ALL sp
        SAVE    ra, 200(sp)
        SAVE    a1, 208(sp)
        LOAD_ALL a0
        mv      t0, a2
        mv      a0, a3
        mv      a1, a4
        mv      a2, a5
        jalr    t0
        LOAD    a1, 208(sp)
        STORE_ALL a1
        LOAD_ALL sp
        LOAD    ra, 200(sp)
        addi    sp, sp, 224
        ret

        .section .rodata
        .globl  greenlet_probe_features
        .p2align 2
greenlet_probe_features:
        .long   FULL + FLOAT + FRM
        .section .note.GNU-stack, "", @progbits
