/* What libgreenlet.h promises of calls: values, states, errors, threads, ends, memory that is refused. One function per promise.

     cc -Iexamples/c capi/tests/api.c $(pkg-config --cflags --libs libgreenlet) -pthread -o api && ./api

   Run as it is, under valgrind and with the sanitizers.                                                                     */

#include "host.h"

#include <pthread.h>

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

int main(void)
{
    static void (*const tests[])(void) = {
        values_go_both_ways, errors, threads_do_not_meet, stray_ends, refused_for_memory, an_end_without_memory,
    };

    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        begin_test();
        tests[i]();
        end_test();
    }
    printf("libgreenlet, calls: %lu switches, all right\n", switches);
    return 0;
}
