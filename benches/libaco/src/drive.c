/* Two coroutines of libaco on one shared stack, each resumed in turn: every resume copies one out and the other in. */

#include "aco.h"

#include <alloca.h>
#include <stddef.h>
#include <stdint.h>

static size_t room;
static aco_t *first, *second;

/* A coroutine with that much more in its frame, which does nothing but yield. */
static void body(void)
{
    volatile char *frame = alloca(room);
    frame[0] = 1;
    __asm__ volatile("" : : "r"(frame) : "memory");
    for (;;)
        aco_yield();
}

void drive(uint64_t rounds)
{
    for (; rounds != 0; rounds--) {
        aco_resume(first);
        aco_resume(second);
    }
}

/* Makes two anew, with `bytes` more in each frame, and answers how many bytes are copied of one. The last two are
   left: libaco cannot drop a coroutine that has not ended. */
size_t drive_begin(size_t bytes)
{
    room = bytes;
    aco_thread_init(NULL);
    aco_t *main_co = aco_create(NULL, NULL, 0, NULL, NULL);
    aco_share_stack_t *stack = aco_share_stack_new(0);
    first = aco_create(main_co, stack, 8192, body, NULL);
    second = aco_create(main_co, stack, 8192, body, NULL);
    drive(2);
    return first->save_stack.valid_sz;
}
