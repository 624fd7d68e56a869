/* An allocator whose raw domain (where greenlets and slices have their memory from) fails on demand; for
 * test_out_of_memory.py. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

static PyMemAllocatorEx below;
static long seen, first, last; /* those from `first` up to `last` fail, counted from 0 */

static int fails(void) {
    long index = seen++;
    return index >= first && index < last;
}

static void *failing_malloc(void *ctx, size_t size) {
    return fails() ? NULL : below.malloc(below.ctx, size);
}
static void *failing_calloc(void *ctx, size_t count, size_t size) {
    return fails() ? NULL : below.calloc(below.ctx, count, size);
}
static void *failing_realloc(void *ctx, void *block, size_t size) {
    return fails() ? NULL : below.realloc(below.ctx, block, size);
}
static void failing_free(void *ctx, void *block) { below.free(below.ctx, block); }

static PyObject *begin(PyObject *module, PyObject *args) {
    if (!PyArg_ParseTuple(args, "ll", &first, &last)) {
        return NULL;
    }
    seen = 0;
    PyMemAllocatorEx failing = {NULL, failing_malloc, failing_calloc, failing_realloc, failing_free};
    PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &below);
    PyMem_SetAllocator(PYMEM_DOMAIN_RAW, &failing);
    Py_RETURN_NONE;
}

/* Answers how many allocations there were. */
static PyObject *end(PyObject *module, PyObject *none) {
    PyMem_SetAllocator(PYMEM_DOMAIN_RAW, &below);
    return PyLong_FromLong(seen);
}

static PyMethodDef functions[] = {
    {"begin", begin, METH_VARARGS, NULL},
    {"end", end, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "failing", .m_size = -1, .m_methods = functions};
PyMODINIT_FUNC PyInit_failing(void) { return PyModule_Create(&definition); }
