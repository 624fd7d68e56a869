/* The types and the method tables of `greenlet.stackless`, in the interpreter's own structs. What they point to is in Rust
 * (src/stackless/). Here is nothing that knows what a tasklet is.
 *
 * The types are made on the heap, since programs that were written for Stackless replace their methods.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <structmember.h>

#include "state.h"

/* How both objects begin; all else is Rust's. */
typedef struct {
    PyObject_HEAD
    PyObject *weakreflist;
} Object;

extern const size_t GR_TASKLET_SIZE, GR_CHANNEL_SIZE;

#define FAST(function) ((PyCFunction)(void (*)(void))(function))

PyObject *sl_tasklet_new(PyTypeObject *, PyObject *, PyObject *);
int sl_tasklet_init(PyObject *, PyObject *, PyObject *);
PyObject *sl_tasklet_call(PyObject *, PyObject *, PyObject *);
void sl_tasklet_finalize(PyObject *);
void sl_tasklet_dealloc(PyObject *);
int sl_tasklet_traverse(PyObject *, visitproc, void *);
int sl_tasklet_clear(PyObject *);
PyObject *sl_tasklet_repr(PyObject *);
PyObject *sl_tasklet_bind(PyObject *, PyObject *, PyObject *);
PyObject *sl_tasklet_run(PyObject *, PyObject *);
PyObject *sl_tasklet_switch(PyObject *, PyObject *);
PyObject *sl_tasklet_insert(PyObject *, PyObject *);
PyObject *sl_tasklet_remove(PyObject *, PyObject *);
PyObject *sl_tasklet_kill(PyObject *, PyObject *, PyObject *);
PyObject *sl_tasklet_throw(PyObject *, PyObject *, PyObject *);
PyObject *sl_tasklet_raise_exception(PyObject *, PyObject *);
PyObject *sl_tasklet_bind_thread(PyObject *, PyObject *);
PyObject *sl_tasklet_set_atomic(PyObject *, PyObject *);
PyObject *sl_tasklet_set_ignore_nesting(PyObject *, PyObject *);
PyObject *sl_tasklet_set_context(PyObject *, PyObject *);
PyObject *sl_tasklet_context_run(PyObject *, PyObject *, PyObject *);
PyObject *sl_refuse_pickle(PyObject *, PyObject *);
PyObject *sl_tasklet_get(PyObject *, void *);
PyObject *sl_tasklet_get_tempval(PyObject *, void *);
int sl_tasklet_set_tempval(PyObject *, PyObject *, void *);
int sl_tasklet_set_block_trap(PyObject *, PyObject *, void *);
int sl_tasklet_set_tracer(PyObject *, PyObject *, void *);

PyObject *sl_channel_new(PyTypeObject *, PyObject *, PyObject *);
void sl_channel_dealloc(PyObject *);
int sl_channel_traverse(PyObject *, visitproc, void *);
int sl_channel_clear(PyObject *);
PyObject *sl_channel_repr(PyObject *);
PyObject *sl_channel_send(PyObject *, PyObject *);
PyObject *sl_channel_receive(PyObject *, PyObject *);
PyObject *sl_channel_next(PyObject *);
PyObject *sl_channel_send_exception(PyObject *, PyObject *);
PyObject *sl_channel_send_throw(PyObject *, PyObject *);
PyObject *sl_channel_send_sequence(PyObject *, PyObject *);
PyObject *sl_channel_open(PyObject *, PyObject *);
PyObject *sl_channel_close(PyObject *, PyObject *);
PyObject *sl_channel_get(PyObject *, void *);
int sl_channel_set(PyObject *, PyObject *, void *);

