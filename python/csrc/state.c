/* The interpreter's thread state, version by version: the only file that knows it.
 *
 * CPython keeps in one struct per thread what belongs to the flow of control that runs there: the frame chain, the
 * data stack that frames live in, the exceptions being handled, the context, recursion depths, the trash can. A switch
 * takes them out for one greenlet and puts them in for the other. Everything is done before the machine stack is
 * switched; only gr_state_arrived needs the new one.
 *
 *                       3.10        3.11            3.12            3.13           3.14, 3.15
 *   frame chain         frame       cframe->current_frame           current_frame
 *   cframe              machine stack, each eval loop has one       -
 *   frames on the stack -           -               entry frames, one for each eval loop
 *   frames elsewhere    heap        data stack, chunks of 16 KiB
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#ifdef Py_GIL_DISABLED
#error "greenlet does not support free-threaded builds of CPython yet: use the ordinary build"
#endif
#if PY_VERSION_HEX < 0x030A0000
#error "greenlet needs CPython 3.10 or newer"
#endif

#define AT_LEAST(minor) (PY_VERSION_HEX >= (0x03000000 | ((minor) << 16)))

#define Py_BUILD_CORE
#undef _PyGC_FINALIZED /* a macro outside, a function inside */
#include "internal/pycore_interp.h"
#include "internal/pycore_ceval.h"
#if AT_LEAST(11)
#if AT_LEAST(14)
#include "internal/pycore_interpframe_structs.h"
#include "internal/pycore_stackref.h"
#else
#include "internal/pycore_frame.h"
#endif
#if AT_LEAST(15)
#include "internal/pycore_gc.h"
#endif
typedef struct _PyInterpreterFrame Frame;
#endif
#undef Py_BUILD_CORE

#include <frameobject.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

#define HAS_CFRAME (!AT_LEAST(13))
#define HAS_DATA_STACK AT_LEAST(11)
#define HAS_ENTRY_FRAMES AT_LEAST(12)

#if HAS_CFRAME
#if AT_LEAST(11)
typedef _PyCFrame GrCFrame;
#else
typedef CFrame GrCFrame;
#endif
#endif

#if HAS_ENTRY_FRAMES
/* A frame whose `previous` is an entry frame on the machine stack, and that entry frame. */
typedef struct {
    Frame *frame;
    Frame *entry;
} Link;
#endif

#if defined(__GNUC__)
#define RARE __attribute__((cold, noinline))
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#else
#define RARE
#define UNLIKELY(x) (x)
#endif

#if AT_LEAST(13)
/* What is null most of the time, and is moved only when it is not. While a flow runs these are null in its own state. */
typedef struct {
    PyObject *exc_value;
    PyObject *delete_later;
    PyObject *executor;
} Rare;
#endif

struct GrState {
#if AT_LEAST(11)
    Frame *frame;
#else
    PyFrameObject *frame;
#endif
#if HAS_CFRAME
    GrCFrame *cframe;
    GrCFrame root_cframe; /* what an eval loop finds that a greenlet begins with */
#endif
    PyObject *context;
    _PyErr_StackItem *exc_info;
#if HAS_DATA_STACK
    _PyStackChunk *chunk;
    PyObject **top;
    PyObject **limit;
    _PyStackChunk *root; /* ours; null for a main greenlet */
#endif
    int depth; /* Python calls */
#if AT_LEAST(12) && !AT_LEAST(14)
    int c_remaining;
#endif
#if !AT_LEAST(13)
    int trash_nesting;
    PyObject *exc_value; /* often None, once an exception has been handled */
#if !AT_LEAST(11)
    PyObject *exc_type, *exc_traceback;
#endif
#else
    Rare rare;
#endif
#if HAS_ENTRY_FRAMES
    Link *links; /* non-null count: the chain is exposed */
    unsigned count, capacity;
    int exposed;
#endif
};

_Static_assert(sizeof(GrState) <= GR_STATE_WORDS * sizeof(void *), "GR_STATE_WORDS is too small");

size_t gr_state_size(void) { return sizeof(GrState); }

void gr_state_init(GrState *state) { memset(state, 0, sizeof *state); }

/* ---- saving and installing ---------------------------------------------------------------------------------- */

static inline int depth_of(PyThreadState *ts) {
#if AT_LEAST(12)
    return ts->py_recursion_limit - ts->py_recursion_remaining;
#elif AT_LEAST(11)
    return ts->recursion_limit - ts->recursion_remaining;
#else
    return ts->recursion_depth;
#endif
}

#if AT_LEAST(13)
#define HANDLED rare.exc_value
#if AT_LEAST(14)
#define EXECUTOR current_executor
#else
#define EXECUTOR previous_executor
#endif

