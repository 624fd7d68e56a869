/* What libgreenlet.h promises, one function per promise.

     cc -Iexamples/c capi/tests/api.c $(pkg-config --cflags --libs libgreenlet) -lm -pthread -o api && ./api

   Run as it is, under valgrind and with AddressSanitizer; the last argument "short" leaves out the many random switches.     */

#include "check.h"
#include "tools.h"

#include <fenv.h>
#include <libgreenlet.h>
#include <pthread.h>
#include <stdalign.h>
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

/* ---- values, states, the end ---- */

static greenlet *adder(greenlet_thread *its, void *context, void **value)
{
    uintptr_t sum = 0;

    CHECK(its == thread && context == &switches);
    CHECK(greenlet_state(greenlet_current(its)) == GREENLET_IS_RUNNING);
    while (*value) {
        sum += (uintptr_t)*value;
        *value = must_go(greenlet_main(its), number(sum));
    }
    *value = number(sum * 100);
    return NULL;
}

static void values_go_both_ways(void)
{
    greenlet *one = make(NULL, adder, &switches);

    CHECK(greenlet_state(one) == GREENLET_IS_NEW && !greenlet_is_started(one));
    CHECK(greenlet_context(one) == &switches && greenlet_thread_of(one) == thread);
    CHECK(must_go(one, number(3)) == number(3));
    CHECK(greenlet_state(one) == GREENLET_IS_SUSPENDED && greenlet_is_started(one));
    CHECK(must_go(one, number(4)) == number(7));
    CHECK(go(one, number(1), NULL) == GREENLET_OK);
    CHECK(greenlet_current(thread) == greenlet_main(thread));
    CHECK(must_go(greenlet_main(thread), number(9)) == number(9));
    CHECK(must_go(one, NULL) == number(800));
    CHECK(greenlet_state(one) == GREENLET_IS_FINISHED && greenlet_is_started(one));
    CHECK(go(one, NULL, NULL) == GREENLET_NOT_ACTIVE);
}

/* ---- errors: each is answered, and changes nothing ---- */

static greenlet *misuse(greenlet_thread *its, void *context, void **value)
{
    greenlet *me = greenlet_current(its);

    (void)context;
    CHECK(greenlet_free(me) == GREENLET_RUNNING);
    CHECK(greenlet_finish(its, me, NULL) == GREENLET_RUNNING);
    CHECK(greenlet_finish(its, NULL, NULL) == GREENLET_INVALID);
    CHECK(greenlet_thread_free(its) == GREENLET_IN_USE);
    CHECK(greenlet_finish(its, *value, NULL) == GREENLET_NOT_ACTIVE);
    CHECK(greenlet_finish(its, greenlet_main(its), number(5)) && !"a finished greenlet runs");
    return NULL;
}

static void errors(void)
{
    greenlet *dead = make(NULL, adder, &switches), *one = make(NULL, misuse, NULL), *main_one = greenlet_main(thread);
    greenlet *nothing = NULL;
    greenlet_stack *stack = NULL;
    static char room[2048];
    const greenlet_memory none = {NULL, NULL};
    uintptr_t low, high;

    CHECK(must_go(dead, NULL) == NULL);
    CHECK(must_go(one, dead) == number(5));
    CHECK(greenlet_state(one) == GREENLET_IS_FINISHED);

    CHECK(greenlet_thread_new(NULL, NULL) == GREENLET_INVALID);
    CHECK(greenlet_thread_new(&none, &thread) == GREENLET_INVALID);
    CHECK(greenlet_thread_free(NULL) == GREENLET_INVALID);
    CHECK(greenlet_thread_free(thread) == GREENLET_IN_USE);
    CHECK(greenlet_new(NULL, NULL, adder, NULL, &nothing) == GREENLET_INVALID);
    CHECK(greenlet_new(thread, NULL, NULL, NULL, &nothing) == GREENLET_INVALID);
    CHECK(greenlet_new(thread, NULL, adder, NULL, NULL) == GREENLET_INVALID);
    CHECK(greenlet_stack_new(thread, NULL, sizeof room, &stack) == GREENLET_INVALID);
    CHECK(greenlet_stack_new(thread, room, 10, &stack) == GREENLET_INVALID);
    CHECK(!nothing && !stack);
    CHECK(greenlet_switch_to(thread, NULL, NULL, NULL) == GREENLET_INVALID);
    CHECK(greenlet_switch_to(NULL, dead, NULL, NULL) == GREENLET_INVALID);
    CHECK(greenlet_finish(thread, main_one, NULL) == GREENLET_IN_USE);
    CHECK(greenlet_finish(thread, dead, NULL) == GREENLET_IN_USE);
    CHECK(greenlet_free(main_one) == GREENLET_IN_USE);
    CHECK(greenlet_free(NULL) == GREENLET_OK && greenlet_stack_free(NULL) == GREENLET_OK);
    CHECK(greenlet_stretch(dead, &low, &high) == GREENLET_NOT_ACTIVE);
    CHECK(greenlet_stretch(main_one, &low, &high) == GREENLET_RUNNING);
    CHECK(!greenlet_locate(main_one, &low, NULL) && !greenlet_locate(dead, &low, NULL));
    CHECK(strcmp(greenlet_message(GREENLET_OK), greenlet_message(GREENLET_STRAY)) && greenlet_message(-5) && greenlet_message(99));
}

