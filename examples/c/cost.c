/* What slices cost beside a stack each, on the same library: the numbers of docs/vendoring.md.

     cc -O2 examples/c/cost.c $(pkg-config --cflags --libs libgreenlet) -o cost && ./cost

   Processor time, the best of several rounds. The greenlets that have a stack each copy nothing, as no two are ever on one stack.  */

#define _GNU_SOURCE
#include "check.h"

#include <libgreenlet.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 7, SWITCHES = 20000, STACK = 256 << 10, CREATE = 5000, SUSPEND = 10000 };

static greenlet_thread *thread;

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void to_main(void)
{
    CHECK(greenlet_switch_to(thread, greenlet_main(thread), NULL, NULL) == GREENLET_OK);
}

static greenlet *for_ever(greenlet_thread *its, void *context, void **value)
{
    /* As deep as `context` says. */
    volatile char frame[(size_t)context + 1];

    (void)its, (void)value;
    frame[0] = 1;
    (void)frame[0];
    for (;;)
        to_main();
    return NULL;
}

static greenlet *nothing(greenlet_thread *its, void *context, void **value)
{
    (void)its, (void)context, (void)value;
    return NULL;
}

struct place {
    void *memory;
    greenlet_stack *stack;
};

static struct place place(int own)
{
    struct place made = {NULL, NULL};

    if (own) {
        /* With a page below that cannot be written, as any stack of a program's needs. */
        made.memory = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(made.memory != MAP_FAILED && mprotect(made.memory, 4096, PROT_NONE) == 0);
        CHECK(greenlet_stack_new(thread, made.memory, STACK, &made.stack) == GREENLET_OK);
    }
    return made;
}

static void unplace(struct place made)
{
    if (made.stack) {
        CHECK(greenlet_stack_free(made.stack) == GREENLET_OK);
        munmap(made.memory, STACK);
    }
}

static double switches(int own, size_t depth, size_t *slice)
{
    struct place places[2] = {place(own), place(own)};
    greenlet *two[2];
    double least = 1e30;

    for (int i = 0; i < 2; i++) {
        CHECK(greenlet_new(thread, places[i].stack, for_ever, (void *)depth, &two[i]) == GREENLET_OK);
        CHECK(greenlet_switch_to(thread, two[i], NULL, NULL) == GREENLET_OK);
    }
    uintptr_t start, stop;
    CHECK(greenlet_stretch(two[0], &start, &stop) == GREENLET_OK);
    *slice = stop - start;
    for (int round = 0; round < ROUNDS; round++) {
        double begin = now();
        for (int i = 0; i < SWITCHES; i++)
            greenlet_switch_to(thread, two[i & 1], NULL, NULL);
        double took = (now() - begin) / SWITCHES;
        least = took < least ? took : least;
    }
    for (int i = 0; i < 2; i++) {
        CHECK(greenlet_free(two[i]) == GREENLET_OK);
        unplace(places[i]);
    }
    return least;
}

static double creations(int own)
{
    double least = 1e30;

    for (int round = 0; round < ROUNDS; round++) {
        double begin = now();
        for (int i = 0; i < CREATE; i++) {
            struct place at = place(own);
            greenlet *one;
            greenlet_new(thread, at.stack, nothing, NULL, &one);
            CHECK(greenlet_switch_to(thread, one, NULL, NULL) == GREENLET_OK);
            greenlet_free(one);
            unplace(at);
        }
        double took = (now() - begin) / CREATE;
        least = took < least ? took : least;
    }
    return least;
}

static double resident(void)
{
    long total, pages;
    FILE *file = fopen("/proc/self/statm", "r");

    CHECK(file && fscanf(file, "%ld %ld", &total, &pages) == 2);
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double bytes(int own)
{
    static greenlet *all[SUSPEND];
    static struct place places[SUSPEND];
    double before = resident();

    for (int i = 0; i < SUSPEND; i++) {
        places[i] = place(own);
        CHECK(greenlet_new(thread, places[i].stack, for_ever, (void *)100, &all[i]) == GREENLET_OK);
        CHECK(greenlet_switch_to(thread, all[i], NULL, NULL) == GREENLET_OK);
    }
    double each = (resident() - before) / SUSPEND;
    for (int i = 0; i < SUSPEND; i++) {
        CHECK(greenlet_free(all[i]) == GREENLET_OK);
        unplace(places[i]);
    }
    return each;
}

int main(void)
{
    static const size_t depths[] = {1, 800, 3900, 16 << 10, 64 << 10};

    CHECK(greenlet_thread_new(NULL, &thread) == GREENLET_OK);
    printf("%-44s %10s %14s\n", "", "slices", "a stack each");
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
        size_t slice, unused;
        double shared = switches(0, depths[i], &slice), own = switches(1, depths[i], &unused);
        printf("there and back, %6zu bytes of frames, ns     %10.0f %14.0f\n", slice, shared, own);
    }
    printf("create, run, finish, ns                      %10.0f %14.0f\n", creations(0), creations(1));
    printf("a suspended one with 100 bytes, bytes        %10.0f %14.0f\n", bytes(0), bytes(1));
    CHECK(greenlet_thread_free(thread) == GREENLET_OK);
    return 0;
}
