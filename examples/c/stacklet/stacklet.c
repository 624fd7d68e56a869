/* PyPy's stacklet interface, on libgreenlet. A handle is the greenlet itself, which a switch uses up and the next suspension gives out
   again. The value of a switch is the handle of whoever makes it. A finished one passes itself as well, marked, so that
   the one that arrives frees it: nobody can free what he stands on.                                                         */

#include "stacklet.h"

#include <libgreenlet.h>
#include <stdint.h>
#include <stdlib.h>

#define FINISHED ((uintptr_t)1)

struct start {
    stacklet_run_fn run;
    void *argument;
    stacklet_handle source;
};

static stacklet_handle arrived(int status, void *value)
{
    uintptr_t source = (uintptr_t)value;

    /* GREENLET_STRAY arrives, too: the one that was to go on was not to be had, and it is ours to go on. */
    if (status != GREENLET_OK && status != GREENLET_STRAY)
        return NULL;
    if (source & FINISHED) {
        greenlet_free((greenlet *)(source & ~FINISHED));
        return EMPTY_STACKLET_HANDLE;
    }
    return value;
}

static greenlet *body(greenlet_thread *thread, void *context, void **value)
{
    /* On the stack of the one that made this, and in place: whoever begins right below somebody moves nothing. */
    const struct start *start = *value;
    stacklet_handle next = start->run(start->source, start->argument);

    (void)context;
    *value = (void *)((uintptr_t)greenlet_current(thread) | FINISHED);
    return next;
}

stacklet_thread_handle stacklet_newthread(void)
{
    greenlet_thread *thread;

    return greenlet_thread_new(NULL, &thread) == GREENLET_OK ? thread : NULL;
}

void stacklet_deletethread(stacklet_thread_handle thread)
{
    if (greenlet_thread_free(thread) != GREENLET_OK)
        abort();
}

stacklet_handle stacklet_new(stacklet_thread_handle thread, stacklet_run_fn run, void *argument)
{
    struct start start = {run, argument, greenlet_current(thread)};
    greenlet *made;
    void *value = NULL;
    int status;

    if (greenlet_new(thread, NULL, body, NULL, &made) != GREENLET_OK)
        return NULL;
    status = greenlet_switch_to(thread, made, &start, &value);
    if (status == GREENLET_NO_MEMORY)
        greenlet_free(made);
    return arrived(status, value);
}

stacklet_handle stacklet_switch(stacklet_handle target)
{
    greenlet_thread *thread = greenlet_thread_of(target);
    void *value = NULL;
    int status = greenlet_switch_to(thread, target, greenlet_current(thread), &value);

    return arrived(status, value);
}

void stacklet_destroy(stacklet_handle target)
{
    if (greenlet_free(target) != GREENLET_OK)
        abort();
}

char **_stacklet_translate_pointer(stacklet_handle context, char **pointer)
{
    char **place = context ? greenlet_locate(context, pointer, NULL) : NULL;

    return place ? place : pointer;
}
