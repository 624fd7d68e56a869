/* The smallest engine on arch/greenlet_switch.h; slices.h says what it does.

   The list from `current` on, by `above`, is the flows that have bytes on the stack, lowest first:

       high   main     ▓▓▓▓  main.stop: the highest address that there is
                       ░░░░  ◄─ a part of main that was saved, since B is running where it was
       low    B        ▓▓▓▓  ◄─ B.stop;  current = B, B.above = main, main.above = NULL

   Whoever is about to run may overwrite all that lies below its stop. So what is there and belongs to others is saved
   first: from the lowest up, each byte once.                                                                               */

#include "slices.h"
#include "greenlet_switch.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Where the part of `flow` ends that lies below `address`. */
static char *end_below(const struct flow *flow, char *address)
{
    return (uintptr_t)flow->stop < (uintptr_t)address ? flow->stop : address;
}

/* The next one up from `flow` that has bytes in the way of `target`, or NULL. */
static struct flow *next_in_the_way(struct flow *flow, const struct flow *target)
{
    return (uintptr_t)flow->stop > (uintptr_t)target->stop ? NULL : flow->above;
}

/* Step 2 of the switch: on the stack of the flow that is left. */
static void *save(void *ctx, void *sp)
{
    struct flows *flows = ctx;
    struct flow *current = flows->current, *target = flows->target;
    struct flow *lowest = flows->ending ? current->above : current, *flow;

    current->start = sp;
    if (target->body)                       /* begins right below, or in place of the one that ends */
        target->start = target->stop = flows->ending ? current->stop : sp;

    /* Room for every byte first, so that "no memory" leaves everything as it was. */
    for (flow = lowest; flow && flow != target; flow = next_in_the_way(flow, target)) {
        size_t need = (size_t)(end_below(flow, target->stop) - flow->start);
        if ((intptr_t)need > 0 && need > flow->room) {
            char *block = flows->resize(flow->copy, need);
            if (!block)
                return NULL;
            flow->copy = block;
            flow->room = need;
        }
    }
    for (flow = lowest; flow && flow != target; flow = flow->above) {
        char *end = end_below(flow, target->stop), *from = flow->start + flow->saved;
        if ((uintptr_t)from < (uintptr_t)end) {
            memcpy(flow->copy + flow->saved, from, (size_t)(end - from));
            flow->saved = (size_t)(end - flow->start);
        }
        if ((uintptr_t)flow->stop > (uintptr_t)target->stop)
            break;                          /* the rest of it stays */
    }
    if (flow != target)
        target->above = flow;
    if (flows->ending)
        current->active = 0;
    flows->current = target;
    return target->start;
}

/* Step 4: below the target's bytes. */
static void *restore(void *ctx, void *sp)
{
    struct flows *flows = ctx;
    struct flow *self = flows->current;

    flows->ending = 0;
    if (self->body) {
        flow_body body = self->body;
        self->body = NULL;
        self->active = 1;
        body(flows, flows->word);
        abort();                            /* bodies do not return */
    }
    memcpy(sp, self->copy, self->saved);
    self->saved = 0;
    return flows;
}

void flows_init(struct flows *flows, void *(*resize)(void *block, size_t size))
{
    memset(flows, 0, sizeof *flows);
    flows->main.stop = (char *)(UINTPTR_MAX - (GREENLET_STACK_ALIGN - 1));
    flows->main.active = 1;
    flows->current = &flows->main;
    flows->resize = resize;
}

void *flow_switch(struct flows *flows, struct flow *flow, void *word)
{
    flows->target = flow;
    flows->word = word;
    return greenlet_switch(save, restore, flows) ? flows->word : NULL;
}

void *flow_begin(struct flows *flows, struct flow *flow, flow_body body, void *word)
{
    flow->body = body;
    word = flow_switch(flows, flow, word);
    if (!word)
        flow->body = NULL;
    return word;
}

void flow_end(struct flows *flows, struct flow *flow, void *word)
{
    flows->ending = 1;
    flow_switch(flows, flow, word);
    flows->ending = 0;
}

void flow_drop(struct flows *flows, struct flow *flow)
{
    struct flow **link = &flows->current;

    while (*link && *link != flow)
        link = &(*link)->above;
    if (*link)
        *link = flow->above;
    flow->active = 0;
    flow->saved = 0;
}
