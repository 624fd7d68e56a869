/* What libgreenlet.h promises of frames: where their bytes are, whose state is whose, and that many find theirs unchanged.

     cc -Iexamples/c capi/tests/frames.c $(pkg-config --cflags --libs libgreenlet) -lm -o frames && ./frames

   Run as it is, under valgrind and with the sanitizers; the argument "short" makes fewer random switches.                     */

#include "host.h"

#include <fenv.h>
#include <stdalign.h>

/* ---- where the bytes are ---- */

static const char *secret_address;

static greenlet *keeper(greenlet_thread *its, void *context, void **value)
{
    volatile char secret[64];

    (void)context;
    strcpy((char *)secret, "what a suspended greenlet holds");
    secret_address = (const char *)secret;
    must_go(greenlet_main(its), NULL);
    CHECK(strcmp((const char *)secret, "what a debugger has written there") == 0);
    *value = number(1);
    return NULL;
}

static void bytes_are_found(void)
{
    greenlet *one = make(NULL, keeper, NULL), *two = make(NULL, sleeper, NULL);
    uintptr_t start, stop;
    size_t together, all = 0;
    char *place;

    must_go(one, NULL);
    must_go(two, number(3));
    CHECK(greenlet_saved(one) > 0);
    CHECK(greenlet_stretch(one, &start, &stop) == GREENLET_OK && stop - start >= greenlet_saved(one));
    CHECK(start <= (uintptr_t)secret_address && (uintptr_t)secret_address < stop);
    for (uintptr_t at = start; at < stop; at += together, all += together)
        CHECK(greenlet_locate(one, (void *)at, &together) && together > 0);
    CHECK(all == stop - start);
    CHECK(!greenlet_locate(one, (void *)(start - 1), NULL) && !greenlet_locate(one, (void *)stop, &together) && !together);

    place = greenlet_locate(one, secret_address, &together);
    CHECK(place && place != secret_address && together >= 64);
    CHECK(strcmp(place, "what a suspended greenlet holds") == 0);
    strcpy(place, "what a debugger has written there");
    CHECK(must_go(one, NULL) == number(1));
    CHECK(must_go(two, NULL) == number(2));
}

/* ---- the hook ---- */

static int host_state;
static struct { greenlet *of; int state; } host_states[MANY + 1];

static int *state_of(greenlet *one)
{
    for (int i = 0;; i++)
        if (!host_states[i].of || host_states[i].of == one) {
            host_states[i].of = one;
            return &host_states[i].state;
        }
}

static void swap_state(void *ctx, greenlet_thread *its, greenlet *from, greenlet *to)
{
    CHECK(ctx == &host_state && its == thread && from != to && to == greenlet_current(its));
    *state_of(from) = host_state;
    host_state = *state_of(to);
}

static greenlet *stateful(greenlet_thread *its, void *context, void **value)
{
    uintptr_t mine = (uintptr_t)context;

    CHECK(host_state == 0);
    host_state = (int)mine;
    must_go(greenlet_main(its), NULL);
    CHECK(host_state == (int)mine);
    host_state = (int)mine + 1000;
    must_go(greenlet_main(its), NULL);
    CHECK(host_state == (int)mine + 1000);
    (void)value;
    return NULL;
}

static void the_hook_swaps_the_hosts_state(void)
{
    memset(host_states, 0, sizeof host_states);
    host_state = -1;
    CHECK(greenlet_set_hook(thread, swap_state, &host_state) == GREENLET_OK);
    for (uintptr_t i = 1; i <= 10; i++)
        make(NULL, stateful, (void *)i);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 10; i++) {
            must_go(made[i], NULL);
            CHECK(host_state == -1);
        }
    CHECK(greenlet_state(made[9]) == GREENLET_IS_FINISHED);
    CHECK(greenlet_set_hook(thread, NULL, NULL) == GREENLET_OK);
}

/* ---- stacks beside the native one, and what moves ---- */

static void stacks(void)
{
    size_t size = 256 << 10;
    char *room = malloc(size), mine = 0;
    greenlet_stack *stack;
    greenlet *there, *here;
    uintptr_t start, stop;

    tool_stack(room, size);
    CHECK(greenlet_stack_new(thread, room, size, &stack) == GREENLET_OK);
    there = make(stack, sleeper, NULL), here = make(NULL, sleeper, NULL);
    CHECK(must_go(there, number(4)) == number(1));
    CHECK(must_go(here, number(5)) == number(1));
    CHECK(greenlet_stretch(there, &start, &stop) == GREENLET_OK);
    CHECK(start > (uintptr_t)room && stop <= (uintptr_t)room + size && stop + 16 > (uintptr_t)room + size);
    CHECK(greenlet_saved(there) == 0 && greenlet_saved(here) > 0);
    CHECK(!greenlet_would_move(thread, there, &mine));
    CHECK(greenlet_stretch(here, &start, &stop) == GREENLET_OK);
    CHECK(greenlet_would_move(thread, here, (void *)(stop - 1)) && !greenlet_would_move(thread, here, (void *)stop));
    CHECK(must_go(there, NULL) == number(2) && must_go(here, NULL) == number(2));
    CHECK(greenlet_stack_free(stack) == GREENLET_IN_USE);
    CHECK(greenlet_free(there) == GREENLET_OK);
    for (int i = 0; i < MANY; i++)
        made[i] = made[i] == there ? NULL : made[i];
    CHECK(greenlet_stack_free(stack) == GREENLET_OK);
    tool_no_stacks();
    free(room);
}

