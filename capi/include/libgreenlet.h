/* libgreenlet: coroutines that share one machine stack, for C and C++.

   A greenlet is a flow of control that can be suspended at any depth of nested calls. While it is suspended its frames are a
   *slice*, copied to the heap only when somebody else needs that stretch of the stack. There is no scheduler and there are no
   parents: whoever switches says who runs next. For interpreters and other hosts that bring their own policy.

     static greenlet *body(greenlet_thread *thread, void *context, void **value)
     {
         greenlet_switch_to(thread, greenlet_main(thread), *value, value);   // suspends; main goes on
         return NULL;                                                        // the end; main goes on, with *value
     }

     greenlet_thread *thread;
     greenlet *one;
     void *answer;
     greenlet_thread_new(NULL, &thread);
     greenlet_new(thread, NULL, body, NULL, &one);
     greenlet_switch_to(thread, one, "ping", &answer);                       // begins it; answer: "ping"

   What holds of everything below:

   Frames     While a greenlet is suspended, or while another one runs that it has switched to, its frames may not be at their
              addresses. Nothing outside it may reach into them by pointer: pass pointers to the heap or to statics.
              On the native stack that is so for main as well, so far as its frames are deeper than where the other one began;
              greenlet_would_move() tells. Greenlets on a stack of their own never move main's frames.
   Ownership  What a greenlet_*_new() gives is the caller's, and freed by the greenlet_*_free() of its kind, greenlets and stacks
              before their thread. Contexts and values are never looked at.
   Threads    A greenlet_thread belongs to the operating system's thread that made it, and so do its greenlets and stacks.
              From any other thread all functions but those marked "any thread" answer GREENLET_WRONG_THREAD.
              Different threads' greenlets never meet. (An address that was freed is not detected.)
   Errors     A function that answers an int answers GREENLET_OK or why it refused, and after a refusal nothing has changed.
              Null pointers where none may be are GREENLET_INVALID.
   Switching  Only greenlet_switch_to() and greenlet_finish() switch. All others return to the flow that has called them, and may be
              called anywhere but in a resize function or a switch hook, which may call only what is marked "hook".
   Unwinding  No exception, longjmp or panic may leave a body, a hook or a resize function, and none comes out of this library.
              Inside a body all three are free. C++: what is being handled is kept per thread by the language's runtime; who
              switches inside a catch block saves `__cxa_get_globals()` beside the switch.                                   */

#ifndef LIBGREENLET_H
#define LIBGREENLET_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct greenlet_thread greenlet_thread;
typedef struct greenlet_stack greenlet_stack;
typedef struct greenlet greenlet;

enum greenlet_status {
    GREENLET_OK = 0,
    GREENLET_NO_MEMORY = 1,    /* none for the bytes that had to be saved, or for the object */
    GREENLET_NOT_ACTIVE = 2,   /* the greenlet has finished, or for some calls: not begun */
    GREENLET_WRONG_THREAD = 3, /* called from another thread, or the greenlet or stack belongs to another */
    GREENLET_RUNNING = 4,      /* it is the running greenlet, which this call does not take */
    GREENLET_IN_USE = 5,       /* what was to be freed still has greenlets or stacks, or is main */
    GREENLET_INVALID = 6,      /* a null pointer, or no usable memory */
    GREENLET_STRAY = 7         /* a switch has arrived, but not from one that meant to: see greenlet_body */
};

/* What a status means, in English. Any thread, hook. */
const char *greenlet_message(int status);

/* ---- threads ------------------------------------------------------------------------------------------------------------ */

/* Where a thread's objects and slices come from: one function, in the manner of realloc. `resize(ctx, block, old, size)` answers
   a block of `size` bytes, aligned to 16 (4 on 32-bit machines), that begins with what `block` had, or NULL if there is none,
   and then `block` is as it was. block is NULL exactly when old is 0; a size of 0 frees, and the answer is ignored.
   It is called on whatever greenlet runs, and may not switch. */
typedef struct greenlet_memory {
    void *(*resize)(void *ctx, void *block, size_t old, size_t size);
    void *ctx;
} greenlet_memory;

/* Makes the calling thread's state; the flow that calls is its greenlet `main`. `memory` NULL: realloc and free.
   GREENLET_NO_MEMORY, GREENLET_INVALID. */
int greenlet_thread_new(const greenlet_memory *memory, greenlet_thread **thread);

/* Frees it. GREENLET_IN_USE: not called by main, or a greenlet or a stack is left. */
int greenlet_thread_free(greenlet_thread *thread);

/* The flow that made the thread's state. Never freed by the host. Any thread, hook. */
greenlet *greenlet_main(const greenlet_thread *thread);

/* The greenlet that runs on this thread. Any thread (but stale at once), hook. */
greenlet *greenlet_current(const greenlet_thread *thread);

/* ---- stacks -------------------------------------------------------------------------------------------------------------- */

/* Adds a stack for greenlets to share beside the native one: `size` bytes at `memory`, which stay the host's and must be there
   until the stack is freed. Nothing stops a greenlet from using more: put a page that cannot be written below it.
   Tools that watch the stack pointer (valgrind) want to be told: docs/vendoring.md.
   GREENLET_NO_MEMORY, GREENLET_INVALID (less than 1024 bytes). */
