/* Errors that AddressSanitizer must find in greenlets that were suspended, and whose neighbours were, when they are made.

     cc -fsanitize=address -Iexamples/c capi/tests/errors.c $(pkg-config --cflags --libs libgreenlet) -o errors && ./errors overflow

   libgreenlet has to be built with its feature `asan`. Without an argument no error is made, and none may be found: the same greenlets
   have frames of many shapes at many depths, whose red zones lie where others had variables a moment ago.                       */

#include "host.h"

static const char *wanted = "";
static volatile size_t past = 32; /* where the error is; the compiler must not see it */

/* Frames that differ, so that one's red zones lie over another's variables. Every byte of every variable is written. */
static uintptr_t deeper(uintptr_t seed, int depth)
{
    volatile char a[24], b[200];
    volatile uintptr_t c[5];
    uintptr_t sum = seed;

    memset((char *)a, (int)seed, sizeof a);
    memset((char *)b, (int)seed + 1, sizeof b);
    for (int i = 0; i < 5; i++)
        c[i] = seed * i;
    if (depth > 0)
        sum += deeper(seed * 31 + 7, depth - 1);
    else
        must_go(greenlet_main(thread), number(sum));
    for (size_t i = 0; i < sizeof a; i++)
        CHECK(a[i] == (char)seed);
    for (size_t i = 0; i < sizeof b; i++)
        CHECK(b[i] == (char)(seed + 1));
    for (int i = 0; i < 5; i++)
        CHECK(c[i] == seed * i);
    return sum;
}

static greenlet *busy(greenlet_thread *its, void *context, void **value)
{
    uintptr_t seed = (uintptr_t)context;

    (void)its;
    for (int round = 0; round < 6; round++)
        deeper(seed + round, (int)((seed * 7 + round * 3) % 9));
    *value = NULL;
    return NULL;
}

static void all_go_on(greenlet **busy_ones, int count)
{
    for (int i = 0; i < count; i++)
        must_go(busy_ones[i], NULL);
}

/* The same depths once more, by main itself. */
static uintptr_t over_all(int depth)
{
    volatile char mine[300];

    memset((char *)mine, depth, sizeof mine);
    return depth ? over_all(depth - 1) + mine[depth] : 1;
}

/* One that makes the error that is wanted, in frames that have been away in between. */
static greenlet *wrong(greenlet_thread *its, void *context, void **value)
{
    volatile char mine[32];
    volatile char *gone = NULL, *volatile there = mine; /* no other tool may know whose it is */
    char *volatile block = malloc(32), *volatile freed = block;

    (void)context;
    memset((char *)mine, 1, sizeof mine);
    {
        volatile char inner[32];

        gone = inner;
        memset((char *)inner, 2, sizeof inner);
        must_go(greenlet_main(its), NULL);
        CHECK(inner[31] == 2);
    }
    must_go(greenlet_main(its), NULL);
    CHECK(mine[31] == 1);
    if (strcmp(wanted, "overflow") == 0)
        there[past] = 3;
    if (strcmp(wanted, "underflow") == 0)
        there[past - 33] = 3;
    if (strcmp(wanted, "scope") == 0)
        gone[0] = 3;
    if (strcmp(wanted, "heap") == 0)
        block[past] = 3;
    if (strcmp(wanted, "freed") == 0) {
        free(block);
        block = NULL;
        freed[1] = 3;
    }
    free(block);
    *value = NULL;
    return NULL;
}

static void forget(greenlet *one)
{
    for (int i = 0; i < MANY; i++)
        if (made[i] == one)
            made[i] = NULL;
    CHECK(greenlet_free(one) == GREENLET_OK);
}

static void a_round(void *memory, size_t size)
{
    enum { BUSY = 12 };
    greenlet_stack *stack = NULL;
    greenlet *busy_ones[BUSY], *bad;

    begin_test();
    if (memory) {
        tool_stack(memory, size);
        CHECK(greenlet_stack_new(thread, memory, size, &stack) == GREENLET_OK);
    }
    for (int i = 0; i < BUSY; i++)
        busy_ones[i] = make(stack, busy, number((uintptr_t)i * 37 + 5));
    bad = make(stack, wrong, NULL);
    all_go_on(busy_ones, BUSY);
    must_go(bad, NULL);
    all_go_on(busy_ones, BUSY);
    must_go(bad, NULL);
    all_go_on(busy_ones, BUSY);
    must_go(bad, NULL);
    for (int round = 0; round < 3; round++)
        all_go_on(busy_ones, BUSY); /* five of six rounds; half of them go no further */
    for (int i = 0; i < BUSY; i += 2)
        forget(busy_ones[i]);
    for (int i = 1; i < BUSY; i += 2)
        must_go(busy_ones[i], NULL);
    forget(bad);
    for (int i = 1; i < BUSY; i += 2)
        forget(busy_ones[i]);
    /* What has been freed has left nothing where others have their frames now. */
    CHECK(over_all(60) != 0);
    if (stack)
        CHECK(greenlet_stack_free(stack) == GREENLET_OK);
    tool_no_stacks();
    end_test();
}

int main(int argc, char **argv)
{
    static char memory[256 << 10];

    if (argc > 1)
        wanted = argv[1];
    a_round(NULL, 0);
    a_round(memory, sizeof memory);
    puts("errors: all right");
    return 0;
}
