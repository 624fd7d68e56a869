"""The blocks of docs/python.md and docs/stackless.md are run, one after the other, as a reader would."""

import doctest
import os
import re
import subprocess
import sys

import pytest
from test_capi import build

import greenlet

README = os.path.join(os.path.dirname(__file__), "..", "..", "README.md")
STACKLESS = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "stackless.md")
PAGE = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "python.md")


def blocks(language, path=PAGE):
    with open(path, encoding="utf-8") as page:
        return re.findall(rf"^```{language}\n(.*?)^```", page.read(), re.MULTILINE | re.DOTALL)


def test_python_blocks():
    found = blocks("python")
    assert len(found) >= 7
    done = subprocess.run([sys.executable, "-"], input="\n".join(found), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_python_blocks_about_tasklets():
    found = blocks("python", STACKLESS)
    assert len(found) >= 6
    done = subprocess.run([sys.executable, "-"], input="\n".join(found), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_c_block(tmp_path):
    (source,) = blocks("c")
    path = tmp_path / "module.c"
    path.write_text(f"#include <Python.h>\n{source}")
    module = build("module", str(path), "gcc", os.path.dirname(greenlet.__file__), str(tmp_path))
    main = greenlet.getcurrent()
    g = greenlet.greenlet(module.call_back)
    assert g.switch(main) == ()
    assert g.switch(7) == 7 and g.dead
    with pytest.raises(TypeError):
        module.call_back()


def test_examples_of_the_readme_and_the_package():
    for text in (*blocks("python", README), greenlet.__doc__):
        examples = doctest.DocTestParser().get_doctest(text, {}, "example", None, 0)
        assert len(examples.examples) >= 5
        assert doctest.DocTestRunner().run(examples).failed == 0


def test_version_on_the_page():
    with open(PAGE, encoding="utf-8") as page:
        assert greenlet.__version__ in page.read()
