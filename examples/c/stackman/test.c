/* What stackman.h says, tried: a generator on a stack of its own, and two flows that share the native one. Ends with "all right". */

#include "../check.h"
#include "stackman.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ---- a generator on a stack of its own: nothing is copied ---- */

static char room[64 << 10];
static void *inside, *outside;
static int value, done;

static void *swap_to(void *context, int opcode, void *stack_pointer)
{
    void **from_to = context;

    if (opcode == STACKMAN_OP_RESTORE)
        return context;
    CHECK(opcode == STACKMAN_OP_SAVE);
    *(void **)from_to[0] = stack_pointer;
    return *(void **)from_to[1];
}

static void go(void **from, void **to)
{
    static void *from_to[2];

    from_to[0] = from;
    from_to[1] = to;
    CHECK(stackman_switch(swap_to, from_to) == from_to);
}

/* Begins when main's RESTORE calls it. What is below `outside` on main's stack is gone after the first switch, so it never returns. */
static void *generator(void *context, int opcode, void *stack_pointer)
{
    char here;

    CHECK(opcode == STACKMAN_OP_CALL && stack_pointer && context == &value);
    CHECK(&here > room && &here < room + sizeof room);
    for (value = 0; value < 10; value++)
        go(&inside, &outside);
    done = 1;
    go(&inside, &outside);
    CHECK(!"a generator that is done runs");
    return NULL;
}

static void *begin(void *context, int opcode, void *stack_pointer)
{
    if (opcode == STACKMAN_OP_SAVE)
        return outside = stack_pointer;
    return stackman_call(generator, context, room + sizeof room - 60);
}

static void a_generator_on_its_own_stack(void)
{
    volatile int mine = 17;

    stackman_switch(begin, &value);
    for (int i = 0; i < 10; i++) {
        CHECK(!done && value == i && mine == 17);
        go(&outside, &inside);
    }
    CHECK(done);
}

/* ---- calls that return ---- */

static void *called(void *context, int opcode, void *stack_pointer)
{
    char here;
    int there = &here > room && &here < room + sizeof room;

    CHECK(opcode == STACKMAN_OP_CALL && stack_pointer);
    CHECK(there == (context != NULL));
    return &value;
}

static void *called_twice(void *context, int opcode, void *stack_pointer)
{
    volatile int mine = 42;

    CHECK(opcode == STACKMAN_OP_CALL && stack_pointer);
    CHECK(stackman_call(called, context, room + sizeof room / 2) == &value && mine == 42);
    return &done;
}

static void calls(void)
{
    CHECK(stackman_call(called, NULL, NULL) == &value);
    CHECK(stackman_call(called, room, room + sizeof room) == &value);
    CHECK(stackman_call(called_twice, room, room + sizeof room) == &done);
}

/* ---- two flows on the native stack, with the slices copied by the callback ---- */

static struct slice {
    char *start, *stop, copy[8192];
    size_t saved;
} slices[2];
static int runs, begun;
static long turns[2];

static void other_flow(void);

static void *take_turns(void *context, int opcode, void *stack_pointer)
{
    struct slice *from = &slices[runs], *to = &slices[!runs];

    if (opcode == STACKMAN_OP_SAVE) {
        from->start = stack_pointer;
        if (!begun)
            to->start = to->stop = stack_pointer;
        char *end = from->stop < to->stop ? from->stop : to->stop;
        from->saved = end > from->start ? (size_t)(end - from->start) : 0;
        CHECK(from->saved <= sizeof from->copy);
        memcpy(from->copy, from->start, from->saved);
        return to->start;
    }
    runs = !runs;
    if (!begun) {
        begun = 1;
        other_flow();
    }
    memcpy(to->start, to->copy, to->saved);
    return context;
}

static void turn(int depth)
{
    volatile int mine[16];

    for (int i = 0; i < 16; i++)
        mine[i] = depth + i + runs;
    if (depth > 0) {
        turn(depth - 1);
    } else {
        turns[runs]++;
        CHECK(stackman_switch(take_turns, &turns) == &turns);
    }
    for (int i = 0; i < 16; i++)
        CHECK(mine[i] == depth + i + runs);
}

static void other_flow(void)
{
    for (int i = 0;; i++)
        turn((i * 5) % 17);
}

static void two_on_one_stack(void)
{
    slices[0].stop = (char *)UINTPTR_MAX;
    for (int i = 0; i < 2000; i++)
        turn((i * 3) % 19);
    CHECK(turns[0] == 2000 && turns[1] == 2000);
}

int main(void)
{
    a_generator_on_its_own_stack();
    calls();
    two_on_one_stack();
    printf("stackman: all right\n");
    return 0;
}
