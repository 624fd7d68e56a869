/* The switch alone, from C: flows that copy their own slices by the contract of arch/greenlet_switch.h.

     cc -O2 -Iarch examples/c/switch/switch_test.c examples/c/switch/slices.c arch/any.S -lm -o switch_test && ./switch_test

   Each test is a function below; the last line says how many switches were made.                                          */

#include "../check.h"
#include "slices.h"

#include <fenv.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#define FLOWS 40
#define STEPS 20000

/* Main begins everything, and `flows` may be read in any flow: none of it lies on the stack. */
static struct flows flows;
static struct flow flow[FLOWS];
static unsigned long switches;
static int starving;

static void *limited(void *block, size_t size)
{
    return starving ? NULL : realloc(block, size);
}

static uint32_t random_below(uint32_t limit)
{
    static uint32_t state = 12345;

    state = state * 1664525 + 1013904223;
    return (state >> 8) % limit;
}

static void *go(struct flow *to, void *word)
{
    switches++;
    return to->active ? flow_switch(&flows, to, word) : NULL;
}

static void forget_all(void)
{
    for (int i = 0; i < FLOWS; i++) {
        flow_drop(&flows, &flow[i]);
        free(flow[i].copy);
    }
    memset(flow, 0, sizeof flow);
}

/* Whoever runs picks the next one at random, from a random depth, with values in memory and in registers. */
static unsigned long steps_left;

static struct flow *pick(void)
{
    struct flow *other;

    do {
        uint32_t i = random_below(FLOWS + 1);
        other = i == FLOWS ? &flows.main : &flow[i];
    } while (other == flows.current || !other->active);
    return other;
}

static double wander(unsigned depth, uintptr_t seed)
{
    volatile uintptr_t pattern[16];
    uintptr_t a = seed * 3, b = seed ^ 0x5a5a, c = seed + 77, d = ~seed, e = seed << 3, f = seed * seed;
    double x = (double)(seed & 0xffff), y = x * 1.5, z = x + 0.25, u = x - 3, v = x * x, w = x / 8;

    for (int i = 0; i < 16; i++)
        pattern[i] = seed + (uintptr_t)i;
    if (depth > 0)
        w += wander(depth - 1, seed + 1000) * 0;
    if (steps_left > 0) {
        steps_left--;
        CHECK(go(pick(), &flows));
    }
    for (int i = 0; i < 16; i++)
        CHECK(pattern[i] == seed + (uintptr_t)i);
    CHECK(a == seed * 3 && b == (seed ^ 0x5a5a) && c == seed + 77 && d == ~seed && e == seed << 3 && f == seed * seed);
    x = (double)(seed & 0xffff);
    CHECK(y == x * 1.5 && z == x + 0.25 && u == x - 3 && v == x * x && w == x / 8);
    return w;
}

static void wanderer(struct flows *all, void *word)
{
    uintptr_t seed = (uintptr_t)word;

    CHECK(all == &flows);
    go(&flows.main, word);                  /* main begins the next one */
    while (steps_left > 0)
        wander(random_below(30), seed++);
    flow_end(&flows, &flows.main, &flows);
    CHECK(!"a finished flow runs");
}

static void random_switches(void)
{
    int unfinished;

    steps_left = STEPS;
    for (int i = 0; i < FLOWS; i++) {
        void *word = (void *)(uintptr_t)(i + 1);
        CHECK(flow_begin(&flows, &flow[i], wanderer, word) == word);
    }
    while (steps_left > 0)
        wander(random_below(30), 7);
    do {
        unfinished = 0;
        for (int i = 0; i < FLOWS; i++)
            if (flow[i].active) {
                unfinished++;
                go(&flow[i], &flows);
            }
    } while (unfinished);
    forget_all();
}

