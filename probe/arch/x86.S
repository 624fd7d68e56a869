/* greenlet_probe and the area callbacks: see ../src/lib.rs. 32-bit x86: System V ABI, and cdecl on Windows.

   greenlet_probe's frame: esp + 0  the arguments a, b, c of f,  + 12 our MXCSR,  + 16 our x87 control
   word,  + 20 on Windows an entry of the list of exception handlers,  + 28 edi, esi, ebx, ebp, return
   address,  + 48 load, + 52 store, + 56 f, + 60 a, b, c.
   fs:[0] cannot have any value: stored is what was loaded, plus how far it is off.                */

#if defined(_WIN32)
#define SYM(name) _##name
#else
#define SYM(name) name
#endif

        .intel_syntax noprefix
        .text
        .globl  SYM(greenlet_probe)
SYM(greenlet_probe):
        push    ebp
        push    ebx
        push    esi
        push    edi
        sub     esp, 28
#if defined(__SSE__)
        stmxcsr [esp + 12]
#endif
        fnstcw  [esp + 16]

        mov     eax, [esp + 60]
        mov     [esp], eax
        mov     eax, [esp + 64]
        mov     [esp + 4], eax
        mov     eax, [esp + 68]
        mov     [esp + 8], eax
        mov     edx, [esp + 56]
        mov     ecx, [esp + 48]
        mov     ebx, [ecx]
        mov     esi, [ecx + 4]
        mov     edi, [ecx + 8]
        mov     ebp, [ecx + 12]
#if defined(__SSE__)
        ldmxcsr [ecx + 16]
#endif
        fldcw   [ecx + 20]
#if defined(_WIN32)
        mov     ecx, fs:[0]
        mov     [esp + 20], ecx
        mov     ecx, [ecx + 4]
        mov     [esp + 24], ecx
        lea     ecx, [esp + 20]
        mov     fs:[0], ecx
#endif
        call    edx
back:
        mov     ecx, [esp + 52]
        mov     [ecx], ebx
        mov     [ecx + 4], esi
        mov     [ecx + 8], edi
        mov     [ecx + 12], ebp
#if defined(__SSE__)
        stmxcsr [ecx + 16]
        ldmxcsr [esp + 12]
#endif
        fnstcw  [ecx + 20]
        fldcw   [esp + 16]
#if defined(_WIN32)
        lea     edx, [esp + 20]
        sub     edx, fs:[0]
        neg     edx
        push    eax
        mov     eax, [esp + 4 + 48]
        add     edx, [eax + 24]
        mov     [ecx + 24], edx
        pop     eax
        mov     edx, [esp + 20]
        mov     fs:[0], edx
#endif
        add     esp, 28
        pop     edi
        pop     esi
        pop     ebx
        pop     ebp
        ret

/* save and restore that fill the area above their own frame (their two arguments), forward, and check it. The chain of
   frame pointers is checked too: in save it leads to greenlet_probe, in restore it ends.           */
        .globl  SYM(greenlet_probe_save)
SYM(greenlet_probe_save):
        call    here
here:   pop     edx
        .att_syntax                     /* assemblers differ in what they take a difference for in the other one */
        subl    $(here - back), %edx
        .intel_syntax noprefix
        sub     edx, [ebp + 4]
        mov     ecx, 0
        jmp     forward
        .globl  SYM(greenlet_probe_restore)
SYM(greenlet_probe_restore):
        mov     edx, ebp
        mov     ecx, 4
forward:
        push    esi
        sub     esp, 8
        mov     esi, [esp + 16]         /* ctx */
        or      [esi + 8], edx
        mov     eax, [esp + 20]
        mov     [esp], esi
        mov     [esp + 4], eax
        mov     dword ptr [esp + 16], 0x5eed0001
        mov     dword ptr [esp + 20], 0x5eed0002
        call    [esi + ecx]
        xor     dword ptr [esp + 16], 0x5eed0001
        xor     dword ptr [esp + 20], 0x5eed0002
        mov     ecx, [esp + 16]
        or      ecx, [esp + 20]
        or      [esi + 8], ecx
        add     esp, 8
        pop     esi
        ret

#if defined(__ELF__)
        .section .rodata
#else
        .section .rdata, "dr"
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
