/* tests/registers.rs's `assembly_alone` in C, for the one instruction set on which Rust's std does not run.

     m68k-linux-gnu-gcc -O1 -static arch/m68k.S probe/arch/m68k.S probe/m68k.c -o m68k && qemu-m68k ./m68k

   Four flows and main switch to each other in a random order, from random depths. Whoever is left is saved
   whole and written over. Ends with a line that says how many switches were compared. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FLOWS = 5, STEPS = 20000, LIMIT = 65536 };

struct image { uint32_t word[44]; };
typedef void *callback(void *ctx, void *sp);

extern void *greenlet_switch(callback *save, callback *restore, void *ctx);
extern void *greenlet_probe(struct image *, struct image *, void *(*)(), void *, void *, void *);
extern callback greenlet_probe_save, greenlet_probe_restore;
extern const uint32_t greenlet_probe_features;

static void run(void);

static struct world {
        callback *save, *restore;      /* what the area callbacks forward to */
        uintptr_t damaged;
        int current, target, refuse, step;
        char *stop;
        struct { char *start, *slice; size_t size; int begun; } flow[FLOWS];
} world;
static unsigned long compared, lost;

static uint32_t word(void)
{
        static uint64_t state = 1;
        state = state * 6364136223846793005u + 1442695040888963407u;
        return state >> 32;
}

static void *save(void *ctx, void *sp)
{
        int from = world.current;
        if (world.refuse)
                return NULL;
        if (!world.stop)
                world.stop = sp;
        world.flow[from].start = sp;
        world.flow[from].size = 0;
        if ((char *)sp < world.stop) {
                size_t size = world.stop - (char *)sp;
                memcpy(world.flow[from].slice, sp, size);
                memset(sp, 0xa5, size);
                world.flow[from].size = size;
        }
        world.current = world.target;
        return world.flow[world.target].begun ? world.flow[world.target].start : world.stop;
}

static void *restore(void *ctx, void *sp)
{
        int to = world.target;
        if (!world.flow[to].begun) {
                world.flow[to].begun = 1;
                for (;;)
                        run();
        }
        memcpy(sp, world.flow[to].slice, world.flow[to].size);
        return ctx;
}

/* Bits of the image that may be chosen: not the unused ones of an 80-bit number, nor FPCR's low ones. */
static uint32_t mask(int i)
{
        if (i < 11)
                return ~0u;
        if (i < 29)
                return (i - 11) % 3 ? ~0u : 0xffff0000;
        return i == 29 ? 0xfff0 : 0;
}

static void __attribute__((noinline)) deep(int depth)
{
        volatile int frame[16];
        for (int i = 0; i < 16; i++)
                frame[i] = depth;
        if (depth) {
                deep(depth - 1);
        } else {
                struct image in, out;
                int who = world.current, no = world.refuse;
                for (int i = 0; i < 44; i++)
                        in.word[i] = word() & mask(i);
                void *result = greenlet_probe(&in, &out, (void *(*)())greenlet_switch,
                        greenlet_probe_save, greenlet_probe_restore, &world);
                compared++;
                if (result != (no ? NULL : &world) || world.current != who)
                        lost++, printf("step %d: wrong result or flow\n", world.step);
                for (int i = 0; i < 30; i++)
                        if ((i < 11 || greenlet_probe_features) && (in.word[i] ^ out.word[i]) & mask(i))
                                lost++, printf("step %d: image word %d was %08x, is %08x\n",
                                        world.step, i, in.word[i], out.word[i]);
        }
        for (int i = 0; i < 16; i++)
                if (frame[i] != depth)
                        lost++, printf("step %d: a frame was damaged\n", world.step);
        if (lost)
                exit(1);
}

static void run(void)
{
        int to = ++world.step < STEPS ? word() % FLOWS : 0;
        if (to == world.current)
                return;
        world.target = to;
        world.refuse = world.step < STEPS && word() % 8 == 0;
        deep(word() % 12);
}

int main(void)
{
        world.save = save;
        world.restore = restore;
        for (int i = 0; i < FLOWS; i++)
                world.flow[i].slice = malloc(LIMIT);
        world.flow[0].begun = 1;
        world.target = 1;
        deep(0);
        while (world.step < STEPS)
                run();
        if (world.damaged)
                return puts("the area above a callee's frame was part of a slice"), 1;
        printf("m68k: %lu switches compared, %lu registers lost\n", compared, lost);
        return 0;
}
