/* greenlet_probe and the area callbacks: see ../src/lib.rs. MIPS, o32 and n64.
   $4: load, $5: store, $6: f, $7: a; b and c on the stack (o32) or in $8, $9 (n64).

   In the image every register has 8 bytes: $16 to $23, $30, $28; $f20 on or $f24 on; FCSR. The frame has the same from
   32 on, and then $31 and store.                                                                  */

#if defined(__mips64)
#define SAVE sd
#define LOAD ld
#define ADD daddiu
#else
#define SAVE sw
#define LOAD lw
#define ADD addiu
#endif
#if defined(__mips_soft_float)
#define FLOAT 0
#else
#define FLOAT 1
#endif

        .macro  STORE_ALL base, at
        SAVE    $16, \at + 0(\base)
        SAVE    $17, \at + 8(\base)
        SAVE    $18, \at + 16(\base)
        SAVE    $19, \at + 24(\base)
        SAVE    $20, \at + 32(\base)
        SAVE    $21, \at + 40(\base)
        SAVE    $22, \at + 48(\base)
        SAVE    $23, \at + 56(\base)
        SAVE    $30, \at + 64(\base)
#if defined(__mips64)
        SAVE    $28, \at + 72(\base)
#endif
#if FLOAT
#if defined(__mips64)
        sdc1    $f24, \at + 80(\base)
        sdc1    $f25, \at + 88(\base)
        sdc1    $f26, \at + 96(\base)
        sdc1    $f27, \at + 104(\base)
        sdc1    $f28, \at + 112(\base)
        sdc1    $f29, \at + 120(\base)
        sdc1    $f30, \at + 128(\base)
        sdc1    $f31, \at + 136(\base)
#else
        sdc1    $f20, \at + 80(\base)
        sdc1    $f22, \at + 88(\base)
        sdc1    $f24, \at + 96(\base)
        sdc1    $f26, \at + 104(\base)
        sdc1    $f28, \at + 112(\base)
        sdc1    $f30, \at + 120(\base)
#endif
        cfc1    $8, $31
        sw      $8, \at + 144(\base)
#endif
        .endm

        .macro  LOAD_ALL base, at
        LOAD    $16, \at + 0(\base)
        LOAD    $17, \at + 8(\base)
        LOAD    $18, \at + 16(\base)
        LOAD    $19, \at + 24(\base)
        LOAD    $20, \at + 32(\base)
        LOAD    $21, \at + 40(\base)
        LOAD    $22, \at + 48(\base)
        LOAD    $23, \at + 56(\base)
        LOAD    $30, \at + 64(\base)
#if defined(__mips64)
        LOAD    $28, \at + 72(\base)
#endif
#if FLOAT
#if defined(__mips64)
        ldc1    $f24, \at + 80(\base)
        ldc1    $f25, \at + 88(\base)
        ldc1    $f26, \at + 96(\base)
        ldc1    $f27, \at + 104(\base)
        ldc1    $f28, \at + 112(\base)
        ldc1    $f29, \at + 120(\base)
        ldc1    $f30, \at + 128(\base)
        ldc1    $f31, \at + 136(\base)
#else
        ldc1    $f20, \at + 80(\base)
        ldc1    $f22, \at + 88(\base)
        ldc1    $f24, \at + 96(\base)
        ldc1    $f26, \at + 104(\base)
        ldc1    $f28, \at + 112(\base)
        ldc1    $f30, \at + 120(\base)
#endif
        lw      $12, \at + 144(\base)
        ctc1    $12, $31
#endif
        .endm

        .text
        .set    nomips16
        .globl  greenlet_probe
        .type   greenlet_probe, @function
        .p2align 2
greenlet_probe:
        ADD     $sp, $sp, -208
#if defined(__mips64)
        move    $12, $8
        move    $13, $9
#else
        lw      $12, 208 + 16($sp)
        lw      $13, 208 + 20($sp)
#endif
        STORE_ALL $sp, 32
        SAVE    $31, 184($sp)
        SAVE    $5, 192($sp)
        move    $25, $6
        move    $5, $12
        move    $6, $13
        move    $2, $4
        move    $4, $7
        LOAD_ALL $2, 0
        jalr    $25
        LOAD    $5, 192($sp)
        STORE_ALL $5, 0
        LOAD_ALL $sp, 32
        LOAD    $31, 184($sp)
        ADD     $sp, $sp, 208
        jr      $31

#if !defined(__mips64)
/* save and restore that fill the area above their own frame (the argument slots), forward, and check it. */
        .globl  greenlet_probe_save
        .type   greenlet_probe_save, @function
greenlet_probe_save:
        lw      $25, 0($4)
        b       forward
        .globl  greenlet_probe_restore
        .type   greenlet_probe_restore, @function
greenlet_probe_restore:
        lw      $25, 4($4)
forward:
        addiu   $sp, $sp, -32
        sw      $31, 20($sp)
        sw      $16, 24($sp)
        move    $16, $4
        li      $8, 0x5eed1234
        sw      $8, 32($sp)
        sw      $8, 36($sp)
        sw      $8, 40($sp)
        sw      $8, 44($sp)
        jalr    $25
        lw      $9, 8($16)
        li      $8, 0x5eed1234
        lw      $10, 32($sp)
        xor     $8, $8, $10
        or      $9, $9, $8
        li      $8, 0x5eed1234
        lw      $10, 36($sp)
        xor     $8, $8, $10
        or      $9, $9, $8
        li      $8, 0x5eed1234
        lw      $10, 40($sp)
        xor     $8, $8, $10
        or      $9, $9, $8
        li      $8, 0x5eed1234
        lw      $10, 44($sp)
        xor     $8, $8, $10
        or      $9, $9, $8
        sw      $9, 8($16)
        lw      $31, 20($sp)
        lw      $16, 24($sp)
        addiu   $sp, $sp, 32
        jr      $31
#endif

        .section .rodata
        .globl  greenlet_probe_features
        .p2align 2
greenlet_probe_features:
        .long   FLOAT
        .section .note.GNU-stack, "", @progbits
