/* The C API of greenlet, for extension modules.
 *
 * Call PyGreenlet_Import() once, in the module's init function; it sets an error and leaves _PyGreenlet_API null if the
 * package cannot be imported. All else here is valid after that, with the GIL held.
 *
 * The names, the order of the table and the layout of the object are those of every release of greenlet since 1.0, so
 * that a module that was compiled against any of them works with this one, and the other way round.
 */
#ifndef Py_GREENLETOBJECT_H
#define Py_GREENLETOBJECT_H

#include <Python.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Fixed for ever; not the version of the package. */
#define GREENLET_VERSION "1.0.0"

/* A greenlet. Nothing but the header is for others to use. */
typedef struct _greenlet {
    PyObject_HEAD
    PyObject *weakreflist;
    PyObject *dict;
    void *pimpl;
} PyGreenlet;

/* What lies where in the table. */
#define PyGreenlet_Type_NUM 0
#define PyExc_GreenletError_NUM 1
#define PyExc_GreenletExit_NUM 2
#define PyGreenlet_New_NUM 3
#define PyGreenlet_GetCurrent_NUM 4
#define PyGreenlet_Throw_NUM 5
#define PyGreenlet_Switch_NUM 6
#define PyGreenlet_SetParent_NUM 7
#define PyGreenlet_MAIN_NUM 8
#define PyGreenlet_STARTED_NUM 9
#define PyGreenlet_ACTIVE_NUM 10
#define PyGreenlet_GET_PARENT_NUM 11
#define PyGreenlet_API_pointers 12

static void **_PyGreenlet_API = NULL;

/* Fills the table in. */
#define PyGreenlet_Import()                                                  \
    {                                                                        \
        _PyGreenlet_API = (void **)PyCapsule_Import("greenlet._C_API", 0);   \
    }

/* greenlet.greenlet, greenlet.error, greenlet.GreenletExit */
#define PyGreenlet_Type (*(PyTypeObject *)_PyGreenlet_API[PyGreenlet_Type_NUM])
#define PyExc_GreenletError ((PyObject *)_PyGreenlet_API[PyExc_GreenletError_NUM])
#define PyExc_GreenletExit ((PyObject *)_PyGreenlet_API[PyExc_GreenletExit_NUM])

#define PyGreenlet_Check(op) ((op) && PyObject_TypeCheck(op, &PyGreenlet_Type))

/* PyGreenlet *PyGreenlet_New(PyObject *run, PyGreenlet *parent)
 *
 * greenlet(run, parent): a new reference, or null with an error. Both may be null. */
#define PyGreenlet_New \
    (*(PyGreenlet * (*)(PyObject *, PyGreenlet *)) _PyGreenlet_API[PyGreenlet_New_NUM])

/* PyGreenlet *PyGreenlet_GetCurrent(void)
 *
 * The greenlet that runs: a new reference, or null with an error. */
#define PyGreenlet_GetCurrent (*(PyGreenlet * (*)(void)) _PyGreenlet_API[PyGreenlet_GetCurrent_NUM])

/* PyObject *PyGreenlet_Throw(PyGreenlet *g, PyObject *type, PyObject *value, PyObject *traceback)
 *
 * g.throw(type, value, traceback): what somebody passes who switches back, or null with an error. */
#define PyGreenlet_Throw                                                         \
    (*(PyObject * (*)(PyGreenlet *, PyObject *, PyObject *, PyObject *))         \
         _PyGreenlet_API[PyGreenlet_Throw_NUM])

/* PyObject *PyGreenlet_Switch(PyGreenlet *g, PyObject *args, PyObject *kwargs)
 *
 * g.switch(*args, **kwargs), the same way. `args` is a tuple or null, `kwargs` a dictionary or null. */
#define PyGreenlet_Switch                                                \
    (*(PyObject * (*)(PyGreenlet *, PyObject *, PyObject *))             \
         _PyGreenlet_API[PyGreenlet_Switch_NUM])

/* int PyGreenlet_SetParent(PyGreenlet *g, PyGreenlet *parent)
 *
 * g.parent = parent: 0, or -1 with an error. */
#define PyGreenlet_SetParent \
    (*(int (*)(PyGreenlet *, PyGreenlet *)) _PyGreenlet_API[PyGreenlet_SetParent_NUM])

/* PyGreenlet *PyGreenlet_GetParent(PyGreenlet *g)
 *
 * g.parent: a new reference, or null: without an error for a main greenlet. */
#define PyGreenlet_GetParent \
    (*(PyGreenlet * (*)(PyGreenlet *)) _PyGreenlet_API[PyGreenlet_GET_PARENT_NUM])
#define PyGreenlet_GET_PARENT PyGreenlet_GetParent

/* int PyGreenlet_MAIN(PyGreenlet *g): whether it is a main greenlet. -1 with an error for what is no greenlet, as for
 * the next two: whether it has begun; whether it has begun and not ended. */
#define PyGreenlet_MAIN (*(int (*)(PyGreenlet *)) _PyGreenlet_API[PyGreenlet_MAIN_NUM])
#define PyGreenlet_STARTED (*(int (*)(PyGreenlet *)) _PyGreenlet_API[PyGreenlet_STARTED_NUM])
#define PyGreenlet_ACTIVE (*(int (*)(PyGreenlet *)) _PyGreenlet_API[PyGreenlet_ACTIVE_NUM])

#ifdef __cplusplus
}
#endif
#endif
