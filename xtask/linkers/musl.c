/* LLVM's unwinder, as Debian compiles it, calls glibc's checked fprintf, which musl has not. */
#include <stdarg.h>
#include <stdio.h>

int __fprintf_chk(FILE *file, int level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)level;
    int length = vfprintf(file, format, arguments);
    va_end(arguments);
    return length;
}
