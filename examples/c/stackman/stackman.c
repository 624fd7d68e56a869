/* stackman's interface, on arch/greenlet_switch.h. The two callbacks of greenlet_switch are its one callback with two opcodes. A call
   on another stack is a switch to a flow that begins there, and switches back when it is done.

   As there, both sides of a switch use the callback and the context of the one that leaves.                                   */

#include "stackman.h"
#include "greenlet_switch.h"

#include <stdint.h>
#include <stdlib.h>

/* Not on the stack that is left: it may be overwritten once SAVE has answered. One for each thread. */
static _Thread_local struct request {
    stackman_cb_t callback;
    void *stack, *old, *result;
} request;

static void *save(void *ctx, void *sp)
{
    return request.callback(ctx, STACKMAN_OP_SAVE, sp);
}

static void *restore(void *ctx, void *sp)
{
    return request.callback(ctx, STACKMAN_OP_RESTORE, sp);
}

void *stackman_switch(stackman_cb_t callback, void *context)
{
    request.callback = callback;
    return greenlet_switch(save, restore, context);
}

static void *leave(void *ctx, void *sp)
{
    (void)ctx;
    request.old = sp;
    return request.stack;
}

static void *give_back(void *ctx, void *sp)
{
    (void)sp;
    return ctx;
}

static void *go_back(void *ctx, void *sp)
{
    (void)ctx, (void)sp;
    return request.old;
}

/* Runs on the new stack, and never returns. Others may use `request` while the callback runs. */
static void *call(void *ctx, void *sp)
{
    void *old = request.old, *result;

    (void)sp;
    result = request.callback(ctx, STACKMAN_OP_CALL, old);
    request.old = old;
    request.result = result;
    greenlet_switch(go_back, give_back, &request);
    abort();
}

void *stackman_call(stackman_cb_t callback, void *context, void *stack)
{
    if (!stack)
        return callback(context, STACKMAN_OP_CALL, &stack);
    request.callback = callback;
    request.stack = (void *)((uintptr_t)stack & ~(uintptr_t)(GREENLET_STACK_ALIGN - 1));
    greenlet_switch(leave, call, context);
    return request.result;
}
