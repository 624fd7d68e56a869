// An extension module in C++: exceptions that are thrown, in flight and caught while greenlets switch.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdexcept>
#include <string>

#include "greenlet.h"

namespace {

// What a greenlet's Python error is while it crosses C++ frames.
struct PythonError {};

int alive = 0;

// Counts those that were made and not destroyed.
struct Counted {
    Counted() { alive++; }
    Counted(const Counted &) { alive++; }
    ~Counted() { alive--; }
};

// Its destructor switches: it runs when the stack is unwound.
struct SwitchesAtTheEnd {
    PyGreenlet *to;
    Counted counted;
    ~SwitchesAtTheEnd() { Py_XDECREF(PyGreenlet_Switch(to, nullptr, nullptr)); }
};

PyObject *go(PyGreenlet *g) {
    PyObject *value = PyGreenlet_Switch(g, nullptr, nullptr);
    if (!value) {
        throw PythonError();
    }
    return value;
}

long down(int depth, PyGreenlet *g, long number) {
    Counted counted;
    if (depth == 0) {
        Py_DECREF(go(g));
        throw std::runtime_error(std::to_string(number));
    }
    return down(depth - 1, g, number) + 1;
}

// throw_and_catch(g, depth, number): switches to g `depth` calls deep, throws when it is back, catches, and answers the
// exception's text.
PyObject *throw_and_catch(PyObject *, PyObject *args) {
    PyObject *g;
    int depth;
    long number;
    if (!PyArg_ParseTuple(args, "Oil", &g, &depth, &number)) {
        return nullptr;
    }
    try {
        down(depth, reinterpret_cast<PyGreenlet *>(g), number);
    } catch (const std::runtime_error &error) {
        return PyUnicode_FromString(error.what());
    } catch (const PythonError &) {
        return nullptr;
    }
    Py_RETURN_NONE;
}

// in_a_handler(g, number): switches to g inside a catch block, throws and catches another there, and rethrows the first.
PyObject *in_a_handler(PyObject *, PyObject *args) {
    PyObject *g;
    long number;
    if (!PyArg_ParseTuple(args, "Ol", &g, &number)) {
        return nullptr;
    }
    try {
        try {
            Counted counted;
            throw std::runtime_error(std::to_string(number));
        } catch (const std::runtime_error &error) {
            std::string before = error.what();
            Py_DECREF(go(reinterpret_cast<PyGreenlet *>(g)));
            if (before != error.what()) {
                return PyUnicode_FromString("the exception has changed");
            }
            try {
                throw std::logic_error("inner");
            } catch (const std::logic_error &) {
            }
            throw;
        }
    } catch (const std::runtime_error &error) {
        return PyUnicode_FromString(error.what());
    } catch (const PythonError &) {
        return nullptr;
    }
}

// while_unwinding(g, number): a destructor switches to g while an exception is in flight.
PyObject *while_unwinding(PyObject *, PyObject *args) {
    PyObject *g;
    long number;
    if (!PyArg_ParseTuple(args, "Ol", &g, &number)) {
        return nullptr;
    }
    try {
        SwitchesAtTheEnd end{reinterpret_cast<PyGreenlet *>(g), Counted()};
        throw std::runtime_error(std::to_string(number));
    } catch (const std::runtime_error &error) {
        return PyUnicode_FromString(error.what());
    }
}

PyObject *count_alive(PyObject *, PyObject *) { return PyLong_FromLong(alive); }

PyMethodDef methods[] = {
    {"throw_and_catch", throw_and_catch, METH_VARARGS, nullptr},
    {"in_a_handler", in_a_handler, METH_VARARGS, nullptr},
    {"while_unwinding", while_unwinding, METH_VARARGS, nullptr},
    {"count_alive", count_alive, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition = {PyModuleDef_HEAD_INIT, "probe_cpp", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit_probe_cpp() {
    PyGreenlet_Import();
    return _PyGreenlet_API ? PyModule_Create(&definition) : nullptr;
}