/* Whether any of it is there, of the running flow or of the other. */
static inline int any_rare(PyThreadState *ts, Rare *to) {
    size_t running = (size_t)ts->exc_state.exc_value | (size_t)ts->delete_later | (size_t)ts->EXECUTOR;
    return (running | (size_t)to->exc_value | (size_t)to->delete_later | (size_t)to->executor) != 0;
}

static RARE void move_rare(PyThreadState *ts, Rare *from, Rare *to) {
    from->exc_value = ts->exc_state.exc_value;
    from->delete_later = ts->delete_later;
    from->executor = (PyObject *)ts->EXECUTOR;
    ts->exc_state.exc_value = to->exc_value;
    ts->delete_later = to->delete_later;
    ts->EXECUTOR = (void *)to->executor;
    *to = (Rare){0}; /* the thread state owns it now */
}
#else
#define HANDLED exc_value
#endif

/* Takes out what is `from`'s and installs what is `to`'s, word by word: a wide load of what was stored by words a moment
 * ago would wait for the stores. (`previous_item` of the thread's own exception item is null for ever: only those of
 * generators have one.) */
static inline void swap(PyThreadState *ts, GrState *from, GrState *to) {
#if !AT_LEAST(11)
    from->frame = ts->frame;
    ts->frame = to->frame;
    from->cframe = ts->cframe;
    ts->cframe = to->cframe;
#elif !AT_LEAST(13)
    GrCFrame *cframe = ts->cframe;
    from->frame = cframe->current_frame;
    from->cframe = cframe;
    ts->cframe = to->cframe;
#else
    from->frame = ts->current_frame;
    ts->current_frame = to->frame;
#endif
#if AT_LEAST(15)
    to->frame = NULL; /* the collector asks for the frames of suspended flows only */
#endif
    PyObject *context = ts->context, *other = to->context;
    from->context = context;
    if (context != other) {
        ts->context_ver++; /* forget what context variables have cached */
        ts->context = other;
        to->context = NULL; /* the thread state owns it now */
    } else if (context) {
        to->context = NULL;
    }
    from->exc_info = ts->exc_info;
    ts->exc_info = to->exc_info;
#if HAS_DATA_STACK
    from->chunk = ts->datastack_chunk;
    ts->datastack_chunk = to->chunk;
    from->top = ts->datastack_top;
    ts->datastack_top = to->top;
    from->limit = ts->datastack_limit;
    ts->datastack_limit = to->limit;
#endif
#if AT_LEAST(12)
    int limit = ts->py_recursion_limit;
    from->depth = limit - ts->py_recursion_remaining;
    ts->py_recursion_remaining = limit - to->depth;
#elif AT_LEAST(11)
    int limit = ts->recursion_limit;
    from->depth = limit - ts->recursion_remaining;
    ts->recursion_remaining = limit - to->depth;
#else
    from->depth = ts->recursion_depth;
    ts->recursion_depth = to->depth;
#endif
#if AT_LEAST(12) && !AT_LEAST(14)
    from->c_remaining = ts->c_recursion_remaining;
    ts->c_recursion_remaining = to->c_remaining;
#endif
#if AT_LEAST(13)
    if (UNLIKELY(any_rare(ts, &to->rare))) {
        move_rare(ts, &from->rare, &to->rare);
    }
#else
    from->exc_value = ts->exc_state.exc_value;
    ts->exc_state.exc_value = to->exc_value;
    to->exc_value = NULL; /* the thread state owns it now */
#if !AT_LEAST(11)
    from->exc_type = ts->exc_state.exc_type;
    from->exc_traceback = ts->exc_state.exc_traceback;
    ts->exc_state.exc_type = to->exc_type;
    ts->exc_state.exc_traceback = to->exc_traceback;
    to->exc_type = to->exc_traceback = NULL;
#endif
#if AT_LEAST(12)
    from->trash_nesting = ts->trash.delete_nesting;
    ts->trash.delete_nesting = to->trash_nesting;
#else
    from->trash_nesting = ts->trash_delete_nesting;
    ts->trash_delete_nesting = to->trash_nesting;
#endif
#endif
}

#if HAS_CFRAME && !AT_LEAST(12)
/* Whether somebody traces, on its way from one cframe to the other. One value will do: the GIL is held all the way. */
static int carried_tracing;
#endif

void gr_state_swap(PyThreadState *ts, GrState *from, GrState *to) {
#if HAS_CFRAME && !AT_LEAST(12)
    carried_tracing = ts->cframe->use_tracing;
#endif
    swap(ts, from, to);
}

