/* PyPy's stacklet interface, on libgreenlet: what its users call, in our words. stacklet.c is the page that does it.

   A stacklet is a flow of control that is suspended. Its handle is good for one use: stacklet_switch or stacklet_destroy. When it is
   suspended again, whoever it has switched to gets a new handle.                                                            */

#ifndef STACKLET_H
#define STACKLET_H

typedef struct greenlet *stacklet_handle;
typedef struct greenlet_thread *stacklet_thread_handle;

/* In place of the source of a switch: it has finished. */
#define EMPTY_STACKLET_HANDLE ((stacklet_handle)-1)

/* What a stacklet runs. `source` is who made it, suspended. It ends by returning who goes on, and that handle is used up. */
typedef stacklet_handle (*stacklet_run_fn)(stacklet_handle source, void *argument);

/* The state of the calling thread; NULL: no memory. It is deleted when no stacklet of it is left. */
stacklet_thread_handle stacklet_newthread(void);
void stacklet_deletethread(stacklet_thread_handle thread);

/* Makes a stacklet and runs it at once. Both return when somebody switches back: his handle, EMPTY_STACKLET_HANDLE if he has
   finished, NULL if there was no memory; then nothing has changed, and `target` is still good. */
stacklet_handle stacklet_new(stacklet_thread_handle thread, stacklet_run_fn run, void *argument);
stacklet_handle stacklet_switch(stacklet_handle target);

/* Forgets a stacklet. It never runs again. */
void stacklet_destroy(stacklet_handle target);

/* Where a word of a suspended stacklet's stack is now; `pointer` itself if it is not saved, or not of that stack. */
char **_stacklet_translate_pointer(stacklet_handle context, char **pointer);

#endif