PyObject *sl_schedule(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *sl_schedule_remove(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *sl_run(PyObject *, PyObject *, PyObject *);
PyObject *sl_getcurrent(PyObject *, PyObject *);
PyObject *sl_getcurrentid(PyObject *, PyObject *);
PyObject *sl_getmain(PyObject *, PyObject *);
PyObject *sl_getruncount(PyObject *, PyObject *);
PyObject *sl_getthreads(PyObject *, PyObject *);
PyObject *sl_get_thread_info(PyObject *, PyObject *);
PyObject *sl_set_channel_callback(PyObject *, PyObject *);
PyObject *sl_get_channel_callback(PyObject *, PyObject *);
PyObject *sl_set_schedule_callback(PyObject *, PyObject *);
PyObject *sl_get_schedule_callback(PyObject *, PyObject *);
PyObject *sl_set_error_handler(PyObject *, PyObject *);
PyObject *sl_switch_trap(PyObject *, PyObject *);
PyObject *sl_enable_softswitch(PyObject *, PyObject *);

static PyMemberDef weak_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Object, weakreflist), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

/* ---- tasklet ------------------------------------------------------------------------------------------------ */

static PyMethodDef tasklet_methods[] = {
    {"bind", FAST(sl_tasklet_bind), METH_VARARGS | METH_KEYWORDS,
     "bind($self, func=None, args=None, kwargs=None)\n--\n\n"
     "Say what the tasklet will call. With arguments it is ready, but in no queue; setup() would put it there.\n"
     "Without any it forgets what it was bound to. Returns the tasklet."},
    {"setup", FAST(sl_tasklet_call), METH_VARARGS | METH_KEYWORDS,
     "setup($self, /, *args, **kwargs)\n--\n\n"
     "Give the arguments for the call and put the tasklet at the end of the runnables. Returns the tasklet."},
    {"run", sl_tasklet_run, METH_NOARGS,
     "run($self, /)\n--\n\n"
     "Run the tasklet now. The caller stays among the runnables and goes on when its turn comes."},
    {"switch", sl_tasklet_switch, METH_NOARGS,
     "switch($self, /)\n--\n\n"
     "Run the tasklet now, and pause the caller: somebody has to insert() or run() it."},
    {"insert", sl_tasklet_insert, METH_NOARGS,
     "insert($self, /)\n--\n\nPut the tasklet at the end of the runnables, unless it is blocked. Returns it."},
    {"remove", sl_tasklet_remove, METH_NOARGS,
     "remove($self, /)\n--\n\nTake the tasklet out of the runnables: it is paused. Returns it."},
    {"kill", FAST(sl_tasklet_kill), METH_VARARGS | METH_KEYWORDS,
     "kill($self, pending=False)\n--\n\n"
     "Raise TaskletExit in the tasklet, wherever it waits; see throw(). One that has ended stays so."},
    {"throw", FAST(sl_tasklet_throw), METH_VARARGS | METH_KEYWORDS,
     "throw($self, exc, val=None, tb=None, pending=False)\n--\n\n"
     "Raise an exception in the tasklet, wherever it waits. It runs at once, and the caller after it; if pending,\n"
     "it is only made runnable."},
    {"raise_exception", sl_tasklet_raise_exception, METH_VARARGS,
     "raise_exception($self, exc_class, /, *args)\n--\n\nRaise exc_class(*args) in the tasklet; see throw()."},
    {"bind_thread", sl_tasklet_bind_thread, METH_VARARGS,
     "bind_thread($self, thread_id=-1, /)\n--\n\n"
     "Give a tasklet that has not begun to another thread; by default to the calling one."},
    {"set_atomic", sl_tasklet_set_atomic, METH_O,
     "set_atomic($self, flag, /)\n--\n\nSet the flag `atomic`, and return what it was."},
    {"set_ignore_nesting", sl_tasklet_set_ignore_nesting, METH_O,
     "set_ignore_nesting($self, flag, /)\n--\n\nSet the flag `ignore_nesting`, and return what it was."},
    {"set_context", sl_tasklet_set_context, METH_O,
     "set_context($self, context, /)\n--\n\nSet the contextvars.Context in which the tasklet runs. Returns the tasklet."},
    {"context_run", FAST(sl_tasklet_context_run), METH_VARARGS | METH_KEYWORDS,
     "context_run($self, callable, /, *args, **kwargs)\n--\n\n"
     "Call callable(*args, **kwargs) here, but in the tasklet's context."},
    {"__reduce__", sl_refuse_pickle, METH_NOARGS, NULL},
    {"__reduce_ex__", sl_refuse_pickle, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

/* The numbers are those of `attrs::Tasklet`. */
static PyGetSetDef tasklet_getsets[] = {
    {"alive", sl_tasklet_get, NULL, "Whether it has something to run, and has not ended.", (void *)0},
    {"blocked", sl_tasklet_get, NULL, "Whether it waits in a channel.", (void *)1},
    {"paused", sl_tasklet_get, NULL, "Whether it is alive and in no queue.", (void *)2},
    {"scheduled", sl_tasklet_get, NULL, "Whether it is among the runnables or waits in a channel.", (void *)3},
    {"restorable", sl_tasklet_get, NULL, "Whether nothing of it is on the machine stack: it has not begun, or ended.",
     (void *)4},
    {"atomic", sl_tasklet_get, NULL, "What set_atomic() has set.", (void *)5},
    {"ignore_nesting", sl_tasklet_get, NULL, "What set_ignore_nesting() has set.", (void *)6},
    {"block_trap", sl_tasklet_get, sl_tasklet_set_block_trap, "Whether it is an error for it to block.", (void *)7},
    {"is_main", sl_tasklet_get, NULL, "Whether it is its thread's first one.", (void *)8},
    {"is_current", sl_tasklet_get, NULL, "Whether it is the one that runs in its thread.", (void *)9},
    {"next", sl_tasklet_get, NULL, "The next one in the queue that it is in, or None.", (void *)10},
    {"prev", sl_tasklet_get, NULL, "The previous one in the queue that it is in, or None.", (void *)11},
    {"thread_id", sl_tasklet_get, NULL, "The thread that it belongs to; -1 if that has ended.", (void *)12},
    {"frame", sl_tasklet_get, NULL, "Its innermost frame, or None.", (void *)13},
    {"recursion_depth", sl_tasklet_get, NULL, "How many Python calls deep it is.", (void *)14},
    {"nesting_level", sl_tasklet_get, NULL, "1 if it has something on the machine stack, else 0.", (void *)15},
    {"context_id", sl_tasklet_get, NULL, "The id() of the context in which it runs.", (void *)16},
    {"trace_function", sl_tasklet_get, sl_tasklet_set_tracer, "What sys.gettrace() returns in it.", (void *)17},
    {"profile_function", sl_tasklet_get, sl_tasklet_set_tracer, "What sys.getprofile() returns in it.", (void *)18},
    {"_channel", sl_tasklet_get, NULL, "The channel in which it waits, or None.", (void *)19},
    {"tempval", sl_tasklet_get_tempval, sl_tasklet_set_tempval,
     "What the tasklet gets when it goes on; what it will call, before it has its arguments.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot tasklet_slots[] = {
    {Py_tp_doc, "tasklet(func=None, args=None, kwargs=None)\n--\n\n"
                "A flow of control that the scheduler of its thread runs in turn with others.\n\n"
                "tasklet(func)(*args, **kwargs) makes one that will call func(*args, **kwargs), and makes it runnable."},
    {Py_tp_new, sl_tasklet_new},
    {Py_tp_init, sl_tasklet_init},
    {Py_tp_call, sl_tasklet_call},
    {Py_tp_finalize, sl_tasklet_finalize},
    {Py_tp_dealloc, sl_tasklet_dealloc},
    {Py_tp_traverse, sl_tasklet_traverse},
    {Py_tp_clear, sl_tasklet_clear},
    {Py_tp_repr, sl_tasklet_repr},
    {Py_tp_methods, tasklet_methods},
    {Py_tp_getset, tasklet_getsets},
    {Py_tp_members, weak_members},
    {0, NULL},
};

/* ---- channel ------------------------------------------------------------------------------------------------ */

static PyMethodDef channel_methods[] = {
    {"send", sl_channel_send, METH_O,
     "send($self, value, /)\n--\n\nGive a value to the one who has waited longest to receive, or wait for one."},
    {"receive", sl_channel_receive, METH_NOARGS,
     "receive($self, /)\n--\n\nTake the value of the one who has waited longest to send, or wait for one."},
    {"send_exception", sl_channel_send_exception, METH_VARARGS,
     "send_exception($self, exc, /, *args)\n--\n\nLike send(), but the receiver gets the exception exc(*args) raised."},
    {"send_throw", sl_channel_send_throw, METH_VARARGS,
     "send_throw($self, exc, val=None, tb=None, /)\n--\n\n"
     "Like send(), but the receiver gets an exception raised, with its traceback."},
    {"send_sequence", sl_channel_send_sequence, METH_O,
     "send_sequence($self, iterable, /)\n--\n\nSend what the iterable yields, one by one. Returns how many there were."},
    {"open", sl_channel_open, METH_NOARGS, "open($self, /)\n--\n\nAllow waiting again; see close()."},
    {"close", sl_channel_close, METH_NOARGS,
     "close($self, /)\n--\n\nFrom now on nobody may wait here who does not already: `closing`, and `closed` once\n"
     "nobody waits. Iteration ends when nobody waits to send."},
    {"__reduce__", sl_refuse_pickle, METH_NOARGS, NULL},
    {"__reduce_ex__", sl_refuse_pickle, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

/* The numbers are those of `attrs::Channel`. */
static PyGetSetDef channel_getsets[] = {
    {"balance", sl_channel_get, NULL, "How many wait to send; if negative, to receive.", (void *)0},
    {"queue", sl_channel_get, NULL, "The tasklet that has waited longest, or None.", (void *)1},
    {"closing", sl_channel_get, NULL, "Whether it was closed.", (void *)2},
    {"closed", sl_channel_get, NULL, "Whether it was closed and nobody waits.", (void *)3},
    {"preference", sl_channel_get, sl_channel_set,
     "Who goes on at once when two have met: -1 the receiver, 1 the sender, 0 the one that came second.", (void *)4},
    {"schedule_all", sl_channel_get, sl_channel_set,
     "Whether both wait for their turn when they have met. Overrides `preference`.", (void *)5},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot channel_slots[] = {
    {Py_tp_doc, "channel()\n--\n\n"
                "Where tasklets meet: one that sends and one that receives, each waiting for the other."},
    {Py_tp_new, sl_channel_new},
    {Py_tp_dealloc, sl_channel_dealloc},
    {Py_tp_traverse, sl_channel_traverse},
    {Py_tp_clear, sl_channel_clear},
    {Py_tp_repr, sl_channel_repr},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, sl_channel_next},
    {Py_tp_methods, channel_methods},
    {Py_tp_getset, channel_getsets},
    {Py_tp_members, weak_members},
    {0, NULL},
};

/* ---- the module --------------------------------------------------------------------------------------------- */

static PyMethodDef functions[] = {
    {"schedule", FAST(sl_schedule), METH_FASTCALL | METH_KEYWORDS,
     "schedule([retval])\n\nLet the next runnable tasklet run; the caller goes to the end of the queue. Returns retval,\n"
     "by default the current tasklet, unless somebody has set its tempval meanwhile."},
    {"schedule_remove", FAST(sl_schedule_remove), METH_FASTCALL | METH_KEYWORDS,
     "schedule_remove([retval])\n\nLike schedule(), but the caller is paused: somebody has to insert() it."},
    {"run", FAST(sl_run), METH_VARARGS | METH_KEYWORDS,
     "run($module, timeout=0, threadblock=False, soft=False, ignore_nesting=False, totaltimeout=False)\n--\n\n"
     "Run the other tasklets until none is runnable. With totaltimeout, until `timeout` times one has had its turn:\n"
     "then the one whose turn is next is returned, out of the queue, or left there if soft."},
    {"getcurrent", sl_getcurrent, METH_NOARGS, "getcurrent($module, /)\n--\n\nThe tasklet that runs."},
    {"getcurrentid", sl_getcurrentid, METH_NOARGS,
     "getcurrentid($module, /)\n--\n\nA number for the tasklet that runs; for a main one its thread's."},
    {"getmain", sl_getmain, METH_NOARGS, "getmain($module, /)\n--\n\nThe first tasklet of this thread."},
    {"getruncount", sl_getruncount, METH_NOARGS,
     "getruncount($module, /)\n--\n\nHow many tasklets are runnable, the current one included."},
    {"getthreads", sl_getthreads, METH_NOARGS, "getthreads($module, /)\n--\n\nThe ids of all threads, the main one first."},
    {"get_thread_info", sl_get_thread_info, METH_VARARGS,
     "get_thread_info($module, thread_id=-1, /)\n--\n\n"
     "A thread's main tasklet, its current one and how many are runnable; None, None and 0 if it has none."},
    {"set_channel_callback", sl_set_channel_callback, METH_O,
     "set_channel_callback($module, callback, /)\n--\n\n"
     "Have callback(channel, tasklet, sending, willblock) called before each send and receive; None ends it.\n"
     "Returns the previous one."},
    {"get_channel_callback", sl_get_channel_callback, METH_NOARGS,
     "get_channel_callback($module, /)\n--\n\nWhat set_channel_callback() has set, or None."},
    {"set_schedule_callback", sl_set_schedule_callback, METH_O,
     "set_schedule_callback($module, callback, /)\n--\n\n"
     "Have callback(previous, next) called before each switch of tasklets; None ends it. Returns the previous one."},
    {"get_schedule_callback", sl_get_schedule_callback, METH_NOARGS,
     "get_schedule_callback($module, /)\n--\n\nWhat set_schedule_callback() has set, or None."},
    {"set_error_handler", sl_set_error_handler, METH_O,
     "set_error_handler($module, handler, /)\n--\n\n"
     "Have handler(type, value, traceback) called for what tasklets do not catch, instead of raising it in the one that\n"
     "runs the scheduler; None ends it. Returns the previous one."},
    {"switch_trap", sl_switch_trap, METH_VARARGS,
     "switch_trap($module, change=0, /)\n--\n\n"
     "Add to a count of this thread; while it is not 0 no tasklet may switch to another. Returns what it was."},
    {"enable_softswitch", sl_enable_softswitch, METH_O,
     "enable_softswitch($module, flag, /)\n--\n\nAccepted for compatibility: there is one way to switch. Returns False."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "greenlet._greenlet.stackless",
    .m_doc = "The native part of `greenlet.stackless`; use that.",
    .m_size = -1,
    .m_methods = functions,
};

PyTypeObject *GrTasklet, *GrChannel;

static PyTypeObject *make(const char *name, size_t size, PyType_Slot *slots) {
    PyType_Spec spec = {
        .name = name,
        .basicsize = (int)size,
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
        .slots = slots,
    };
    PyObject *made = PyType_FromSpec(&spec);
    if (!made && !PyErr_Occurred()) {
        PyErr_NoMemory(); /* 3.12 does not say so when there is none for the name */
    }
    return (PyTypeObject *)made;
}

/* The module with both types, or null with an error. */
PyObject *sl_module_create(void) {
    if (!GrTasklet && !(GrTasklet = make("greenlet.stackless.tasklet", GR_TASKLET_SIZE, tasklet_slots))) {
        return NULL;
    }
    if (!GrChannel && !(GrChannel = make("greenlet.stackless.channel", GR_CHANNEL_SIZE, channel_slots))) {
        return NULL;
    }
    return PyModule_Create(&definition);
}

void sl_free(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    type->tp_free(object);
    Py_DECREF(type);
}

int sl_finalize_from_dealloc(PyObject *object) { return PyObject_CallFinalizerFromDealloc(object); }
