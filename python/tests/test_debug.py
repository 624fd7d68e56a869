"""The debug switch: every switch checks its invariants, and one that is broken ends the process with a message."""

import os
import pathlib
import shlex
import subprocess
import sys
import sysconfig

import pytest

import greenlet as package

MISUSE = """
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <greenlet.h>

/* Switches with an exception set, which nobody may. */
static PyObject *misuse(PyObject *module, PyObject *target) {
    PyGreenlet_Import();
    PyErr_SetString(PyExc_KeyError, "left over");
    PyObject *args = PyTuple_New(0);
    PyObject *result = PyGreenlet_Switch((PyGreenlet *)target, args, NULL);
    Py_DECREF(args);
    PyErr_Clear();
    return result;
}

static PyMethodDef functions[] = {{"misuse", misuse, METH_O, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "misuse", .m_size = -1, .m_methods = functions};
PyMODINIT_FUNC PyInit_misuse(void) { return PyModule_Create(&definition); }
"""

PROGRAM = """
from greenlet import getcurrent, greenlet
from misuse import misuse

home = getcurrent()
g = greenlet(lambda: home.switch(1) or 3)
assert g.switch() == 1
print("so far", flush=True)
misuse(g)
"""


@pytest.fixture(scope="module")
def misuse(tmp_path_factory):
    folder = tmp_path_factory.mktemp("misuse")
    source = folder / "misuse.c"
    source.write_text(MISUSE)
    header = pathlib.Path(package.__file__).parent
    command = shlex.split(os.environ.get("CC", "cc"))
    command += ["-shared", "-fPIC", "-O1", "-I" + sysconfig.get_paths()["include"], "-I", str(header)]
    library = folder / ("misuse" + sysconfig.get_config_var("EXT_SUFFIX"))
    subprocess.run([*command, str(source), "-o", str(library)], check=True)
    return folder


def run(program, folder, debug):
    path = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    env.pop("GREENLET_DEBUG", None)
    if debug is not None:
        env["GREENLET_DEBUG"] = debug
    return subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)


@pytest.mark.skipif(hasattr(sys, "gettotalrefcount"), reason="a debug interpreter objects on its own")
def test_a_broken_invariant_ends_the_process_with_a_message(misuse):
    for debug in (None, "0"):
        done = run(PROGRAM, misuse, debug)
        assert done.stdout == "so far\n" and "GREENLET_DEBUG" not in done.stderr
    done = run(PROGRAM, misuse, "1")
    assert done.returncode != 0 and done.stdout == "so far\n"
    assert "greenlet: GREENLET_DEBUG: an exception is set, but a value is sent (from the greenlet 0x" in done.stderr


@pytest.mark.skipif("GREENLET_DEBUG" in os.environ, reason="this is the run with the switch")
def test_our_tests_pass_with_the_switch_on():
    folder = pathlib.Path(__file__).parent
    names = ["test_awkward.py", "test_frames.py", "test_model.py", "test_collected.py"]
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        + [str(folder / name) for name in names],
        env={**os.environ, "GREENLET_DEBUG": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
