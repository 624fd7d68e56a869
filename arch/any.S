/* The arch file of whatever target the C compiler compiles for, for builds that do not want to know: add this one file.

   The same choice as `arch_file` in build.rs, by what compilers define. `cargo xtask test` compares, for every target that it
   knows.                                                                                                                 */

#if defined(__x86_64__) && (defined(_WIN32) || defined(__CYGWIN__))
#include "x86_64_windows.S"
#elif defined(__x86_64__)
#include "x86_64_sysv.S"
#elif defined(__i386__)
#include "x86.S"
#elif defined(__aarch64__) && defined(_WIN32)
#include "aarch64_windows.S"
#elif defined(__aarch64__)
#include "aarch64_aapcs64.S"
#elif defined(__arm__) && __ARM_ARCH_ISA_THUMB == 1 && !defined(__ARM_ARCH_ISA_ARM)
#include "arm_thumb1.S"
#elif defined(__arm__)
#include "arm_aapcs.S"
#elif defined(__powerpc64__)
#include "powerpc64.S"
#elif defined(__powerpc__)
#include "powerpc_sysv.S"
#elif defined(__riscv)
#include "riscv.S"
#elif defined(__s390x__)
#include "s390x.S"
#elif defined(__mips__)
#include "mips.S"
#elif defined(__loongarch64)
#include "loongarch64.S"
#elif defined(__sparc__) && defined(__arch64__)
#include "sparc64.S"
#elif defined(__m68k__)
#include "m68k.S"
#else
#error "greenlet: no arch file for this target; arch/README.md says how to add one"
#endif
