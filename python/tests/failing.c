/* Allocators that fail on demand; for test_out_of_memory.py. It must never know who asks for what, only whether it is us.
 *
 * There are two. `begin` puts one under the interpreter's raw domain, where greenlets and slices have their memory from, and all
 * that the interpreter itself asks for there fails as well. `begin_ours` needs this file to be preloaded (LD_PRELOAD), with the
 * GNU C library and PYTHONMALLOC=malloc, so that everybody's memory comes from here; what fails is then what
 * our extension asks for, of whomever: by itself, or by a call of the interpreter that is not Python code.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

static long seen, first, last; /* those from `first` up to `last` fail, counted from 0 */

static int fails(void) {
    long index = seen++;
    return index >= first && index < last;
}

/* Not in a tuple: the next one would be that one's memory. */
static int take_range(PyObject *const *args, Py_ssize_t count) {
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "from which and up to which");
        return -1;
    }
    first = PyLong_AsLong(args[0]);
    last = PyLong_AsLong(args[1]);
    return PyErr_Occurred() ? -1 : 0;
}

/* ---- the raw domain ----------------------------------------------------------------------------------------- */

static PyMemAllocatorEx below;

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

static PyObject *begin(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (take_range(args, count) < 0) {
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

/* ---- the C library's functions ------------------------------------------------------------------------------ */

#ifdef __GLIBC__
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);

typedef struct {
    char *from, *to;
} Range;

static int is_in(Range range, void *at) { return (char *)at >= range.from && (char *)at < range.to; }

/* Our extension's code, the interpreter's, that of the C library and of its loader (who has threads' storage); and the functions that run Python code: what they ask for
 * is the program's. */
static Range ours, interpreter, library, loader, itself;
static char *base;
static Range others[8];
static int other_count;
/* And where these call what has no name for the linker: in an interpreter whose instructions are functions that call each other. */
static void *entries[64];
static int entry_count;
static int sites = -1; /* a file for the places in the extension whose requests have failed */

static __thread int armed __attribute__((tls_model("initial-exec")));

/* The place in the extension that asks, if it is the extension. */
static void *asked_by(void) {
    void *frames[64];
    int count = backtrace(frames, 64);
    for (int i = 1; i < count; i++) {
        if (is_in(ours, frames[i])) {
            return frames[i];
        }
        for (int k = 0; k < other_count; k++) {
            if (is_in(others[k], frames[i])) {
                return NULL;
            }
        }
        for (int k = 0; k < entry_count; k++) {
            if (entries[k] == frames[i]) {
                return NULL;
            }
        }
        if (!is_in(interpreter, frames[i]) && !is_in(library, frames[i]) && !is_in(loader, frames[i]) && !is_in(itself, frames[i])) {
            return NULL; /* another extension */
        }
    }
    return NULL;
}

static int refused(void) {
    if (!armed) {
        return 0;
    }
    armed = 0;
    void *site = asked_by();
    int refuse = site && fails();
    if (refuse && sites >= 0) {
        size_t offset = (char *)site - base;
        refuse = write(sites, &offset, sizeof offset) == sizeof offset;
    }
    armed = 1;
    if (refuse) {
        errno = ENOMEM;
    }
    return refuse;
}

void *malloc(size_t size) { return refused() ? NULL : __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return refused() ? NULL : __libc_calloc(count, size); }
void *realloc(void *block, size_t size) { return refused() ? NULL : __libc_realloc(block, size); }
void *aligned_alloc(size_t align, size_t size) { return refused() ? NULL : __libc_memalign(align, size); }
int posix_memalign(void **out, size_t align, size_t size) {
    void *block = refused() ? NULL : __libc_memalign(align, size);
    if (!block) {
        return ENOMEM;
    }
    *out = block;
    return 0;
}

static int look(struct dl_phdr_info *info, size_t size, void *path) {
    const char *file = info->dlpi_name ? strrchr(info->dlpi_name, '/') : NULL;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_LOAD || !(info->dlpi_phdr[i].p_flags & PF_X)) {
            continue;
        }
        char *from = (char *)info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        Range code = {from, from + info->dlpi_phdr[i].p_memsz};
        if (info->dlpi_name && strcmp(info->dlpi_name, path) == 0) {
            base = (char *)info->dlpi_addr;
            ours = code;
        } else if (is_in(code, (void *)PyObject_Call)) {
            interpreter = code;
        } else if (is_in(code, (void *)__libc_malloc)) {
            library = code;
        } else if (file && strncmp(file, "/ld", 3) == 0) { /* ld-linux-x86-64.so.2, ld64.so.1 */
            loader = code;
        } else if (is_in(code, (void *)look)) {
            itself = code;
        }
    }
    return 0;
}

