/* stackman's interface, on arch/greenlet_switch.h: what its users call, in our words. stackman.c is the page that does it. */

#ifndef STACKMAN_H
#define STACKMAN_H

typedef enum stackman_op_t {
    STACKMAN_OP_SAVE = 0,    /* `stack_pointer` is the one that is left; the answer is the one to go on with */
    STACKMAN_OP_RESTORE = 1, /* `stack_pointer` is the new one; the answer is stackman_switch's */
    STACKMAN_OP_CALL = 2     /* stackman_call is calling; `stack_pointer` is the one that it was called with */
} stackman_op_t;

typedef void *(*stackman_cb_t)(void *context, int opcode, void *stack_pointer);

/* Saves registers, asks the callback for the stack pointer to go on with, asks it again there, and loads registers. */
void *stackman_switch(stackman_cb_t callback, void *context);

/* Calls the callback with its stack at `stack` (NULL: where it is), and answers what it does. */
void *stackman_call(stackman_cb_t callback, void *context, void *stack);

#endif