void gr_state_unswap(PyThreadState *ts, GrState *from, GrState *to) {
#if HAS_CFRAME && AT_LEAST(11)
    /* The target's cframe lies in its stretch of the stack, where others' bytes are: it may not be read, and what it says is noted. */
    GrCFrame *theirs = ts->cframe;
    Frame *frame = to->frame;
    ts->cframe = from->cframe;
    swap(ts, to, from);
    to->cframe = theirs;
    to->frame = frame;
#else
    swap(ts, to, from);
#endif
}

void gr_state_arrived(PyThreadState *ts) {
#if HAS_CFRAME && !AT_LEAST(12)
    ts->cframe->use_tracing = carried_tracing;
#else
    (void)ts;
#endif
}

/* While the stack is being switched the frames are those of one who is not back yet: nobody may walk them. Answers what
 * gr_thread_show wants. */
void *gr_thread_hide(PyThreadState *ts) {
#if !AT_LEAST(11)
    void *hidden = ts->frame;
    ts->frame = NULL;
#elif HAS_CFRAME
    static GrCFrame none; /* has no frame, and is never written to */
    void *hidden = ts->cframe;
    ts->cframe = &none;
#else
    void *hidden = ts->current_frame;
    ts->current_frame = NULL;
#endif
    return hidden;
}

void gr_thread_show(PyThreadState *ts, void *hidden) {
#if !AT_LEAST(11)
    ts->frame = hidden;
#elif HAS_CFRAME
    ts->cframe = hidden;
#else
    ts->current_frame = hidden;
#endif
}

/* ---- beginning and ending ----------------------------------------------------------------------------------- */

void gr_state_begin(PyThreadState *ts, GrState *s, void *root) {
    PyObject *context = s->context; /* may have been set before the start */
    gr_state_init(s);
    s->context = context;
    s->exc_info = &ts->exc_state;
#if HAS_CFRAME
    s->root_cframe = *ts->cframe;
    s->root_cframe.previous = &ts->root_cframe;
#if AT_LEAST(11)
    s->root_cframe.current_frame = NULL;
#endif
    s->cframe = &s->root_cframe;
#endif
#if HAS_DATA_STACK
    if (root) {
        _PyStackChunk *chunk = root;
        s->root = s->chunk = chunk;
        s->top = &chunk->data[1]; /* never equal to data: so it is never popped */
        s->limit = (PyObject **)((char *)chunk + chunk->size);
    }
#else
    (void)root;
#endif
    s->depth = depth_of(ts);
#if AT_LEAST(12) && !AT_LEAST(14)
    s->c_remaining = ts->c_recursion_remaining;
#endif
}

#if HAS_DATA_STACK
static void free_chunks(_PyStackChunk *chunk, _PyStackChunk *root) {
    while (chunk && chunk != root) {
        _PyStackChunk *previous = chunk->previous;
        gr_arena_free(chunk, chunk->size);
        chunk = previous;
    }
}
#endif

#if AT_LEAST(13)
/* Before 3.13 a thread has one trash can for all, and each greenlet begins at a nesting of 0, where it is emptied. */
void gr_state_empty_trash(PyThreadState *ts) {
    if (!ts->delete_later) {
        return;
    }
    PyObject *error = PyErr_GetRaisedException();
    while (ts->delete_later) {
#if AT_LEAST(14)
        _PyTrash_thread_destroy_chain(ts);
#else
        /* With no more than the headroom left the interpreter would put them off again, for ever. What is lent is one
         * nested deallocation. */
        int lent = Py_TRASHCAN_HEADROOM + 2 - ts->c_recursion_remaining;
        lent = lent > 0 ? lent : 0;
        ts->c_recursion_remaining += lent;
        _PyTrash_thread_destroy_chain(ts);
        ts->c_recursion_remaining -= lent;
#endif
    }
    PyErr_SetRaisedException(error);
}
#endif

void *gr_state_end(PyThreadState *ts, GrState *s, int *overflowed) {
    *overflowed = 0;
#if HAS_DATA_STACK
    _PyStackChunk *root = s->root;
    free_chunks(ts->datastack_chunk, root);
    ts->datastack_chunk = NULL;
    ts->datastack_top = ts->datastack_limit = NULL;
    s->root = s->chunk = NULL;
    s->top = s->limit = NULL;
    if (root) {
        *overflowed = root->top != 0; /* written when a chunk was put on top of it */
    }
    return root;
#else
    (void)ts, (void)s;
    return NULL;
#endif
}