/* ---- threads ---- */

static greenlet_thread *foreign;
static greenlet *foreign_greenlet;

static void *other_thread(void *argument)
{
    greenlet *suspended = argument, *result;
    greenlet_stack *stack;
    static char room[2048];

    CHECK(greenlet_switch_to(thread, suspended, NULL, NULL) == GREENLET_WRONG_THREAD);
    CHECK(greenlet_finish(thread, suspended, NULL) == GREENLET_WRONG_THREAD);
    CHECK(greenlet_new(thread, NULL, adder, NULL, &result) == GREENLET_WRONG_THREAD);
    CHECK(greenlet_stack_new(thread, room, sizeof room, &stack) == GREENLET_WRONG_THREAD);
    CHECK(greenlet_free(suspended) == GREENLET_WRONG_THREAD);
    CHECK(greenlet_set_hook(thread, NULL, NULL) == GREENLET_WRONG_THREAD);
    CHECK(greenlet_thread_free(thread) == GREENLET_WRONG_THREAD);
    CHECK(greenlet_state(suspended) == GREENLET_IS_SUSPENDED);

    CHECK(greenlet_thread_new(NULL, &foreign) == GREENLET_OK);
    CHECK(greenlet_switch_to(foreign, suspended, NULL, NULL) == GREENLET_WRONG_THREAD);
    CHECK(greenlet_stack_new(foreign, room, sizeof room, &stack) == GREENLET_OK);
    CHECK(greenlet_new(foreign, stack, adder, NULL, &foreign_greenlet) == GREENLET_OK);
    CHECK(greenlet_stack_free(stack) == GREENLET_IN_USE);
    return stack;
}

/* Ends into a greenlet of another thread, which cannot be. */
static greenlet *strayer(greenlet_thread *its, void *context, void **value)
{
    (void)its;
    *value = number(77);
    return context;
}

static void threads_do_not_meet(void)
{
    greenlet *one = make(NULL, adder, &switches), *nothing = NULL;
    pthread_t id;
    void *stack, *result;

    CHECK(must_go(one, number(1)) == number(1));
    CHECK(pthread_create(&id, NULL, other_thread, one) == 0 && pthread_join(id, &stack) == 0);
    CHECK(greenlet_switch_to(thread, foreign_greenlet, NULL, NULL) == GREENLET_WRONG_THREAD);
    CHECK(greenlet_new(thread, stack, adder, NULL, &nothing) == GREENLET_WRONG_THREAD);
    CHECK(greenlet_free(foreign_greenlet) == GREENLET_WRONG_THREAD);
    CHECK(must_go(one, number(2)) == number(3));
    CHECK(go(make(NULL, strayer, foreign_greenlet), NULL, &result) == GREENLET_STRAY && result == number(77));
}

/* ---- a body's end that cannot be ---- */

static greenlet *to_itself(greenlet_thread *its, void *context, void **value)
{
    (void)context, (void)value;
    return greenlet_current(its);
}

