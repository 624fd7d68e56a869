/* What Rust sees of the interpreter's thread state: an opaque record per greenlet, and the operations on it.
 *
 * Nothing here may know greenlets, parents or slices.
 */
#ifndef GREENLET_STATE_H
#define GREENLET_STATE_H

#include <Python.h>

/* The part of a thread state that belongs to one flow of control, while that flow does not run. */
typedef struct GrState GrState;

/* Copies `size` bytes that a suspended flow had at `at` (on its machine stack or anywhere else) into `to`. */
typedef void (*GrPeek)(void *ctx, const void *at, void *to, size_t size);

#define GR_STATE_WORDS 18

size_t gr_state_size(void);
void gr_state_init(GrState *state);

/* Suspends `from`, which runs, and installs `to`. The error indicator stays where it is. */
void gr_state_swap(PyThreadState *ts, GrState *from, GrState *to);
/* The same for a flow that will be continued; see state.c. */
int gr_state_leave(PyThreadState *ts, GrState *from, GrState *to, size_t reach);
/* Undoes gr_state_swap(ts, from, to) when the switch was refused. */
void gr_state_unswap(PyThreadState *ts, GrState *from, GrState *to);
/* What can only be done once the machine stack of the installed state is in place. */
void gr_state_arrived(PyThreadState *ts);
/* No frame can be found until gr_thread_show gets what this answers. */
void *gr_thread_hide(PyThreadState *ts);
void gr_thread_show(PyThreadState *ts, void *hidden);

/* Makes `state` what a flow begins with that the running one starts. `root` is memory for the first Python frames
 * (see gr_root_*), or null. */
void gr_state_begin(PyThreadState *ts, GrState *state, void *root);
/* The running flow ends: gives up what it has put off giving up, since nobody would do so later. May run any code.
 * CPython 3.13 and newer. */
void gr_state_empty_trash(PyThreadState *ts);
/* The running flow has no Python frame any more: takes its data stack apart; answers the root. */
void *gr_state_end(PyThreadState *ts, GrState *state, int *overflowed);
/* The same for one that will never run again. `kept`: somebody may still look at its frames, so nothing is freed. */
void *gr_state_abandon(GrState *state, int kept);

/* The memory for the first frames. */
size_t gr_root_need(PyObject *run, PyObject **key);
void gr_root_format(void *root, size_t size);
size_t gr_root_size(void *root);
int gr_arena_install(void *(*alloc)(size_t), int (*release)(void *, size_t));
void *gr_arena_alloc(size_t size);
void gr_arena_free(void *block, size_t size);

/* Frames. A chain is `exposed` when no frame object can lead into machine stack that may have been overwritten. */
int gr_frames_prepare(PyThreadState *ts, GrState *state);
void gr_frames_relink(GrState *state);
int gr_frames_expose(GrState *state, GrPeek peek, void *ctx);
PyObject *gr_frames_top(PyThreadState *ts, GrState *state, GrPeek peek, void *ctx);
int gr_frames_observed(GrState *state, GrPeek peek, void *ctx);
int gr_frames_visit(GrState *state, GrPeek peek, void *ctx, visitproc visit, void *arg);
const char *gr_frames_check(GrState *state, GrPeek peek, void *ctx);
void gr_thread_mark(PyThreadState *ts, size_t *out);
void gr_frames_drop(GrState *state, GrPeek peek, void *ctx, int clear);
int gr_frames_take_call(GrState *state, PyTypeObject *type, PyObject **args, int n, PyObject **out);

void gr_state_forget(GrState *state);
int gr_state_visit(GrState *state, visitproc visit, void *arg);
void gr_state_clear(GrState *state);
PyObject **gr_state_context(GrState *state);

PyObject *gr_thread_context(PyThreadState *ts);
void gr_thread_set_context(PyThreadState *ts, PyObject *context);
long gr_thread_trash_nesting(PyThreadState *ts);
void gr_thread_quiet(PyThreadState *ts, int on);
int gr_collecting(PyThreadState *ts);
#if PY_VERSION_HEX >= 0x030F0000
size_t gr_full_collections(PyThreadState *ts, int *automatic);
#endif
int gr_finalizing(void);
int gr_state_depth(PyThreadState *ts, GrState *state);
unsigned long gr_thread_id(PyThreadState *ts);
size_t gr_threads(PyThreadState *ts, PyThreadState **out, size_t room);
int gr_soon(PyThreadState *ts, int (*run)(void *));

#endif