void *gr_state_abandon(GrState *s, int kept) {
#if HAS_ENTRY_FRAMES
    free(s->links);
    s->links = NULL;
    s->count = s->capacity = 0;
    s->exposed = 0;
#endif
#if HAS_DATA_STACK
    _PyStackChunk *root = s->root;
    if (!kept) {
        free_chunks(s->chunk, root);
    }
    s->root = s->chunk = NULL;
    s->top = s->limit = NULL;
    s->frame = NULL;
    return kept ? NULL : root;
#else
    /* Its evaluator owns a reference to a frame, on the machine stack that is gone; a generator's is the generator's. */
    PyFrameObject *frame = s->frame;
    s->frame = NULL;
    if (frame && !frame->f_gen && !kept) {
        Py_DECREF(frame);
    }
    return NULL;
#endif
}

/* The thread of the running flow is gone, and with it all that was the flow's: what is noted here is older than that. */
void gr_state_forget(GrState *s) {
#if HAS_ENTRY_FRAMES
    free(s->links);
#endif
    gr_state_init(s);
}

int gr_state_visit(GrState *s, visitproc visit, void *arg) {
    Py_VISIT(s->context);
    Py_VISIT(s->HANDLED);
#if !AT_LEAST(11)
    Py_VISIT(s->exc_type);
    Py_VISIT(s->exc_traceback);
#endif
    return 0;
}

void gr_state_clear(GrState *s) {
#if HAS_ENTRY_FRAMES
    if (!s->count) { /* else it is suspended, and they are in use */
        free(s->links);
        s->links = NULL;
        s->capacity = 0;
    }
#endif
    Py_CLEAR(s->context);
    Py_CLEAR(s->HANDLED);
#if !AT_LEAST(11)
    Py_CLEAR(s->exc_type);
    Py_CLEAR(s->exc_traceback);
#endif
}

PyObject **gr_state_context(GrState *s) { return &s->context; }

PyObject *gr_thread_context(PyThreadState *ts) { return ts->context; }

void gr_thread_set_context(PyThreadState *ts, PyObject *context) {
    PyObject *old = ts->context;
    ts->context = context;
    ts->context_ver++;
    Py_XDECREF(old);
}

long gr_thread_trash_nesting(PyThreadState *ts) {
#if AT_LEAST(13)
    (void)ts;
    return 0;
#elif AT_LEAST(12)
    return ts->trash.delete_nesting;
#else
    return ts->trash_delete_nesting;
#endif
}

/* No Python-level tracing or profiling while a greenlet trace function runs. */
void gr_thread_quiet(PyThreadState *ts, int on) {
#if AT_LEAST(11)
    if (on) {
        PyThreadState_EnterTracing(ts);
    } else {
        PyThreadState_LeaveTracing(ts);
    }
#else
    if (on) {
        ts->tracing++;
        ts->cframe->use_tracing = 0;
    } else {
        ts->tracing--;
        ts->cframe->use_tracing = (ts->c_tracefunc != NULL || ts->c_profilefunc != NULL) ? 255 : 0;
    }
#endif
}

/* Whether the garbage collector is at work: the heads of its lists are then on the machine stack, and objects point
 * there. */
int gr_collecting(PyThreadState *ts) { return ts->interp->gc.collecting; }

#if AT_LEAST(15)
/* How many full collections have been completed, the same from a collection's beginning to its end, and whether they come by
 * themselves. */
size_t gr_full_collections(PyThreadState *ts, int *automatic) {
    const struct _gc_runtime_state *gc = &ts->interp->gc;
    const struct gc_old_stats_buffer *oldest = &gc->generation_stats->old[1];
    *automatic = gc->enabled;
    return (size_t)oldest->items[oldest->index].collections;
}
#endif

int gr_finalizing(void) {
#if AT_LEAST(13)
    return Py_IsFinalizing();
#else
    return _Py_IsFinalizing();
#endif
}

/* How many Python calls deep a flow is; null: the running one. */
int gr_state_depth(PyThreadState *ts, GrState *s) { return s ? s->depth : depth_of(ts); }

unsigned long gr_thread_id(PyThreadState *ts) { return ts->thread_id; }

/* The thread states of the interpreter, the newest first: at most `room` of them; answers how many there are. */
size_t gr_threads(PyThreadState *ts, PyThreadState **out, size_t room) {
    size_t count = 0;
    for (ts = PyInterpreterState_ThreadHead(ts->interp); ts; ts = PyThreadState_Next(ts)) {
        if (count < room) {
            out[count] = ts;
        }
        count++;
    }
    return count;
}

/* Asks the interpreter to call `run(NULL)` between two instructions. That will be in this thread, which holds the GIL, or,
 * if it gives the GIL up at once, in another; before 3.12 it is always in the main thread. Non-zero: it cannot, now. */