/* Each begins the next one from inside itself; the deepest goes to main, and main takes them in any order. */
static void nester(struct flows *all, void *word)
{
    uintptr_t level = (uintptr_t)word;
    volatile uintptr_t mine = level * 11;

    (void)all;
    if (level < FLOWS)
        CHECK(flow_begin(&flows, &flow[level], nester, (void *)(level + 1)));
    CHECK(go(&flows.main, word));
    CHECK(mine == level * 11);
    flow_end(&flows, &flows.main, (void *)mine);
}

static void nested_begins(void)
{
    CHECK(flow_begin(&flows, &flow[0], nester, (void *)1) == (void *)FLOWS);
    for (int i = 0; i < FLOWS - 1; i++)     /* those that wait for the one that they began */
        CHECK(go(&flow[i], &flows) == (void *)(uintptr_t)(i + 1));
    for (int i = 0; i < FLOWS; i++) {
        int j = (i * 7) % FLOWS;
        CHECK(go(&flow[j], &flows) == (void *)(uintptr_t)((j + 1) * 11));
        CHECK(!flow[j].active);
    }
    forget_all();
}

/* The rounding mode belongs to the flow that has set it. Not so on a soft-float ABI, which knows of no such register. */
#if defined(FE_UPWARD) && !defined(__SOFTFP__)
#define KEEPS_ROUNDING 1
#endif

static void rounder(struct flows *all, void *word)
{
    (void)all;
#ifdef KEEPS_ROUNDING
    CHECK(fesetround(FE_UPWARD) == 0);
    go(&flows.main, word);
    CHECK(fegetround() == FE_UPWARD);
#endif
    flow_end(&flows, &flows.main, word);
}

static void rounding_modes(void)
{
    CHECK(flow_begin(&flows, &flow[0], rounder, &flows));
#ifdef KEEPS_ROUNDING
    int mode = FE_TONEAREST;
    CHECK(fegetround() == mode);
    go(&flow[0], &flows);
    CHECK(fegetround() == mode);
#endif
    forget_all();
}

/* longjmp within a flow, to a frame that has been copied away and back since setjmp. */
static void jumper(struct flows *all, void *word)
{
    static int rounds;
    jmp_buf here;

    (void)all;
    rounds = 0;
    if (setjmp(here) < 5) {
        rounds++;
        CHECK(go(&flows.main, word));
        longjmp(here, rounds);
    }
    CHECK(rounds == 5);
    flow_end(&flows, &flows.main, &rounds);
}

static void long_jumps(void)
{
    for (int i = 0; i < 3; i++)
        CHECK(flow_begin(&flows, &flow[i], i == 1 ? jumper : nester, (void *)(uintptr_t)FLOWS));
    for (int round = 0; flow[1].active; round++) {
        CHECK(round < 6);
        wander(20, 1);                      /* main overwrites what lies there */
        CHECK(go(&flow[1], &flows));
    }
    forget_all();
}

/* No memory: the switch is refused, and all is as it was. */
static unsigned refused(unsigned depth)
{
    volatile unsigned mine[8] = {depth, depth + 1};
    unsigned below = depth > 0 ? refused(depth - 1) : 0;

    if (depth == 0) {
        starving = 1;
        CHECK(!flow_switch(&flows, &flow[0], &flows));
        CHECK(flows.current == &flows.main && flow[0].active);
        starving = 0;
        CHECK(flow_switch(&flows, &flow[0], &flows));
        CHECK(!flow[0].active);
    }
    CHECK(mine[0] == depth && mine[1] == depth + 1);
    return below + mine[0];
}

static void no_memory(void)
{
    CHECK(flow_begin(&flows, &flow[0], nester, (void *)FLOWS));
    free(flows.main.copy);                  /* from earlier tests; nothing of main is saved */
    flows.main.copy = NULL;
    flows.main.room = 0;
    CHECK(refused(20) == 210);
    forget_all();
}

int main(void)
{
    flows_init(&flows, limited);
    random_switches();
    CHECK(switches > STEPS);
    nested_begins();
    rounding_modes();
    long_jumps();
    no_memory();
    free(flows.main.copy);
    printf("switch alone, C: %lu switches, all right\n", switches);
    return 0;
}
