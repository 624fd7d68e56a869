/* What tools that watch the stack have to be told of stacks beside the native one. Nothing, unless the program is compiled with
   -DTOOL_VALGRIND.

   valgrind follows the stack pointer: what is popped is not addressable, what is pushed is. That is right for greenlets on one
   stack. A jump to another stack changes neither, so what is restored into a stretch that somebody has popped there since would look
   like a write out of bounds. So while there is another stack, all of all is declared usable before each switch.            */

#ifndef TOOLS_H
#define TOOLS_H

#include <stddef.h>

#if defined(TOOL_VALGRIND)
#include <valgrind/memcheck.h>

enum { TOOL_NATIVE = 64 << 10 }; /* more than the tests use below where they begin */

static char *tool_native;
static int tool_count;
static struct { char *memory; size_t size; unsigned id; } tool_known[2];

static inline void tool_stack(void *memory, size_t size)
{
    tool_native = (char *)__builtin_frame_address(0) - TOOL_NATIVE;
    tool_known[tool_count].memory = memory;
    tool_known[tool_count].size = size;
    tool_known[tool_count++].id = VALGRIND_STACK_REGISTER(memory, (char *)memory + size - 1);
}

static void tool_switch(void)
{
    for (int i = 0; i < tool_count; i++)
        VALGRIND_MAKE_MEM_DEFINED(tool_known[i].memory, tool_known[i].size);
    if (tool_count)
        VALGRIND_MAKE_MEM_DEFINED(tool_native, TOOL_NATIVE);
}

static inline void tool_no_stacks(void)
{
    tool_switch();
    while (tool_count)
        VALGRIND_STACK_DEREGISTER(tool_known[--tool_count].id);
}
#else
static inline void tool_stack(void *memory, size_t size) { (void)memory, (void)size; }
static inline void tool_no_stacks(void) {}
static void tool_switch(void) {}
#endif

#endif