int gr_soon(PyThreadState *ts, int (*run)(void *)) {
#if AT_LEAST(13)
    return _PyEval_AddPendingCall(ts->interp, run, NULL, 0) != _Py_ADD_PENDING_SUCCESS;
#elif AT_LEAST(12)
    return _PyEval_AddPendingCall(ts->interp, run, NULL, 0);
#else
    (void)ts;
    return Py_AddPendingCall(run, NULL);
#endif
}

/* ---- the memory for the first frames ------------------------------------------------------------------------ */

/* How many bytes the frame of `run` takes, and the code object it runs; 0 if it is not a Python function. */
size_t gr_root_need(PyObject *run, PyObject **key) {
    *key = NULL;
#if HAS_DATA_STACK
    if (PyMethod_Check(run)) {
        run = PyMethod_GET_FUNCTION(run);
    }
    if (!PyFunction_Check(run)) {
        return 0;
    }
    PyCodeObject *code = (PyCodeObject *)PyFunction_GET_CODE(run);
    *key = (PyObject *)code;
#if AT_LEAST(12)
    return (size_t)code->co_framesize * sizeof(PyObject *);
#else
    return ((size_t)code->co_nlocalsplus + code->co_stacksize + FRAME_SPECIALS_SIZE) * sizeof(PyObject *);
#endif
#else
    (void)run;
    return 0;
#endif
}

void gr_root_format(void *root, size_t size) {
#if HAS_DATA_STACK
    _PyStackChunk *chunk = root;
    chunk->previous = NULL;
    chunk->size = size;
    chunk->top = 0;
#else
    (void)root, (void)size;
#endif
}

size_t gr_root_size(void *root) {
#if HAS_DATA_STACK
    return ((_PyStackChunk *)root)->size;
#else
    (void)root;
    return 0;
#endif
}

#if HAS_DATA_STACK
static PyObjectArenaAllocator arena;
static void *(*arena_cached)(size_t);
static int (*arena_release)(void *, size_t);

static void *arena_alloc(void *ctx, size_t size) {
    void *block = arena_cached(size);
    return block ? block : arena.alloc(ctx, size);
}

static void arena_free(void *ctx, void *block, size_t size) {
    if (!arena_release(block, size)) {
        arena.free(ctx, block, size);
    }
}
#endif

/* Puts a cache in front of the interpreter's arena allocator, which data-stack chunks come from: `alloc` answers null
 * when it has nothing of that size, `release` 0 when it does not want the block. */
int gr_arena_install(void *(*alloc)(size_t), int (*release)(void *, size_t)) {
#if HAS_DATA_STACK
    PyObjectArenaAllocator now;
    PyObject_GetArenaAllocator(&now);
    if (now.alloc == arena_alloc) {
        return 0; /* imported once more, under another name */
    }
    arena = now;
    arena_cached = alloc;
    arena_release = release;
    PyObjectArenaAllocator ours = {arena.ctx, arena_alloc, arena_free};
    PyObject_SetArenaAllocator(&ours);
#else
    (void)alloc, (void)release;
#endif
    return 0;
}

void *gr_arena_alloc(size_t size) {
    PyObjectArenaAllocator now;
    PyObject_GetArenaAllocator(&now);
    return now.alloc(now.ctx, size);
}

void gr_arena_free(void *block, size_t size) {
    PyObjectArenaAllocator now;
    PyObject_GetArenaAllocator(&now);
    if (now.free) {
        now.free(now.ctx, block, size);
    }
}

/* ---- frames ------------------------------------------------------------------------------------------------- */

#if AT_LEAST(11)
/* An entry frame is shorter than the struct may be read: only this much of it is certain to be there. */
#define ENTRY_SIZE offsetof(Frame, localsplus)
#if AT_LEAST(15)
#define OWNER_MAX FRAME_OWNED_BY_INTERPRETER
#elif AT_LEAST(12)
#define OWNER_MAX FRAME_OWNED_BY_CSTACK
#else
#define OWNER_MAX FRAME_OWNED_BY_FRAME_OBJECT
#endif
#endif

#if HAS_ENTRY_FRAMES
#if AT_LEAST(14)
#define IS_ENTRY(frame) ((frame)->owner >= FRAME_OWNED_BY_INTERPRETER)
#else
#define IS_ENTRY(frame) ((frame)->owner == FRAME_OWNED_BY_CSTACK)
#endif

