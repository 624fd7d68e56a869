// An extension module in C++: exceptions that are thrown, in flight and caught while greenlets switch.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <exception>
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

// What is being handled now, to which `throw;` would go on: its text, or an empty one.
std::string handled_text() {
    std::exception_ptr now = std::current_exception();
    if (!now) {
        return "";
    }
    try {
        std::rethrow_exception(now);
    } catch (const std::exception &error) {
        return error.what();
    } catch (...) {
        return "?";
    }
}

// Leaves a catch block in one of the ways that there are.
enum Way { END, RETHROW, RETHROW_POINTER, THROW_ANOTHER };

// leave_a_handler(g, number, rounds, way): switches to g `rounds` times in a catch block, leaves that as told, and, if that
// is by an exception, switches once more in the block that catches it. Answers what was caught last.
PyObject *leave_a_handler(PyObject *, PyObject *args) {
    PyObject *g;
    long number;
    int rounds, way;
    if (!PyArg_ParseTuple(args, "Olii", &g, &number, &rounds, &way)) {
        return nullptr;
    }
    std::string text = std::to_string(number);
    auto look = [&](const std::string &expected) {
        Py_DECREF(go(reinterpret_cast<PyGreenlet *>(g)));
        if (handled_text() != expected) {
            throw std::string("another exception is being handled: " + handled_text());
        }
        if (std::uncaught_exceptions() != 0) {
            throw std::string("an exception is in flight");
        }
    };
    std::string last;
    try {
        try {
            Counted counted;
            throw std::runtime_error(text);
        } catch (const std::runtime_error &error) {
            for (int i = 0; i < rounds; i++) {
                look(text);
            }
            last = error.what();
            switch (way) {
            case RETHROW:
                throw;
            case RETHROW_POINTER:
                std::rethrow_exception(std::current_exception());
            case THROW_ANOTHER:
                throw std::logic_error(text + " another");
            }
        }
    } catch (const std::exception &error) {
        try {
            look(error.what());
        } catch (const std::string &what) {
            return PyUnicode_FromString(what.c_str());
        } catch (const PythonError &) {
            return nullptr;
        }
        last = error.what();
    } catch (const std::string &what) {
        return PyUnicode_FromString(what.c_str());
    } catch (const PythonError &) {
        return nullptr;
    }
    if (std::current_exception()) {
        return PyUnicode_FromString("something is still being handled");
    }
    return PyUnicode_FromString(last.c_str());
}

// Its destructor switches and asks how many exceptions are in flight, before and after.
struct AsksAtTheEnd {
    PyGreenlet *to;
    int *before, *after;
    ~AsksAtTheEnd() {
        *before = std::uncaught_exceptions();
        Py_XDECREF(PyGreenlet_Switch(to, nullptr, nullptr));
        *after = std::uncaught_exceptions();
    }
};

// ask_while_unwinding(g): how many exceptions are in flight in a destructor, before and after it switched to g; in the
// catch block after it; and the text of what is caught there.
PyObject *ask_while_unwinding(PyObject *, PyObject *args) {
    PyObject *g;
    long number;
    if (!PyArg_ParseTuple(args, "Ol", &g, &number)) {
        return nullptr;
    }
    int before = -1, after = -1;
    try {
        AsksAtTheEnd end{reinterpret_cast<PyGreenlet *>(g), &before, &after};
        throw std::runtime_error(std::to_string(number));
    } catch (const std::runtime_error &error) {
        return Py_BuildValue("iiis", before, after, std::uncaught_exceptions(), error.what());
    }
}

PyObject *handled(PyObject *, PyObject *) { return PyUnicode_FromString(handled_text().c_str()); }

PyObject *in_flight(PyObject *, PyObject *) { return PyLong_FromLong(std::uncaught_exceptions()); }

PyObject *count_alive(PyObject *, PyObject *) { return PyLong_FromLong(alive); }

PyMethodDef methods[] = {
    {"throw_and_catch", throw_and_catch, METH_VARARGS, nullptr},
    {"in_a_handler", in_a_handler, METH_VARARGS, nullptr},
    {"while_unwinding", while_unwinding, METH_VARARGS, nullptr},
    {"leave_a_handler", leave_a_handler, METH_VARARGS, nullptr},
    {"ask_while_unwinding", ask_while_unwinding, METH_VARARGS, nullptr},
    {"handled", handled, METH_NOARGS, nullptr},
    {"in_flight", in_flight, METH_NOARGS, nullptr},
    {"count_alive", count_alive, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition = {PyModuleDef_HEAD_INIT, "probe_cpp", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit_probe_cpp() {
    PyGreenlet_Import();
    return _PyGreenlet_API ? PyModule_Create(&definition) : nullptr;
}
