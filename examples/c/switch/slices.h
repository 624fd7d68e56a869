/* The smallest engine on arch/greenlet_switch.h: flows of control that share the native stack, copied by slices.c.

   For whoever vendors the switch alone, to read and to take. It must never know what runs in a flow.                       */

#ifndef SLICES_H
#define SLICES_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct flows;

/* What a flow runs. It ends by flow_end, never by returning. `word` is what it was begun with. */
typedef void (*flow_body)(struct flows *flows, void *word);

/* One flow of control. Zero it before its first use; it stays where it is until it has ended or was dropped.

       stop          ─┐
                      │  still on the stack
       start + saved ─┤
                      │  saved: in `copy`, in the same order
       start         ─┘                                                                              */
struct flow {
    char *start, *stop;
    char *copy;
    size_t saved, room;
    struct flow *above;   /* the next one up that has bytes on the stack */
    flow_body body;       /* not NULL: has not begun */
    int active;           /* has begun and not ended */
};

/* All flows of one thread. Must not lie on the stack, unless above all flows but `main`. */
struct flows {
    struct flow main, *current, *target;
    void *word;
    int ending;           /* the current one will not run again */
    void *(*resize)(void *block, size_t size); /* as realloc, and is not asked for 0; NULL: no memory */
};

/* The calling flow becomes `main`. `resize` is realloc, or what the host has in its place. */
void flows_init(struct flows *flows, void *(*resize)(void *block, size_t size));

/* Begins `flow` right below the one that calls this. Returns when somebody switches back, with the word from there.
   NULL in both calls if there was no memory to save what is in the way; then nothing has changed. So words are not NULL. */
void *flow_begin(struct flows *flows, struct flow *flow, flow_body body, void *word);

/* Suspends the running flow and continues another one, which is active and not the running one. */
void *flow_switch(struct flows *flows, struct flow *flow, void *word);

/* Ends the running flow and continues another one. Returns only if there was no memory. */
void flow_end(struct flows *flows, struct flow *flow, void *word);

/* Forgets a suspended flow: it never runs again, and what its frames own is leaked. Then free its `copy`. */
void flow_drop(struct flows *flows, struct flow *flow);

#ifdef __cplusplus
}
#endif

#endif