static int note(GrState *s, Frame *frame, Frame *entry) {
    if (s->count == s->capacity) {
        unsigned capacity = s->capacity ? s->capacity * 2 : 4;
        Link *links = realloc(s->links, capacity * sizeof(Link));
        if (!links) {
            return -1;
        }
        s->links = links;
        s->capacity = capacity;
    }
    s->links[s->count++] = (Link){frame, entry};
    return 0;
}

/* Takes every entry frame out of the chain of `s` and notes where it was. */
static RARE int unlink_entries(GrState *s, GrPeek peek, void *ctx) {
    Frame entry, *frame = s->frame;
    s->count = 0;
    while (frame) {
        Frame *previous = frame->previous, *next = previous;
        while (next) {
            const Frame *look = next;
            if (peek) {
                peek(ctx, next, &entry, ENTRY_SIZE);
                look = &entry;
            }
            if (!IS_ENTRY(look)) {
                break;
            }
            next = look->previous;
        }
        if (next != previous) {
            if (note(s, frame, previous) < 0) {
                gr_frames_relink(s);
                return -1;
            }
            frame->previous = next;
        }
        frame = next;
    }
    s->exposed = 1;
    return 0;
}
#endif

#if HAS_ENTRY_FRAMES
static inline Frame *innermost(PyThreadState *ts) {
#if HAS_CFRAME
    return ts->cframe->current_frame;
#else
    return ts->current_frame;
#endif
}

/* Whether a frame object could lead somebody from here into machine stack. A generator has its frame object made whenever
 * somebody asks it for that, and anybody may find a generator. */
static inline int is_visible(Frame *frame) {
    for (; frame; frame = frame->previous) {
        if (frame->owner == FRAME_OWNED_BY_THREAD) {
            if (UNLIKELY(frame->frame_obj != NULL)) {
                return 1;
            }
        } else if (UNLIKELY(!IS_ENTRY(frame))) {
            return 1;
        }
    }
    return 0;
}

static RARE int leave_visible(PyThreadState *ts, GrState *from, GrState *to) {
    from->frame = innermost(ts);
    if (unlink_entries(from, NULL, NULL) < 0) {
        return -1;
    }
    swap(ts, from, to);
    return 1;
}
#endif

/* The running flow is about to be suspended. If a frame object could lead somebody into its machine stack, takes the
 * entry frames out of the chain and answers 1. -1: no memory, and nothing changed. */
int gr_frames_prepare(PyThreadState *ts, GrState *s) {
#if HAS_ENTRY_FRAMES
    Frame *top = innermost(ts);
    if (is_visible(top)) {
        s->frame = top;
        return unlink_entries(s, NULL, NULL) < 0 ? -1 : 1;
    }
#else
    (void)ts, (void)s;
#endif
    return 0;
}

/* gr_frames_prepare for `from`, which runs, and then gr_state_swap. No flow of this thread but the thread's own has bytes at or
 * above `reach`: when this is called from up there, all entry frames lie where nobody else's bytes will ever be. */
int gr_state_leave(PyThreadState *ts, GrState *from, GrState *to, size_t reach) {
#if HAS_ENTRY_FRAMES
    char here;
    if ((size_t)&here < reach && is_visible(innermost(ts))) {
        return leave_visible(ts, from, to);
    }
#else
    (void)reach;
#endif
    gr_state_swap(ts, from, to);
    return 0;
}

/* Puts the entry frames back. */
void gr_frames_relink(GrState *s) {
#if HAS_ENTRY_FRAMES
    for (unsigned i = 0; i < s->count; i++) {
        s->links[i].frame->previous = s->links[i].entry;
    }
    s->count = 0;
    s->exposed = 0;
#else
    (void)s;
#endif
}

/* Like gr_frames_prepare, for a suspended flow and unconditionally. */
int gr_frames_expose(GrState *s, GrPeek peek, void *ctx) {
#if HAS_ENTRY_FRAMES
    if (!s->exposed && s->frame) {
        return unlink_entries(s, peek, ctx);
    }
#else
    (void)s, (void)peek, (void)ctx;
#endif
    return 0;
}

/* The frame object of a suspended flow's innermost Python frame: a new reference; null without an error if there is
 * none. */
PyObject *gr_frames_top(PyThreadState *ts, GrState *s, GrPeek peek, void *ctx) {
    if (!s->frame) {
        return NULL;
    }
#if AT_LEAST(11)
    if (gr_frames_expose(s, peek, ctx) < 0) {
        PyErr_NoMemory();
        return NULL;
    }
    /* The interpreter makes frame objects only for frames of the running chain. */
    int enabled = PyGC_Disable();
#if HAS_CFRAME
    Frame **current = &ts->cframe->current_frame;
#else
    Frame **current = &ts->current_frame;
#endif
    Frame *ours = *current;
    *current = s->frame;
    PyObject *frame = (PyObject *)PyThreadState_GetFrame(ts);
    *current = ours;
    if (enabled) {
        PyGC_Enable();
    }
    /* What is suspended in a call has a frame that can be shown: so it is memory. The interpreter keeps that error to itself. */
    return frame ? frame : PyErr_NoMemory();
#else
    (void)ts, (void)peek, (void)ctx;
    Py_INCREF(s->frame);
    return (PyObject *)s->frame;
#endif
}

