"""Greenlets that the collector kills, and interpreters that are refused."""

import gc
import pathlib
import shutil
import subprocess
import sys
import threading

import pytest

import greenlet as package
from greenlet import getcurrent, greenlet


class Cycle:
    """Garbage that only the collector finds, with a suspended greenlet in it."""

    def __init__(self, events):
        self.me = self
        home = getcurrent()

        def body():
            try:
                home.switch()
            finally:
                events.append((threading.current_thread(), gc.isenabled()))

        self.g = greenlet(body)
        self.g.switch()


def collect_and_go_on(events):
    Cycle(events)
    gc.collect()
    for _ in range(3):  # the interpreter looks for pending calls at the end of a loop's body
        pass
    return len(events)


def test_the_kill_that_a_collection_asks_for_comes_without_any_use_of_greenlets():
    events = []
    assert collect_and_go_on(events) == 1
    assert events[0][0] is threading.current_thread()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="before 3.12 only the main thread can be interrupted for it")
def test_and_so_it_does_in_any_thread():
    # Unless another thread comes in between, or has collected the garbage: then not before the next use.
    seen = []

    def run():
        events = []
        soon = collect_and_go_on(events)
        getcurrent()
        seen.append((soon, len(events), events[0][0] is threading.current_thread()))

    # The thread that waits asks for the interpreter when the collection takes long, and would then come in between.
    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)
    try:
        for _ in range(50):
            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
            if not seen or seen[-1][0] == 1:
                break
    finally:
        sys.setswitchinterval(interval)
    assert {(late, own) for _, late, own in seen} == {(1, True)} and (1, 1, True) in seen


def test_in_any_thread_it_comes_with_the_next_use_at_the_latest():
    events, seen = [], []

    def run():
        collect_and_go_on(events)
        getcurrent()
        seen.append(len(events))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [1] and events[0][0] is thread


def test_many_are_killed_in_the_order_in_which_they_were_found():
    order = []

    def body(home, n):
        try:
            home.switch()
        finally:
            order.append(n)

    def run():
        gs = [greenlet(body) for _ in range(50)]
        for n, g in enumerate(gs):
            g.switch(getcurrent(), n)
        del g
        other = threading.Thread(target=gs.clear)
        other.start()
        other.join()
        assert order == []
        getcurrent()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert sorted(order) == list(range(50)) and order in (sorted(order), sorted(order)[::-1])


def test_a_free_threaded_interpreter_is_told_why_there_is_no_extension(tmp_path):
    # Such an interpreter does not find an extension that was built for this one: so the package has none here.
    source = pathlib.Path(package.__file__).parent
    shutil.copytree(source, tmp_path / "greenlet", ignore=lambda _, names: [n for n in names if n.startswith("_greenlet.")])
    program = """
import sysconfig, sys
sys.path.insert(0, {path!r})
real = sysconfig.get_config_var
sysconfig.get_config_var = lambda name: {value} if name == "Py_GIL_DISABLED" else real(name)
try:
    import greenlet
except ImportError as error:
    print(type(error).__name__, error)
"""
    told = []
    for value in (1, 0, None):
        text = program.format(path=str(tmp_path), value=value)
        told.append(subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout)
    assert told[0].startswith("ImportError greenlet does not support free-threaded builds of CPython yet")
    assert told[1] == told[2] and told[1].startswith("ModuleNotFoundError No module named 'greenlet._greenlet'")