int greenlet_stack_new(greenlet_thread *thread, void *memory, size_t size, greenlet_stack **stack);

/* GREENLET_IN_USE: a greenlet that was made for it is not freed yet. */
int greenlet_stack_free(greenlet_stack *stack);

/* ---- greenlets ------------------------------------------------------------------------------------------------------------- */

/* What a greenlet runs. `*value` is what the switch that begins it passed. The greenlet that it returns goes on (NULL: main),
   and gets the `*value` that it leaves there.

   Nobody is left to be told if that cannot be done: the greenlet that was returned is dead, the running one itself, of another
   thread, or there is no memory to save what is in its way. Then main goes on, or, if there is no memory for that,
   one whose frames lie nearest: there is always one that needs none. Its greenlet_switch_to answers GREENLET_STRAY, and its
   result is the value that was meant for the other. A body that wants to know calls greenlet_finish itself. */
typedef greenlet *(*greenlet_body)(greenlet_thread *thread, void *context, void **value);

/* Makes a greenlet that has not begun: on the native stack (`stack` NULL) or on one that was added. On the native stack, or begun by
   another one of the same stack, it begins right below the frames of whoever switches to it first; else at its stack's
   top. A few words of memory until it has begun. GREENLET_NO_MEMORY, GREENLET_INVALID, GREENLET_WRONG_THREAD (the stack's). */
int greenlet_new(greenlet_thread *thread, greenlet_stack *stack, greenlet_body body, void *context, greenlet **result);

/* Frees a greenlet in any state but running. A suspended one never runs again: what its frames own is leaked, so let it finish
   if they own anything. GREENLET_RUNNING, GREENLET_IN_USE (main). NULL is GREENLET_OK. */
int greenlet_free(greenlet *greenlet);

/* Suspends the running greenlet and continues `target`, or begins it. Returns when somebody switches back, with the value
   that was passed then in `*result` (NULL if nobody asks). To the running one: the value comes back at once.
   GREENLET_NO_MEMORY, GREENLET_NOT_ACTIVE (finished), GREENLET_WRONG_THREAD; GREENLET_STRAY is an arrival. */
int greenlet_switch_to(greenlet_thread *thread, greenlet *target, void *value, void **result);

/* Ends the running greenlet, whose frames are gone, and continues or begins `target` with `value`. Returns only if that was
   refused, and then it runs on. GREENLET_IN_USE: main cannot finish. GREENLET_RUNNING: target is the running one.
   The rest as greenlet_switch_to. */
int greenlet_finish(greenlet_thread *thread, greenlet *target, void *value);

enum greenlet_state { GREENLET_IS_NEW, GREENLET_IS_RUNNING, GREENLET_IS_SUSPENDED, GREENLET_IS_FINISHED };

/* Any thread (but stale at once), hook. */
int greenlet_state(const greenlet *greenlet);

/* Whether it has begun; still so when it has finished. Any thread, hook. */
int greenlet_is_started(const greenlet *greenlet);

/* The context and the thread that it was made with. Any thread, hook. */
void *greenlet_context(const greenlet *greenlet);
greenlet_thread *greenlet_thread_of(const greenlet *greenlet);

/* ---- where the bytes are --------------------------------------------------------------------------------------------------- */

/* How many bytes of a suspended greenlet's stack are in the heap now and not on the stack. Hook. */
size_t greenlet_saved(const greenlet *greenlet);

/* The addresses of a suspended greenlet's stretch: the lowest, where its registers are, and the one above its highest byte. main's
   highest is not known: the end of the address space. GREENLET_NOT_ACTIVE, GREENLET_RUNNING. Hook. */
int greenlet_stretch(const greenlet *greenlet, uintptr_t *start, uintptr_t *stop);

/* Where the byte that a suspended greenlet has at `address` of its stack is now; `*together` is how many bytes lie together from
   there on. NULL if the address is not in its stretch, or it is not suspended. Holds until the next switch on its thread. What is
   written there the greenlet finds when it goes on. For conservative garbage collectors and debuggers. Hook. */
void *greenlet_locate(const greenlet *greenlet, const void *address, size_t *together);

/* Whether a switch to `target` would move bytes at or below `address` off the stack, where `address` is in a frame of the running
   greenlet. Hook. */
int greenlet_would_move(const greenlet_thread *thread, const greenlet *target, const void *address);

/* ---- the host's own state ---------------------------------------------------------------------------------------------------- */

/* Called at each switch, in the one that arrives, before anything else runs there: in a switch back, at the start of a body, and
   after a finish. What the host keeps per flow of control is still as `from` left it: put it away, and install that of `to`.
   It may not switch. NULL takes it away. GREENLET_WRONG_THREAD, GREENLET_INVALID. */
typedef void (*greenlet_hook)(void *ctx, greenlet_thread *thread, greenlet *from, greenlet *to);
int greenlet_set_hook(greenlet_thread *thread, greenlet_hook hook, void *ctx);

#ifdef __cplusplus
}
#endif

#endif
