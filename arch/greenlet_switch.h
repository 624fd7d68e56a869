/* The one function of every file in this folder, for C and C++: how a host that brings its own engine calls it.

   To vendor: copy this folder, add any.S (or the one file of it that your target needs) to the build, and include this header.
   Nothing else is needed: no configuration, no other file, no library. examples/c/slices.c is an engine on it in a page.

   This header must never know what a slice is: that is the callbacks' business.                                            */

#ifndef GREENLET_SWITCH_H
#define GREENLET_SWITCH_H

#ifdef __cplusplus
extern "C" {
#endif

/* What a stack start is a multiple of, in bytes, is up to the ABI, and never more than this. Whoever begins a flow at an address
   of his own choice (the top of memory that he has allocated) takes a multiple of it. */
#define GREENLET_STACK_ALIGN 16

/* One of the two callbacks: `sp` is a stack start, `ctx` what greenlet_switch was given. */
typedef void *(*greenlet_callback)(void *ctx, void *sp);

/* Suspends the flow of control that calls it and continues, or begins, another one.

     1. Pushes every register and control word that the ABI preserves. The lowest address of that is the *stack start* of the
        flow that is left. All that the flow needs to go on lies at and above it.
     2. target = save(ctx, start), still on the stack of the one that is left. It notes the start, copies away what may
        be overwritten, and answers where to go: the start of a suspended flow, or, to begin one, an address below which
        the stack is free. To begin right below the one that is left it answers `start` itself.
        NULL says "no, and nothing has changed": greenlet_switch returns NULL at once, in the flow that called it.
     3. Moves the stack pointer to the target.
     4. result = restore(ctx, target), below the target's bytes, so that it can copy them back to where they were. In a flow
        that begins there are none: restore runs its body, and never returns.
     5. Loads what the target had pushed and returns `result`, in the target.

   The host promises that

     - once save has answered, everything below the target may be overwritten, and when restore returns every byte from the
       target's start up to where that flow began is what it was when it was left;
     - ctx, and whatever else the callbacks use, lies on no stretch of a stack that is copied;
     - neither callback lets an exception out, jumps out of itself (longjmp), or calls greenlet_switch. The body that
       restore runs may do all three inside itself;
     - a flow that has ended is never switched to; it ends by a switch from which nobody comes back;
     - restore's result is not NULL, so that NULL always means that save refused;
     - all calls that share a stack are made by one thread.

   Errors: NULL, see 2. Threads: keeps no state of its own. Memory: allocates nothing.
   Unwinders and debuggers that walk up from a flow's frames end at its body: above that, there may be another flow's bytes. */
void *greenlet_switch(greenlet_callback save, greenlet_callback restore, void *ctx);

#ifdef __cplusplus
}
#endif

#endif
