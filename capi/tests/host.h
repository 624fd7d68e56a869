/* What the tests of libgreenlet have in common: a host with counted memory that can be refused, and its greenlets.            */

#ifndef HOST_H
#define HOST_H

#include "check.h"
#include "tools.h"

#include <libgreenlet.h>
#include <string.h>

#define MANY 30

static greenlet_thread *thread;
static greenlet *made[MANY];
static unsigned long switches;

static int go(greenlet *target, void *value, void **result)
{
    switches++;
    tool_switch();
    return greenlet_switch_to(thread, target, value, result);
}

static void *must_go(greenlet *target, void *value)
{
    void *result = NULL;

    CHECK(go(target, value, &result) == GREENLET_OK);
    return result;
}

static void *number(uintptr_t n)
{
    return (void *)n;
}

/* ---- memory that can be refused, and is counted ---- */

static long blocks, refuse_after = -1;

static void *counted(void *ctx, void *block, size_t old, size_t size)
{
    CHECK(ctx == &blocks && (block == NULL) == (old == 0));
    if (size == 0) {
        blocks -= block != NULL;
        free(block);
        return NULL;
    }
    if (refuse_after >= 0 && refuse_after-- == 0) {
        refuse_after = 0;
        return NULL;
    }
    blocks += block == NULL;
    return realloc(block, size);
}

static const greenlet_memory memory = {counted, &blocks};

static void begin_test(void)
{
    refuse_after = -1;
    CHECK(greenlet_thread_new(&memory, &thread) == GREENLET_OK);
}

static void end_test(void)
{
    for (int i = 0; i < MANY; i++) {
        CHECK(greenlet_free(made[i]) == GREENLET_OK);
        made[i] = NULL;
    }
    CHECK(greenlet_thread_free(thread) == GREENLET_OK);
    CHECK(blocks == 0);
}

static greenlet *make(greenlet_stack *stack, greenlet_body body, void *context)
{
    for (int i = 0; i < MANY; i++)
        if (!made[i]) {
            CHECK(greenlet_new(thread, stack, body, context, &made[i]) == GREENLET_OK);
            return made[i];
        }
    CHECK(!"too many greenlets in one test");
    return NULL;
}

/* ---- a greenlet that waits once, with something on its stack: in main, or in `context` ---- */

static inline greenlet *sleeper(greenlet_thread *its, void *context, void **value)
{
    volatile char mine[3000];

    memset((char *)mine, (int)(uintptr_t)*value, sizeof mine);
    must_go(context ? context : greenlet_main(its), number(1));
    for (size_t i = 0; i < sizeof mine; i++)
        CHECK(mine[i] == (char)(uintptr_t)*value);
    *value = number(2);
    return NULL;
}

#endif