static greenlet *to_new(greenlet_thread *its, void *context, void **value)
{
    (void)its;
    *value = number(33);
    return context;
}

static void stray_ends(void)
{
    greenlet *dead = make(NULL, adder, &switches), *last = make(NULL, to_new, NULL);
    void *result;

    must_go(dead, NULL);
    CHECK(go(make(NULL, strayer, dead), NULL, &result) == GREENLET_STRAY && result == number(77));
    CHECK(go(make(NULL, to_itself, NULL), number(8), &result) == GREENLET_STRAY && result == number(8));
    /* To one that has not begun, which takes its place, and ends into main. */
    CHECK(go(make(NULL, to_new, last), NULL, &result) == GREENLET_OK && result == number(33));
    CHECK(greenlet_state(last) == GREENLET_IS_FINISHED);
}

/* ---- no memory ---- */

static greenlet *sleeper(greenlet_thread *its, void *context, void **value)
{
    volatile char mine[3000];

    memset((char *)mine, (int)(uintptr_t)*value, sizeof mine);
    must_go(context ? context : greenlet_main(its), number(1));
    for (size_t i = 0; i < sizeof mine; i++)
        CHECK(mine[i] == (char)(uintptr_t)*value);
    *value = number(2);
    return NULL;
}

static int from_deeper(int depth, greenlet *target, void **result)
{
    volatile char mine[200];
    int status;

    memset((char *)mine, depth, sizeof mine);
    status = depth ? from_deeper(depth - 1, target, result) : go(target, NULL, result);
    for (size_t i = 0; i < sizeof mine; i++)
        CHECK(mine[i] == (char)depth);
    return status;
}

static void refused_for_memory(void)
{
    greenlet *one = make(NULL, sleeper, NULL);
    void *result = number(99);
    int refusals = 0, status;
    greenlet *two = NULL;

    refuse_after = 0;
    CHECK(greenlet_new(thread, NULL, sleeper, NULL, &two) == GREENLET_NO_MEMORY && !two);
    refuse_after = -1;
    CHECK(must_go(one, number(5)) == number(1));
    /* Main is deeper than where `one` began, so main has to be saved, and cannot be. */
    refuse_after = 0;
    while ((status = from_deeper(30, one, &result)) == GREENLET_NO_MEMORY) {
        CHECK(result == number(99) && greenlet_state(one) == GREENLET_IS_SUSPENDED);
        CHECK(greenlet_current(thread) == greenlet_main(thread));
        if (++refusals == 3)
            refuse_after = -1;
    }
    CHECK(refusals == 3 && status == GREENLET_OK && result == number(2));
}

/* Ends when nothing can be saved: `context` was to be the next one. */
static greenlet *ends_starved(greenlet_thread *its, void *context, void **value)
{
    (void)its;
    refuse_after = 0;
    *value = number(55);
    return context;
}

static greenlet *begins_it(greenlet_thread *its, void *context, void **value)
{
    void *result;

    (void)its, (void)value;
    CHECK(go(context, NULL, &result) == GREENLET_STRAY && result == number(55));
    refuse_after = -1;
    *value = number(66);
    return NULL;
}

static void an_end_without_memory(void)
{
    greenlet *ending = make(NULL, ends_starved, NULL), *above = make(NULL, begins_it, ending);

    /* main would have to save `above`, which has never been saved: so `above` it is that goes on, as a stray. */
    CHECK(must_go(above, NULL) == number(66));
    CHECK(greenlet_state(ending) == GREENLET_IS_FINISHED && greenlet_state(above) == GREENLET_IS_FINISHED);
}

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
        values_go_both_ways, errors, threads_do_not_meet, stray_ends, refused_for_memory, an_end_without_memory,
        bytes_are_found, the_hook_swaps_the_hosts_state, stacks, freed_while_suspended, rounding_modes,
    };
    unsigned long steps_asked = count > 1 && strcmp(arguments[1], "short") == 0 ? 2000 : 50000;

    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        begin_test();
        tests[i]();
        end_test();
    }
    begin_test();
    random_switches(steps_asked);
    end_test();
    printf("libgreenlet: %lu switches, all right\n", switches);
    return 0;
}