/* Whether anybody but the frame itself has a frame object of a suspended flow. */
int gr_frames_observed(GrState *s, GrPeek peek, void *ctx) {
#if AT_LEAST(12)
    Frame *frame = s->frame, copy;
    while (frame) {
        peek(ctx, frame, &copy, ENTRY_SIZE);
        if (!IS_ENTRY(&copy) && copy.frame_obj && Py_REFCNT((PyObject *)copy.frame_obj) > 1) {
            return 1;
        }
        frame = copy.previous;
    }
#elif AT_LEAST(11)
    (void)peek, (void)ctx;
    for (Frame *frame = s->frame; frame; frame = frame->previous) {
        if (frame->frame_obj && Py_REFCNT((PyObject *)frame->frame_obj) > 1) {
            return 1;
        }
    }
#else
    (void)s, (void)peek, (void)ctx;
#endif
    return 0;
}

/* Visits what the frames of a suspended flow hold, on versions whose collector offers that. */
int gr_frames_visit(GrState *s, GrPeek peek, void *ctx, visitproc visit, void *arg) {
#if AT_LEAST(15)
    Frame *frame = s->frame, copy;
    while (frame) {
        peek(ctx, frame, &copy, ENTRY_SIZE);
        /* A generator visits its own frame. */
        if (copy.owner == FRAME_OWNED_BY_THREAD) {
            Py_VISIT(frame->frame_obj);
            Py_VISIT(frame->f_locals);
            _Py_VISIT_STACKREF(frame->f_funcobj);
            _Py_VISIT_STACKREF(frame->f_executable);
            int result = _PyGC_VisitFrameStack(frame, visit, arg);
            if (result) {
                return result;
            }
        }
        frame = copy.previous;
    }
#else
    (void)s, (void)peek, (void)ctx, (void)visit, (void)arg;
#endif
    return 0;
}

/* For debugging: what is wrong with the frames of a suspended flow, or null. */
const char *gr_frames_check(GrState *s, GrPeek peek, void *ctx) {
    unsigned long frames = 0;
#if AT_LEAST(11)
    Frame *frame = s->frame, copy;
    while (frame) {
        peek(ctx, frame, &copy, ENTRY_SIZE);
        if ((int)copy.owner < 0 || copy.owner > OWNER_MAX) {
            return "a frame of the target has no owner";
        }
        if (copy.owner == FRAME_OWNED_BY_THREAD) {
#if AT_LEAST(14)
            PyObject *code = PyStackRef_AsPyObjectBorrow(copy.f_executable);
#elif AT_LEAST(13)
            PyObject *code = copy.f_executable;
#else
            PyObject *code = (PyObject *)copy.f_code;
#endif
            if (!code || !PyCode_Check(code)) {
                return "a frame of the target has no code";
            }
        }
        if (++frames > 100000000) {
            return "the target's frames go round in a circle";
        }
        frame = copy.previous;
    }
#else
    (void)peek, (void)ctx;
    for (PyFrameObject *frame = s->frame; frame; frame = frame->f_back) {
        if (!PyFrame_Check(frame) || Py_REFCNT(frame) <= 0) {
            return "a frame of the target is none";
        }
        if (++frames > 100000000) {
            return "the target's frames go round in a circle";
        }
    }
#endif
    return NULL;
}

/* For debugging: what must be the same when the running flow is back: frame, data stack, exceptions, depth. */
void gr_thread_mark(PyThreadState *ts, size_t *out) {
#if !AT_LEAST(11)
    out[0] = (size_t)ts->frame;
#elif !AT_LEAST(13)
    out[0] = (size_t)ts->cframe->current_frame;
#else
    out[0] = (size_t)ts->current_frame;
#endif
#if HAS_DATA_STACK
    out[1] = (size_t)ts->datastack_top;
#else
    out[1] = 0;
#endif
    out[2] = (size_t)ts->exc_info;
    out[3] = (size_t)depth_of(ts);
}

/* The frames of a suspended flow, which will never run again, are about to go. A generator that runs there may live on, and
 * leads to nothing from now on. `clear`: what the frames hold is given up, where the interpreter says how much that is;
 * that may run any code. */