/* Called by Python code that `learn` has called: what lies between the two runs Python code. */
static void *marked[64];
static int marked_count;

static PyObject *mark(PyObject *module, PyObject *none) {
    marked_count = backtrace(marked, 64);
    Py_RETURN_NONE;
}

/* Notes the places in the interpreter from which Python code is run, however it is called: what is the same for two ways. */
static int learn_entries(PyObject *module, PyObject *call) {
    PyObject *function = PyObject_GetAttrString(module, "mark"), *result = function ? PyObject_CallOneArg(call, function) : NULL;
    void *first_way[64];
    int count = marked_count;
    memcpy(first_way, marked, sizeof first_way);
    if (result) {
        Py_DECREF(result);
        PyObject *args = PyTuple_Pack(1, function);
        result = args ? PyObject_Call(call, args, NULL) : NULL;
        Py_XDECREF(args);
    }
    Py_XDECREF(function);
    if (!result) {
        return -1;
    }
    Py_DECREF(result);
    entry_count = 0;
    for (int i = 0; i < count && !(i && is_in(itself, first_way[i])); i++) {
        for (int k = 0; k < marked_count; k++) {
            if (marked[k] == first_way[i] && is_in(interpreter, marked[k])) {
                entries[entry_count++] = marked[k];
                break;
            }
        }
    }
    return 0;
}

/* The extension's file, and a function that calls its argument. (So that the memory for its own import can fail, it may be loaded already without having been imported.) */
static PyObject *learn(PyObject *module, PyObject *args) {
    const char *path;
    PyObject *call;
    if (!PyArg_ParseTuple(args, "sO", &path, &call)) {
        return NULL;
    }
    void *frames[8];
    backtrace(frames, 8); /* for the first time: it loads a library */
    if (!dlopen(path, RTLD_NOW) || dl_iterate_phdr(look, (void *)path) || !ours.from) {
        PyErr_SetString(PyExc_RuntimeError, "the extension is not there");
        return NULL;
    }
    if ((void *)dlsym(RTLD_DEFAULT, "malloc") != (void *)malloc) {
        PyErr_SetString(PyExc_RuntimeError, "this is not preloaded");
        return NULL;
    }
    other_count = 0;
    for (const char *const *name = (const char *const[]){"_PyEval_EvalFrameDefault", "_PyEval_Vector", "PyEval_EvalCode",
                                                         "_PyFunction_Vectorcall", NULL};
         *name; name++) {
        void *function = dlsym(RTLD_DEFAULT, *name);
        Dl_info info;
        const ElfW(Sym) * symbol;
        if (function && dladdr1(function, &info, (void **)&symbol, RTLD_DL_SYMENT) && symbol) {
            others[other_count++] = (Range){info.dli_saddr, (char *)info.dli_saddr + symbol->st_size};
        }
    }
    const char *to = getenv("FAILING_SITES");
    if (to && sites < 0) {
        sites = open(to, O_WRONLY | O_APPEND | O_CREAT, 0666);
    }
    if (learn_entries(module, call) < 0) {
        return NULL;
    }
    if (!other_count || !entry_count) {
        PyErr_SetString(PyExc_RuntimeError, "who runs Python code cannot be told");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *begin_ours(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (take_range(args, count) < 0) {
        return NULL;
    }
    seen = 0;
    armed = 1;
    Py_RETURN_NONE;
}

static PyObject *end_ours(PyObject *module, PyObject *none) {
    armed = 0;
    return PyLong_FromLong(seen);
}
#endif

static PyMethodDef functions[] = {
    {"begin", (PyCFunction)(void (*)(void))begin, METH_FASTCALL, NULL},
    {"end", end, METH_NOARGS, NULL},
#ifdef __GLIBC__
    {"learn", learn, METH_VARARGS, NULL},
    {"mark", mark, METH_NOARGS, NULL},
    {"begin_ours", (PyCFunction)(void (*)(void))begin_ours, METH_FASTCALL, NULL},
    {"end_ours", end_ours, METH_NOARGS, NULL},
#endif
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "failing", .m_size = -1, .m_methods = functions};
PyMODINIT_FUNC PyInit_failing(void) { return PyModule_Create(&definition); }
