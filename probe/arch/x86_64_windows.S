/* greenlet_probe and the area callbacks: see ../src/lib.rs. x86-64, Windows.
   rcx: load, rdx: store, r8: f, r9: a; b and c on the stack.

   greenlet_probe's frame: rsp + 0  home space of f,  + 32 xmm6 to xmm15,  + 192 our MXCSR, our x87 control
   word,  + 200 r15, r14, r13, r12, rsi, rdi, rbx, rbp, return address,  + 272 our own home space (store
   is kept there),  + 304 b, c                                                                      */

        .intel_syntax noprefix
        .text
        .globl  greenlet_probe
        .def    greenlet_probe
        .scl    2
        .type   32
        .endef
        .seh_proc greenlet_probe
greenlet_probe:
        push    rbp
        .seh_pushreg rbp
        push    rbx
        .seh_pushreg rbx
        push    rdi
        .seh_pushreg rdi
        push    rsi
        .seh_pushreg rsi
        push    r12
        .seh_pushreg r12
        push    r13
        .seh_pushreg r13
        push    r14
        .seh_pushreg r14
        push    r15
        .seh_pushreg r15
        sub     rsp, 200
        .seh_stackalloc 200
        .seh_endprologue
        movaps  [rsp + 32], xmm6
        movaps  [rsp + 48], xmm7
        movaps  [rsp + 64], xmm8
        movaps  [rsp + 80], xmm9
        movaps  [rsp + 96], xmm10
        movaps  [rsp + 112], xmm11
        movaps  [rsp + 128], xmm12
        movaps  [rsp + 144], xmm13
        movaps  [rsp + 160], xmm14
        movaps  [rsp + 176], xmm15
        stmxcsr [rsp + 192]
        fnstcw  [rsp + 196]
        mov     [rsp + 272], rdx

        mov     rbx, [rcx + 0]
        mov     rbp, [rcx + 8]
        mov     rdi, [rcx + 16]
        mov     rsi, [rcx + 24]
        mov     r12, [rcx + 32]
        mov     r13, [rcx + 40]
        mov     r14, [rcx + 48]
        mov     r15, [rcx + 56]
        movaps  xmm6, [rcx + 64]
        movaps  xmm7, [rcx + 80]
        movaps  xmm8, [rcx + 96]
        movaps  xmm9, [rcx + 112]
        movaps  xmm10, [rcx + 128]
        movaps  xmm11, [rcx + 144]
        movaps  xmm12, [rcx + 160]
        movaps  xmm13, [rcx + 176]
        movaps  xmm14, [rcx + 192]
        movaps  xmm15, [rcx + 208]
        ldmxcsr [rcx + 224]
        fldcw   [rcx + 228]
        mov     rax, r8
        mov     rcx, r9
        mov     rdx, [rsp + 304]
        mov     r8, [rsp + 312]
        call    rax

        mov     rcx, [rsp + 272]
        mov     [rcx + 0], rbx
        mov     [rcx + 8], rbp
        mov     [rcx + 16], rdi
        mov     [rcx + 24], rsi
        mov     [rcx + 32], r12
        mov     [rcx + 40], r13
        mov     [rcx + 48], r14
        mov     [rcx + 56], r15
        movaps  [rcx + 64], xmm6
        movaps  [rcx + 80], xmm7
        movaps  [rcx + 96], xmm8
        movaps  [rcx + 112], xmm9
        movaps  [rcx + 128], xmm10
        movaps  [rcx + 144], xmm11
        movaps  [rcx + 160], xmm12
        movaps  [rcx + 176], xmm13
        movaps  [rcx + 192], xmm14
        movaps  [rcx + 208], xmm15
        stmxcsr [rcx + 224]
        fnstcw  [rcx + 228]
        ldmxcsr [rsp + 192]
        fldcw   [rsp + 196]
        movaps  xmm6, [rsp + 32]
        movaps  xmm7, [rsp + 48]
        movaps  xmm8, [rsp + 64]
        movaps  xmm9, [rsp + 80]
        movaps  xmm10, [rsp + 96]
        movaps  xmm11, [rsp + 112]
        movaps  xmm12, [rsp + 128]
        movaps  xmm13, [rsp + 144]
        movaps  xmm14, [rsp + 160]
        movaps  xmm15, [rsp + 176]
        add     rsp, 200
        pop     r15
        pop     r14
        pop     r13
        pop     r12
        pop     rsi
        pop     rdi
        pop     rbx
        pop     rbp
        ret
        .seh_endproc

/* save and restore that fill the area above their own frame (the home space), forward, and check it. In restore the chain
   of frame pointers must end.                                                                      */
        .globl  greenlet_probe_save
greenlet_probe_save:
        mov     eax, 0
        xor     r9d, r9d
        jmp     forward
        .globl  greenlet_probe_restore
greenlet_probe_restore:
        mov     eax, 8
        mov     r9, rbp
        .seh_proc forward
forward:
        push    rbx
        .seh_pushreg rbx
        sub     rsp, 32
        .seh_stackalloc 32
        .seh_endprologue
        mov     rbx, rcx
        or      [rbx + 16], r9
        mov     r8, 0x5eed123456789abc
        mov     [rsp + 48], r8
        mov     [rsp + 56], r8
        mov     [rsp + 64], r8
        mov     [rsp + 72], r8
        call    [rcx + rax]
        mov     r8, 0x5eed123456789abc
        xor     [rsp + 48], r8
        xor     [rsp + 56], r8
        xor     [rsp + 64], r8
        xor     r8, [rsp + 72]
        or      r8, [rsp + 48]
        or      r8, [rsp + 56]
        or      r8, [rsp + 64]
        or      [rbx + 16], r8
        add     rsp, 32
        pop     rbx
        ret
        .seh_endproc

        .section .rdata, "dr"
        .globl  greenlet_probe_features
        .p2align 2
greenlet_probe_features:
        .long   0