void gr_frames_drop(GrState *s, GrPeek peek, void *ctx, int clear) {
#if AT_LEAST(11)
    Frame *frame = s->frame, *previous, copy;
#if AT_LEAST(15)
    Frame **frames = NULL;
    size_t count = 0, room = 0;
#endif
    for (; frame; frame = previous) {
        peek(ctx, frame, &copy, ENTRY_SIZE);
        previous = copy.previous;
        if (copy.owner == FRAME_OWNED_BY_GENERATOR) {
            frame->previous = NULL;
        }
#if AT_LEAST(15)
        if (clear && copy.owner == FRAME_OWNED_BY_THREAD) {
            if (count == room) {
                room = room ? room * 2 : 16;
                Frame **more = realloc(frames, room * sizeof(Frame *));
                if (!more) {
                    clear = 0; /* what lies below is leaked */
                    continue;
                }
                frames = more;
            }
            frames[count++] = frame;
        }
#endif
    }
#if AT_LEAST(15)
    s->frame = NULL;
    for (size_t i = 0; i < count; i++) {
        frame = frames[i];
        _PyStackRef *bottom = frame->localsplus, *top = frame->stackpointer;
        frame->stackpointer = bottom;
        while (top && top > bottom) {
            PyStackRef_CLEAR(*--top);
        }
        Py_CLEAR(frame->f_locals);
        Py_CLEAR(frame->frame_obj);
        PyStackRef_CLEAR(frame->f_funcobj);
        PyStackRef_CLEAR(frame->f_executable);
    }
    free(frames);
#endif
#else
    (void)s, (void)peek, (void)ctx, (void)clear;
#endif
}

#if !AT_LEAST(14)
/* Whether what lies at `args` on a frame's stack, and right below, was pushed by the frame itself. Code in between, like that of
 * `functools.partial`, may have put things there for the time of its call that it does not own. Then the callable is not
 * where the evaluator has it: a bound method right below, or a method and what it is called on. */
static int owns_call(PyObject **args, PyObject **low, PyTypeObject *type) {
    PyObject *self = args[-1], *method = args - 1 > low ? args[-2] : NULL;
    if (!self) {
        return 0;
    }
    if (PyCFunction_Check(self)) {
        return PyCFunction_GET_SELF(self) && PyObject_TypeCheck(PyCFunction_GET_SELF(self), type);
    }
    return method && Py_IS_TYPE(method, &PyMethodDescr_Type) && PyObject_TypeCheck(self, type);
}
#endif

/* A flow that is suspended in a call of one of `type`'s methods, with `n` arguments at `args`, will never run again: takes
 * from its innermost frame what that frame holds for the call. Answers how many references `out` got, at most `n + 2`.
 * Only what certainly is that frame's own is taken. */
int gr_frames_take_call(GrState *s, PyTypeObject *type, PyObject **args, int n, PyObject **out) {
    int taken = 0;
#if AT_LEAST(14)
    Frame *frame = s->frame;
    if (!frame || frame->owner != FRAME_OWNED_BY_THREAD || !frame->stackpointer) {
        return 0;
    }
    (void)type, (void)args;
    PyCodeObject *code = (PyCodeObject *)PyStackRef_AsPyObjectBorrow(frame->f_executable);
    _PyStackRef *bottom = frame->localsplus + code->co_nlocalsplus;
    while (frame->stackpointer > bottom && taken < n + 2) {
        _PyStackRef ref = *--frame->stackpointer;
        if (!PyStackRef_IsNull(ref)) {
            out[taken++] = PyStackRef_AsPyObjectSteal(ref);
        }
    }
    return taken;
#else
#if AT_LEAST(11)
    Frame *frame = s->frame;
    if (!frame || !args || frame->owner != FRAME_OWNED_BY_THREAD) {
        return 0;
    }
#if AT_LEAST(13)
    PyCodeObject *code = (PyCodeObject *)frame->f_executable;
#else
    PyCodeObject *code = frame->f_code;
#endif
    PyObject **low = frame->localsplus + code->co_nlocalsplus, **high = low + code->co_stacksize;
#else
    if (!s->frame || !args) {
        return 0;
    }
    PyObject **low = s->frame->f_valuestack, **high = low + s->frame->f_code->co_stacksize;
#endif
    if (args <= low || args + n > high || !owns_call(args, low, type)) {
        return 0;
    }
    for (PyObject **at = args - 1; at < args + n; at++) {
        if (*at) {
            out[taken++] = *at;
            *at = NULL;
        }
    }
    return taken;
#endif
}
