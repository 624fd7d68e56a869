/* An extension module that uses every function of the C API, from C and inside callbacks of C. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdlib.h>

#include "greenlet.h"

static PyObject *flags(PyObject *module, PyObject *g) {
    (void)module;
    return Py_BuildValue("iiii", PyGreenlet_Check(g), PyGreenlet_MAIN((PyGreenlet *)g),
                         PyGreenlet_STARTED((PyGreenlet *)g), PyGreenlet_ACTIVE((PyGreenlet *)g));
}

/* Each of the functions that take a greenlet, called with something else: how many set no error. */
static PyObject *misuse(PyObject *module, PyObject *object) {
    PyGreenlet *g = (PyGreenlet *)object;
    long wrong = 0;
    (void)module;
    wrong += PyGreenlet_MAIN(g) != -1 || !PyErr_Occurred();
    PyErr_Clear();
    wrong += PyGreenlet_STARTED(g) != -1 || !PyErr_Occurred();
    PyErr_Clear();
    wrong += PyGreenlet_ACTIVE(g) != -1 || !PyErr_Occurred();
    PyErr_Clear();
    wrong += PyGreenlet_GetParent(g) != NULL;
    PyErr_Clear();
    wrong += PyGreenlet_Switch(g, NULL, NULL) != NULL || !PyErr_Occurred();
    PyErr_Clear();
    wrong += PyGreenlet_Throw(g, PyExc_KeyError, NULL, NULL) != NULL || !PyErr_Occurred();
    PyErr_Clear();
    wrong += PyGreenlet_SetParent(g, g) != -1 || !PyErr_Occurred();
    PyErr_Clear();
    return PyLong_FromLong(wrong);
}

static PyObject *new_greenlet(PyObject *module, PyObject *args) {
    PyObject *run = NULL, *parent = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "|OO", &run, &parent)) {
        return NULL;
    }
    return (PyObject *)PyGreenlet_New(run, (PyGreenlet *)parent);
}

static PyObject *get_current(PyObject *module, PyObject *none) {
    (void)module, (void)none;
    return (PyObject *)PyGreenlet_GetCurrent();
}

static PyObject *get_parent(PyObject *module, PyObject *g) {
    (void)module;
    PyGreenlet *parent = PyGreenlet_GetParent((PyGreenlet *)g);
    if (parent || PyErr_Occurred()) {
        return (PyObject *)parent;
    }
    Py_RETURN_NONE;
}

static PyObject *set_parent(PyObject *module, PyObject *args) {
    PyObject *g, *parent;
    (void)module;
    if (!PyArg_ParseTuple(args, "OO", &g, &parent) ||
        PyGreenlet_SetParent((PyGreenlet *)g, (PyGreenlet *)parent) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* do_switch(g, args or None, kwargs or None) */
static PyObject *do_switch(PyObject *module, PyObject *all) {
    PyObject *g, *args, *kwargs;
    (void)module;
    if (!PyArg_ParseTuple(all, "OOO", &g, &args, &kwargs)) {
        return NULL;
    }
    return PyGreenlet_Switch((PyGreenlet *)g, args == Py_None ? NULL : args, kwargs == Py_None ? NULL : kwargs);
}

/* do_throw(g, type, value or None) */
static PyObject *do_throw(PyObject *module, PyObject *all) {
    PyObject *g, *type, *value;
    (void)module;
    if (!PyArg_ParseTuple(all, "OOO", &g, &type, &value)) {
        return NULL;
    }
    return PyGreenlet_Throw((PyGreenlet *)g, type, value == Py_None ? NULL : value, NULL);
}

static PyObject *classes(PyObject *module, PyObject *none) {
    (void)module, (void)none;
    return Py_BuildValue("OOO", &PyGreenlet_Type, PyExc_GreenletError, PyExc_GreenletExit);
}

/* A comparison of qsort that switches to a greenlet with both numbers, and goes by what comes back. What is on the C
 * stack meanwhile must be there again: a word on each side of the call is checked. */
static PyGreenlet *judge;
static int failed;

static int compare(const void *a, const void *b) {
    volatile size_t before = (size_t)a * 31 + 7;
    PyObject *args = Py_BuildValue("ii", *(const int *)a, *(const int *)b);
    volatile double after = *(const int *)b * 0.5;
    PyObject *answer = args && !failed ? PyGreenlet_Switch(judge, args, NULL) : NULL;
    long order = answer ? PyLong_AsLong(answer) : 0;
    Py_XDECREF(args);
    if (!answer || before != (size_t)a * 31 + 7 || after != *(const int *)b * 0.5) {
        failed = 1;
    }
    Py_XDECREF(answer);
    return (int)order;
}

static PyObject *sort(PyObject *module, PyObject *args) {
    PyObject *list, *g;
    (void)module;
    if (!PyArg_ParseTuple(args, "OO", &list, &g)) {
        return NULL;
    }
    Py_ssize_t count = PyList_Size(list);
    int *numbers = malloc(sizeof(int) * (count + 1));
    for (Py_ssize_t i = 0; i < count; i++) {
        numbers[i] = (int)PyLong_AsLong(PyList_GetItem(list, i));
    }
    judge = (PyGreenlet *)g;
    failed = 0;
    qsort(numbers, count, sizeof(int), compare);
    PyObject *sorted = failed ? NULL : PyList_New(count);
    for (Py_ssize_t i = 0; sorted && i < count; i++) {
        PyList_SetItem(sorted, i, PyLong_FromLong(numbers[i]));
    }
    free(numbers);
    if (!sorted && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_RuntimeError, "the C stack was not what it had been");
    }
    return sorted;
}

/* An object whose struct begins with a greenlet's, as those of other extension modules do. */
typedef struct {
    PyGreenlet greenlet;
    long number;
} Derived;

static PyObject *get_number(PyObject *self, void *closure) {
    (void)closure;
    return PyLong_FromLong(((Derived *)self)->number);
}

static int set_number(PyObject *self, PyObject *value, void *closure) {
    (void)closure;
    ((Derived *)self)->number = PyLong_AsLong(value);
    return PyErr_Occurred() ? -1 : 0;
}

static PyGetSetDef derived_getsets[] = {
    {"number", get_number, set_number, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyTypeObject DerivedType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "probe.Derived",
    .tp_basicsize = sizeof(Derived),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_getset = derived_getsets,
};

static PyMethodDef methods[] = {
    {"flags", flags, METH_O, NULL},
    {"misuse", misuse, METH_O, NULL},
    {"new", new_greenlet, METH_VARARGS, NULL},
    {"get_current", get_current, METH_NOARGS, NULL},
    {"get_parent", get_parent, METH_O, NULL},
    {"set_parent", set_parent, METH_VARARGS, NULL},
    {"switch", do_switch, METH_VARARGS, NULL},
    {"throw", do_throw, METH_VARARGS, NULL},
    {"classes", classes, METH_NOARGS, NULL},
    {"sort", sort, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "probe", .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC PyInit_probe(void) {
    PyGreenlet_Import();
    if (!_PyGreenlet_API) {
        return NULL;
    }
    PyObject *module = PyModule_Create(&definition);
    DerivedType.tp_base = &PyGreenlet_Type;
    if (!module || PyType_Ready(&DerivedType) < 0) {
        return NULL;
    }
    Py_INCREF(&DerivedType);
    PyModule_AddObject(module, "Derived", (PyObject *)&DerivedType);
    return module;
}
