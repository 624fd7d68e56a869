"""Real programs on unmodified packages: each ends well, says that its answers were right, and ran on our greenlet."""

import importlib.metadata
import os
import subprocess
import sys

import pytest

import greenlet

FOLDER = os.path.dirname(__file__)
PROGRAMS = ["gevent_server", "eventlet_server", "sqlalchemy_async", "greenback_await"]


def test_the_package_is_ours_and_satisfies_what_the_others_require():
    assert "+rs." in importlib.metadata.version("greenlet")
    assert greenlet.__version__ == importlib.metadata.version("greenlet")
    check = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    assert check.returncode == 0, check.stdout


def test_every_program_is_run():
    here = {name[:-3] for name in os.listdir(FOLDER) if name.endswith(".py") and not name.startswith("test_")}
    assert here == set(PROGRAMS)


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(program):
    path = os.path.join(FOLDER, program + ".py")
    run = subprocess.run([sys.executable, "-X", "faulthandler", path], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.splitlines()[-1].endswith("were right"), run.stdout + run.stderr
