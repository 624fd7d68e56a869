/* greenlet_switch for 32-bit x86: System V ABI (Linux, the BSDs, bare metal), and Windows (GNU).

   Source: System V Application Binary Interface, Intel386 Architecture Processor Supplement, version 1.1,
   section 2.2.2 "The Stack Frame" and table 2.3 "Register Usage". Windows: Microsoft's "Argument Passing
   and Naming Conventions", __cdecl, and "x86 calling conventions": the same registers. Its
   stack is only 4-aligned, which is all that is asked for here.

   A callee must preserve      ebx, esi, edi, ebp, esp
   and the control bits of     MXCSR (where there is SSE) and the x87 control word.
   On Windows also fs:[0], the head of the list of exception handlers, which lie in stack frames.
   Written by a callee above its own frame: its arguments, which are its own. 8 bytes for two of
   them, 16 with the padding that keeps the stack aligned.

   What a suspended greenlet has at its stack start, lowest address first:

       start - 16   [reserved: the arguments of save and restore; in nobody's slice]
       start + 0    MXCSR
             + 4    x87 control word (2 bytes), unused (2)
             + 8    fs:[0] on Windows, else unused: the stack start is a multiple of 16
             + 12   edi
             + 16   esi
             + 20   ebx
             + 24   ebp, and with the next word a frame record
             + 28   return address
             + 32   save, restore, ctx: the caller's

   A new greenlet on Windows begins with the last entry of the list, the thread's own. That one lies
   where nothing moves, unlike those of the greenlet that is left. It is looked up before save,
   which may give their memory away.                                                                */

#if defined(_WIN32)
#define SYM(name) _##name
#define DECLARE(name) .def SYM(name); .scl 2; .type 32; .endef
#define SIZE(name)
#else
#define SYM(name) name
#define DECLARE(name) .hidden name; .type name, @function
#define SIZE(name) .size name, . - name
#endif

        .intel_syntax noprefix
        .text

/* void *greenlet_switch(void *(*save)(void *ctx, void *sp), void *(*restore)(void *ctx, void *sp),
                         void *ctx)                                                               */
        .globl  SYM(greenlet_switch)
        DECLARE(greenlet_switch)
        .p2align 4
SYM(greenlet_switch):
        .cfi_startproc
#if defined(__CET__)
        endbr32
#endif
        push    ebp
        .cfi_def_cfa_offset 8
        .cfi_offset ebp, -8
        mov     ebp, esp                /* walkers by frame pointer go on to the caller */
        push    ebx
        .cfi_def_cfa_offset 12
        .cfi_offset ebx, -12
        push    esi
        .cfi_def_cfa_offset 16
        .cfi_offset esi, -16
        push    edi
        .cfi_def_cfa_offset 20
        .cfi_offset edi, -20
        sub     esp, 28
        .cfi_def_cfa_offset 48
#if defined(__SSE__)
        stmxcsr [esp + 16]
#endif
        fnstcw  [esp + 20]
#if defined(_WIN32)
        mov     eax, fs:[0]
        mov     [esp + 24], eax
.Lnext: mov     ebx, eax                /* the last of the list: the thread's own */
        mov     eax, [ebx]
        cmp     eax, -1
        jne     .Lnext
#endif

        mov     ecx, [esp + 48]         /* save; restore and ctx outlive the call to it */
        mov     esi, [esp + 52]
        mov     edi, [esp + 56]
        lea     eax, [esp + 16]
        mov     [esp], edi
        mov     [esp + 4], eax
        call    ecx                     /* target = save(ctx, start) */
        test    eax, eax
        jz      .Lresume                /* nothing has changed: return null */

#if defined(_WIN32)
        mov     fs:[0], ebx             /* for a new greenlet */
#endif
        xor     ebp, ebp                /* walkers by frame pointer end here */
        .cfi_remember_state
        lea     esp, [eax - 16]
        .cfi_undefined eip              /* above sp there may be another greenlet's bytes, or none */
        .cfi_undefined ebp
        .cfi_undefined ebx
        .cfi_undefined esi
        .cfi_undefined edi
        mov     [esp], edi
        mov     [esp + 4], eax
        call    esi                     /* result = restore(ctx, target) */
        .cfi_restore_state

.Lresume:
#if defined(__SSE__)
        ldmxcsr [esp + 16]
#endif
        fldcw   [esp + 20]
#if defined(_WIN32)
        mov     ecx, [esp + 24]
        mov     fs:[0], ecx
#endif
        add     esp, 28
        .cfi_def_cfa_offset 20
        pop     edi
        .cfi_def_cfa_offset 16
        .cfi_restore edi
        pop     esi
        .cfi_def_cfa_offset 12
        .cfi_restore esi
        pop     ebx
        .cfi_def_cfa_offset 8
        .cfi_restore ebx
        pop     ebp
        .cfi_def_cfa_offset 4
        .cfi_restore ebp
        ret
        .cfi_endproc
        SIZE(greenlet_switch)

#if defined(__ELF__)
        .section .note.GNU-stack, "", @progbits
#endif