/* ---- freed while suspended: every block comes back (end_test counts) ---- */

static void freed_while_suspended(void)
{
    for (int i = 0; i < 10; i++)
        must_go(make(NULL, sleeper, NULL), number(1));
    for (int i = 0; i < 5; i++) {
        CHECK(greenlet_free(made[2 * i]) == GREENLET_OK);
        made[2 * i] = NULL;
    }
    for (int i = 0; i < 5; i++)
        CHECK(must_go(made[2 * i + 1], NULL) == number(2));
}

/* ---- control words: those of C code stay with whoever has set them, also where it begins another one ---- */

#if defined(FE_UPWARD) && defined(FE_DOWNWARD) && !defined(__SOFTFP__)
static greenlet *rounder(greenlet_thread *its, void *context, void **value)
{
    (void)context, (void)value;
    CHECK(fesetround(FE_UPWARD) == 0);
    must_go(greenlet_main(its), NULL);
    CHECK(fegetround() == FE_UPWARD);
    return NULL;
}

static void rounding_modes(void)
{
    greenlet *one = make(NULL, rounder, NULL);

    CHECK(fesetround(FE_DOWNWARD) == 0);
    must_go(one, NULL);
    CHECK(fegetround() == FE_DOWNWARD);
    CHECK(fesetround(FE_TONEAREST) == 0);
    must_go(one, NULL);
    CHECK(fegetround() == FE_TONEAREST);
}
#else
static void rounding_modes(void) {}
#endif

/* ---- many, at random, on three stacks ---- */

static unsigned long steps;
static uint32_t seed = 4711;

static uint32_t below(uint32_t limit)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % limit;
}

static void wander(int depth, uintptr_t mark)
{
    volatile uintptr_t mine[20];

    for (int i = 0; i < 20; i++)
        mine[i] = mark + (uintptr_t)i;
    if (depth > 0)
        wander(depth - 1, mark + 100);
    if (steps > 0) {
        uint32_t i = below(MANY + 1);
        greenlet *next = i == MANY ? greenlet_main(thread) : made[i];
        steps--;
        refuse_after = below(10) ? -1 : (long)below(3);
        int status = go(next, NULL, NULL);
        CHECK(status == GREENLET_OK || status == GREENLET_NO_MEMORY);
        refuse_after = -1;
    }
    for (int i = 0; i < 20; i++)
        CHECK(mine[i] == mark + (uintptr_t)i);
}

static greenlet *wanderer(greenlet_thread *its, void *context, void **value)
{
    (void)its, (void)value;
    refuse_after = -1;
    while (steps > 0)
        wander((int)below(12), (uintptr_t)context);
    return NULL;
}

static void random_switches(unsigned long how_many)
{
    enum { SIZE = 64 << 10 };
    static alignas(16) char room[2][SIZE];
    greenlet_stack *stack[3] = {NULL};

    for (int i = 0; i < 2; i++) {
        tool_stack(room[i], SIZE);
        CHECK(greenlet_stack_new(thread, room[i], SIZE, &stack[i]) == GREENLET_OK);
    }
    for (uintptr_t i = 0; i < MANY; i++)
        make(stack[i % 3], wanderer, (void *)(i * 1000000));
    steps = how_many;
    while (steps > 0)
        wander((int)below(12), 5);
    for (int i = 0; i < MANY; i++)
        while (greenlet_state(made[i]) != GREENLET_IS_FINISHED)
            must_go(made[i], NULL);
    for (int i = 0; i < MANY; i++) {
        CHECK(greenlet_free(made[i]) == GREENLET_OK);
        made[i] = NULL;
    }
    for (int i = 0; i < 2; i++)
        CHECK(greenlet_stack_free(stack[i]) == GREENLET_OK);
    tool_no_stacks();
}

int main(int count, char **arguments)
{
    static void (*const tests[])(void) = {
        bytes_are_found, the_hook_swaps_the_hosts_state, stacks, freed_while_suspended, rounding_modes,
    };
    int brief = count > 1 && strcmp(arguments[1], "short") == 0;

    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        begin_test();
        tests[i]();
        end_test();
    }
    begin_test();
    random_switches(brief ? 2000 : 50000);
    end_test();
    printf("libgreenlet, frames: %lu switches, all right\n", switches);
    return 0;
}
