/* greenlet_switch for AArch64, AAPCS64 (Linux, the BSDs, bare metal; Mach-O as well).

   Source: Procedure Call Standard for the Arm 64-bit Architecture (AAPCS64), 2025Q4, section 6.1.1
   "General-purpose Registers", 6.1.2 "SIMD and Floating-Point registers"; Apple's platforms
   reserve x18, which is not touched here.

   A callee must preserve      x19 to x28, x29 (frame pointer), sp, d8 to d15 (the low halves of v8 to v15)
                               and x30 so far as it is where to return to.
   FPCR                        its rounding and trap bits may be changed only by calls that are meant to:
                               as good as preserved, so it is kept. (FPSR's flags are not, nor FPMR.)
   Written by a callee above its own frame: nothing, so nothing is reserved.
   SVE's z8 to z23 and p4 to p15 are preserved only by functions of the SVE calling standard, to
   which a plain C function, as this one is declared, does not belong.
   SME's ZA is the caller's: who has a lazy save of it pending (TPIDR2_EL0 points into its frames) makes it before
   it comes here. Nobody who runs meanwhile could.

   What a suspended greenlet has at its stack start, lowest address first:

       start + 0    x29, x30 (a frame record)
             + 16   x19 to x28
             + 96   d8 to d15
             + 160  FPCR, unused                                               176 bytes in all

   Return-address signing: x30 is signed with sp at the entry and checked with it before the return. Frames go back
   to the same address, so what was signed there verifies there. Both instructions are hints,
   which processors without the extension pass over; the first is also a landing pad under BTI.
   The return is always `ret`: a `br x30` would need a landing pad at every caller.               */

#if defined(__APPLE__)
#define SYM(name) _##name
#define HIDDEN(name) .private_extern _##name
#define TYPE(name)
#define SIZE(name)
#define LOCAL(name) L##name
#else
#define SYM(name) name
#define HIDDEN(name) .hidden name
#define TYPE(name) .type name, %function
#define SIZE(name) .size name, . - name
#define LOCAL(name) .L##name
#endif

        .text

/* void *greenlet_switch(void *(*save)(void *ctx, void *sp), void *(*restore)(void *ctx, void *sp),
                         void *ctx)
                         x0: save, x1: restore, x2: ctx                                           */
        .globl  SYM(greenlet_switch)
        HIDDEN(greenlet_switch)
        TYPE(greenlet_switch)
        .p2align 4
SYM(greenlet_switch):
        .cfi_startproc
        hint    #25                     /* paciasp */
        .cfi_negate_ra_state
        stp     x29, x30, [sp, #-176]!
        .cfi_def_cfa_offset 176
        .cfi_offset x29, -176
        .cfi_offset x30, -168
        stp     x19, x20, [sp, #16]
        .cfi_offset x19, -160
        .cfi_offset x20, -152
        stp     x21, x22, [sp, #32]
        .cfi_offset x21, -144
        .cfi_offset x22, -136
        stp     x23, x24, [sp, #48]
        .cfi_offset x23, -128
        .cfi_offset x24, -120
        stp     x25, x26, [sp, #64]
        .cfi_offset x25, -112
        .cfi_offset x26, -104
        stp     x27, x28, [sp, #80]
        .cfi_offset x27, -96
        .cfi_offset x28, -88
        stp     d8, d9, [sp, #96]
        .cfi_offset d8, -80
        .cfi_offset d9, -72
        stp     d10, d11, [sp, #112]
        .cfi_offset d10, -64
        .cfi_offset d11, -56
        stp     d12, d13, [sp, #128]
        .cfi_offset d12, -48
        .cfi_offset d13, -40
        stp     d14, d15, [sp, #144]
        .cfi_offset d14, -32
        .cfi_offset d15, -24
        mrs     x9, fpcr
        str     x9, [sp, #160]
        mov     x29, sp                 /* walkers by frame pointer go on to the caller; survives: seen by `xtask cfi` only */

        mov     x19, x1                 /* restore and ctx outlive the call to save */
        mov     x20, x2
        mov     x9, x0
        mov     x0, x2
        mov     x1, sp
        blr     x9                      /* target = save(ctx, start) */
        cbz     x0, LOCAL(resume)       /* nothing has changed: return null */

        mov     x29, xzr                /* walkers by frame pointer end here; survives: seen by `xtask cfi` only */
        .cfi_remember_state
        mov     sp, x0
        .cfi_undefined x30              /* above sp there may be another greenlet's bytes, or none */
        .cfi_undefined x29
        .cfi_undefined x19
        .cfi_undefined x20
        .cfi_undefined x21
        .cfi_undefined x22
        .cfi_undefined x23
        .cfi_undefined x24
        .cfi_undefined x25
        .cfi_undefined x26
        .cfi_undefined x27
        .cfi_undefined x28
        .cfi_undefined d8
        .cfi_undefined d9
        .cfi_undefined d10
        .cfi_undefined d11
        .cfi_undefined d12
        .cfi_undefined d13
        .cfi_undefined d14
        .cfi_undefined d15
        mov     x1, x0
        mov     x0, x20
        blr     x19                     /* result = restore(ctx, target) */
        .cfi_restore_state

LOCAL(resume):
        ldr     x9, [sp, #160]
        msr     fpcr, x9
        ldp     d14, d15, [sp, #144]
        ldp     d12, d13, [sp, #128]
        ldp     d10, d11, [sp, #112]
        ldp     d8, d9, [sp, #96]
        ldp     x27, x28, [sp, #80]
        ldp     x25, x26, [sp, #64]
        ldp     x23, x24, [sp, #48]
        ldp     x21, x22, [sp, #32]
        ldp     x19, x20, [sp, #16]
        ldp     x29, x30, [sp], #176
        .cfi_def_cfa_offset 0
        .cfi_restore x29
        .cfi_restore x30
        .cfi_restore x19
        .cfi_restore x20
        .cfi_restore x21
        .cfi_restore x22
        .cfi_restore x23
        .cfi_restore x24
        .cfi_restore x25
        .cfi_restore x26
        .cfi_restore x27
        .cfi_restore x28
        .cfi_restore d8
        .cfi_restore d9
        .cfi_restore d10
        .cfi_restore d11
        .cfi_restore d12
        .cfi_restore d13
        .cfi_restore d14
        .cfi_restore d15
        hint    #29                     /* autiasp */
        .cfi_negate_ra_state
        ret
        .cfi_endproc
        SIZE(greenlet_switch)

#if defined(__ELF__)
        .section .note.gnu.property, "a"
        .p2align 3
        .long   4, 16, 5                /* name size, descriptor size, NT_GNU_PROPERTY_TYPE_0 */
        .asciz  "GNU"
        .long   0xc0000000, 4, 3        /* GNU_PROPERTY_AARCH64_FEATURE_1_AND: BTI and PAC */
        .long   0
        .section .note.GNU-stack, "", %progbits
#endif
