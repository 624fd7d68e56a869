/* The static type objects and the module definition: tables of the interpreter's own structs, so that their layout is
 * right for every version. What they point to is in Rust (src/), but for a few macros that Rust cannot call.
 *
 * The types are static and begin with the struct that greenlet.h shows, because extension modules that were compiled
 * long ago embed it and inherit from it.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <structmember.h>

#include "state.h"

typedef struct {
    PyObject_HEAD
    PyObject *weakreflist;
    PyObject *dict;
    void *imp;
} Object;

/* In src/. */
PyObject *gr_new(PyTypeObject *, PyObject *, PyObject *);
PyObject *gr_new_unswitchable(PyTypeObject *, PyObject *, PyObject *);
PyObject *gr_vectorcall(PyObject *, PyObject *const *, size_t, PyObject *);
int gr_init(PyObject *, PyObject *, PyObject *);
void gr_dealloc(PyObject *);
int gr_traverse(PyObject *, visitproc, void *);
int gr_clear(PyObject *);
int gr_is_gc(PyObject *);
void gr_finalize(PyObject *);
PyObject *gr_repr(PyObject *);
int gr_bool(PyObject *);
PyObject *gr_switch(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *gr_throw(PyObject *, PyObject *const *, Py_ssize_t);
PyObject *gr_getstate(PyObject *, PyObject *);
PyObject *gr_get_dict(PyObject *, void *);
int gr_set_dict(PyObject *, PyObject *, void *);
PyObject *gr_get_run(PyObject *, void *);
int gr_set_run(PyObject *, PyObject *, void *);
PyObject *gr_get_parent(PyObject *, void *);
int gr_set_parent(PyObject *, PyObject *, void *);
PyObject *gr_get_frame(PyObject *, void *);
PyObject *gr_get_context(PyObject *, void *);
int gr_set_context(PyObject *, PyObject *, void *);
PyObject *gr_get_dead(PyObject *, void *);
PyObject *gr_get_stack_saved(PyObject *, void *);
PyObject *gr_get_refuse(PyObject *, void *);
int gr_set_refuse(PyObject *, PyObject *, void *);

PyObject *gr_mod_getcurrent(PyObject *, PyObject *);
PyObject *gr_mod_settrace(PyObject *, PyObject *);
PyObject *gr_mod_gettrace(PyObject *, PyObject *);
PyObject *gr_mod_set_thread_local(PyObject *, PyObject *const *, Py_ssize_t);
PyObject *gr_mod_pending_cleanups(PyObject *, PyObject *);
PyObject *gr_mod_total_mains(PyObject *, PyObject *);
PyObject *gr_mod_clocks(PyObject *, PyObject *);
PyObject *gr_mod_enable_cleanup(PyObject *, PyObject *);

static PyMethodDef methods[] = {
    {"switch", (PyCFunction)(void (*)(void))gr_switch, METH_FASTCALL | METH_KEYWORDS,
     "switch(*args, **kwargs)\n\n"
     "Suspend the current greenlet and run this one.\n\n"
     "The first switch calls run(*args, **kwargs) in it. Every later one makes the switch() in which it\n"
     "is suspended return what was passed: () for nothing, a single argument itself, else the tuple of\n"
     "arguments, the dictionary of keywords, or a pair of both. Switching to a dead greenlet goes to its\n"
     "parent; switching to the current one returns the arguments.\n\n"
     "Returns what somebody passes who switches back; raises what somebody throws."},
    {"throw", (PyCFunction)(void (*)(void))gr_throw, METH_FASTCALL,
     "throw([type, [value, [traceback]]])\n\n"
     "Run this greenlet and raise the exception there, where it is suspended; GreenletExit by default.\n"
     "One that has not begun dies of it; a dead one passes it to its parent (GreenletExit is returned)."},
    {"__getstate__", (PyCFunction)gr_getstate, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getsets[] = {
    {"__dict__", gr_get_dict, gr_set_dict, NULL, NULL},
    {"run", gr_get_run, gr_set_run, "What the greenlet calls when it begins. Gone once it has.", NULL},
    {"parent", gr_get_parent, gr_set_parent, "Where control goes when the greenlet ends.", NULL},
    {"gr_frame", gr_get_frame, NULL, "The innermost frame of a suspended greenlet, or None.", NULL},
    {"gr_context", gr_get_context, gr_set_context, "The contextvars.Context in which the greenlet runs, or None.", NULL},
    {"dead", gr_get_dead, NULL, "Whether the greenlet has ended, or its thread has.", NULL},
    {"_stack_saved", gr_get_stack_saved, NULL,
     "How many bytes of a suspended greenlet are kept on the heap: stack and interpreter state.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyNumberMethods number = {.nb_bool = gr_bool};

#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE)

PyTypeObject GrType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "greenlet.greenlet",
    .tp_basicsize = sizeof(Object),
    .tp_dealloc = gr_dealloc,
    .tp_repr = gr_repr,
    .tp_as_number = &number,
    .tp_flags = FLAGS,
    .tp_doc = "greenlet(run=None, parent=None) -> greenlet\n\n"
              "A flow of control of its own, which has not begun.\n\n"
              " - *run* -- What it calls when it is switched to for the first time.\n"
              " - *parent* -- Where control goes when it ends. By default the current greenlet.",
    .tp_traverse = gr_traverse,
    .tp_clear = gr_clear,
    .tp_weaklistoffset = offsetof(Object, weakreflist),
    .tp_methods = methods,
    .tp_getset = getsets,
    .tp_dictoffset = offsetof(Object, dict),
    .tp_init = gr_init,
    .tp_alloc = PyType_GenericAlloc,
    .tp_new = gr_new,
    .tp_free = PyObject_GC_Del,
    .tp_vectorcall = gr_vectorcall,
#if PY_VERSION_HEX < 0x030F0000
    .tp_is_gc = gr_is_gc,
#else
    .tp_finalize = gr_finalize,
#endif
};

static PyGetSetDef refuse_getsets[] = {
    {"force_switch_error", gr_get_refuse, gr_set_refuse, NULL, (void *)0},
    {"force_slp_switch_error", gr_get_refuse, gr_set_refuse, NULL, (void *)1},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject GrUnswitchableType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "greenlet._greenlet.UnswitchableGreenlet",
    .tp_basicsize = sizeof(Object),
    .tp_dealloc = gr_dealloc,
    .tp_flags = FLAGS,
    .tp_doc = "For tests: a greenlet whose switches fail when told to.",
    .tp_traverse = gr_traverse,
    .tp_clear = gr_clear,
    .tp_getset = refuse_getsets,
    .tp_base = &GrType,
    .tp_init = gr_init,
    .tp_alloc = PyType_GenericAlloc,
    .tp_new = gr_new_unswitchable,
    .tp_free = PyObject_GC_Del,
#if PY_VERSION_HEX < 0x030F0000
    .tp_is_gc = gr_is_gc,
#else
    .tp_finalize = gr_finalize,
#endif
};

#if PY_VERSION_HEX < 0x030D0000
static PyObject *trash_nesting(PyObject *module, PyObject *none) {
    (void)module, (void)none;
    return PyLong_FromLong(gr_thread_trash_nesting(PyThreadState_Get()));
}
#endif

/* Not METH_O: a wrong number of arguments is worded as by the reference. */
static PyObject *settrace(PyObject *module, PyObject *args) {
    PyObject *callback;
    return PyArg_ParseTuple(args, "O", &callback) ? gr_mod_settrace(module, callback) : NULL;
}

PyObject *gr_mod_stackless(PyObject *, PyObject *);

static PyMethodDef functions[] = {
    {"getcurrent", gr_mod_getcurrent, METH_NOARGS, "getcurrent() -> greenlet\n\nThe greenlet that runs."},
    {"settrace", settrace, METH_VARARGS,
     "settrace(callback) -> object\n\n"
     "Have callback(event, (origin, target)) called after each switch ('switch') and throw ('throw') of\n"
     "this thread, in the target; None ends it. Returns the previous callback, or None."},
    {"gettrace", gr_mod_gettrace, METH_NOARGS, "gettrace() -> object\n\nThe callback set by settrace(), or None."},
    {"set_thread_local", (PyCFunction)(void (*)(void))gr_mod_set_thread_local, METH_FASTCALL,
     "set_thread_local(key, value)\n\nPut a value into the thread state's dictionary. For tests."},
    {"get_pending_cleanup_count", gr_mod_pending_cleanups, METH_NOARGS,
     "get_pending_cleanup_count() -> int\n\nHow many ended threads wait to be cleaned up after. For tests."},
    {"get_total_main_greenlets", gr_mod_total_mains, METH_NOARGS,
     "get_total_main_greenlets() -> int\n\nHow many main greenlets there are. For tests."},
    {"get_clocks_used_doing_optional_cleanup", gr_mod_clocks, METH_NOARGS,
     "get_clocks_used_doing_optional_cleanup() -> int or None\n\n"
     "Processor time spent on looking for garbage after ended threads: always 0 here, since nothing has to\n"
     "be looked for; None if it was disabled."},
    {"enable_optional_cleanup", gr_mod_enable_cleanup, METH_O,
     "enable_optional_cleanup(bool)\n\nAccepted for compatibility."},
    {"_stackless", gr_mod_stackless, METH_NOARGS, "_stackless() -> module\n\nWhat `greenlet.stackless` is made of."},
#if PY_VERSION_HEX < 0x030D0000
    {"get_tstate_trash_delete_nesting", trash_nesting, METH_NOARGS,
     "get_tstate_trash_delete_nesting() -> int\n\nHow deep deallocations are nested. For tests."},
#endif
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "greenlet._greenlet",
    .m_doc = "The greenlet extension module; use the package `greenlet`.",
    .m_size = -1,
    .m_methods = functions,
};

/* The module with both types, ready; null with an error. */
PyObject *gr_module_create(void) {
    if (PyType_Ready(&GrType) < 0 || PyType_Ready(&GrUnswitchableType) < 0) {
        return NULL;
    }
    return PyModule_Create(&definition);
}

/* Attributes of a static type, before anybody has used it. */
int gr_type_set(const char *name, PyObject *value) { return PyDict_SetItemString(GrType.tp_dict, name, value); }

long gr_clocks_per_sec(void) {
#ifdef CLOCKS_PER_SEC
    return (long)CLOCKS_PER_SEC;
#else
    return 1000000;
#endif
}

/* Sets the error that `object` words for a class with abstract methods. */
PyObject *gr_refuse_abstract(PyTypeObject *type) {
    PyObject *nothing = PyTuple_New(0);
    PyObject *made = nothing ? PyBaseObject_Type.tp_new(type, nothing, NULL) : NULL;
    Py_XDECREF(nothing);
    if (made) {
        Py_DECREF(made);
        PyErr_SetString(PyExc_TypeError, "an abstract class has no objects");
    }
    return NULL;
}

/* Whether a class that inherits has a method for the end of its objects. */
int gr_has_finalizer(PyObject *greenlet) {
    PyTypeObject *type = Py_TYPE(greenlet);
    return type->tp_finalize != GrType.tp_finalize || type->tp_del;
}

PyObject *gr_alloc(PyTypeObject *type) { return type->tp_alloc(type, 0); }
const char *gr_type_name(PyObject *object) { return Py_TYPE(object)->tp_name; }
int gr_is_traceback(PyObject *object) { return PyTraceBack_Check(object); }
int gr_is_context(PyObject *object) { return PyContext_CheckExact(object); }


/* Deallocation was called: the object lives again for a while. */
void gr_revive(PyObject *object) { Py_SET_REFCNT(object, 1); }

/* The end of that while. 0: somebody holds it now, and it lives on. */
int gr_unrevive(PyObject *object) {
    Py_ssize_t count = Py_REFCNT(object) - 1;
    Py_SET_REFCNT(object, count);
    if (count == 0) {
        return 1;
    }
#ifdef Py_REF_DEBUG
    _Py_NewReference(object); /* counted as gone when its dealloc was called */
    Py_SET_REFCNT(object, count);
#endif
    if (PyType_HasFeature(Py_TYPE(object), Py_TPFLAGS_HEAPTYPE)) {
        Py_INCREF(Py_TYPE(object)); /* subtype_dealloc gives it up when we return */
    }
    if (!PyObject_GC_IsTracked(object)) {
        PyObject_GC_Track(object);
    }
    return 0;
}
