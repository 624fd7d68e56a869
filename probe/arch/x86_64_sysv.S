/* void *greenlet_probe(load, store, f, a, b, c): see ../src/lib.rs. x86-64, System V ABI.
   rdi: load, rsi: store, rdx: f, rcx, r8, r9: a, b, c.

   Its frame:  rsp + 0 store,  + 8 our MXCSR,  + 12 our x87 control word,  + 24 r15 ... rbp, return  */

#if defined(__APPLE__)
#define SYM(name) _##name
#else
#define SYM(name) name
#endif

        .intel_syntax noprefix
        .text
        .globl  SYM(greenlet_probe)
SYM(greenlet_probe):
        push    rbp
        push    rbx
        push    r12
        push    r13
        push    r14
        push    r15
        sub     rsp, 24
        mov     [rsp], rsi
#if defined(__SSE__)
        stmxcsr [rsp + 8]
        fnstcw  [rsp + 12]
#endif

        mov     rbx, [rdi]
        mov     rbp, [rdi + 8]
        mov     r12, [rdi + 16]
        mov     r13, [rdi + 24]
        mov     r14, [rdi + 32]
        mov     r15, [rdi + 40]
#if defined(__SSE__)
        ldmxcsr [rdi + 48]
        fldcw   [rdi + 52]
#endif

        mov     rax, rdx
        mov     rdi, rcx
        mov     rsi, r8
        mov     rdx, r9
        call    rax

        mov     rdi, [rsp]
        mov     [rdi], rbx
        mov     [rdi + 8], rbp
        mov     [rdi + 16], r12
        mov     [rdi + 24], r13
        mov     [rdi + 32], r14
        mov     [rdi + 40], r15
#if defined(__SSE__)
        stmxcsr [rdi + 48]
        fnstcw  [rdi + 52]

        ldmxcsr [rsp + 8]
        fldcw   [rsp + 12]
#endif
        add     rsp, 24
        pop     r15
        pop     r14
        pop     r13
        pop     r12
        pop     rbx
        pop     rbp
        ret

#if defined(__ELF__)
        .section .rodata
#else
        .const
#endif
        .globl  SYM(greenlet_probe_features)
        .p2align 2
SYM(greenlet_probe_features):
#if defined(__SSE__)
        .long   1
#else
        .long   0
#endif
#if defined(__ELF__)
        .section .note.GNU-stack, "", @progbits
#endif
