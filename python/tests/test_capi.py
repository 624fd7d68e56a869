"""The C API, by extension modules that are compiled here: against our header, and against the reference's, with which what
is on PyPI was compiled."""

import gc
import importlib.machinery
import importlib.util
import itertools
import os
import subprocess
import sys
import sysconfig
import textwrap
import threading
import zipfile

import pytest

import greenlet as package
from greenlet import GreenletExit, getcurrent, greenlet

SOURCES = os.path.join(os.path.dirname(__file__), "capi")
# The reference's wheel for this interpreter; `cargo xtask test` gives it.
REFERENCE = os.environ.get("GREENLET_REFERENCE_WHEEL")


@pytest.fixture(scope="module", params=["our header", "the reference's header"])
def header(request, tmp_path_factory):
    if request.param == "our header":
        return os.path.dirname(package.__file__)
    if REFERENCE is None:
        pytest.skip("GREENLET_REFERENCE_WHEEL is not set")
    folder = tmp_path_factory.mktemp("header")
    with zipfile.ZipFile(REFERENCE) as wheel:
        (folder / "greenlet.h").write_bytes(wheel.read("greenlet/greenlet.h"))
    return str(folder)


def build(name, source, compiler, header, folder):
    """Compiles an extension module and loads it."""
    path = os.path.join(folder, name + sysconfig.get_config_var("EXT_SUFFIX"))
    paths = sysconfig.get_paths()
    include = [f"-I{folder}" for folder in (header, paths["include"], paths["platinclude"])]
    command = [compiler, "-shared", "-fPIC", "-O2", "-g", *include, os.path.join(SOURCES, source), "-o", path]
    subprocess.run(command, check=True)
    loader = importlib.machinery.ExtensionFileLoader(name, path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def probe(header, tmp_path_factory):
    return build("probe", "probe.c", "gcc", header, str(tmp_path_factory.mktemp("probe")))


@pytest.fixture(scope="module")
def cpp(header, tmp_path_factory):
    return build("probe_cpp", "probe_cpp.cpp", "g++", header, str(tmp_path_factory.mktemp("probe_cpp")))


def test_header_is_where_builds_look_for_it():
    assert os.path.exists(os.path.join(package.__path__[0], "greenlet.h"))
    installed = [
        os.path.join(sysconfig.get_path("include", vars={"installed_base": sys.prefix}), "greenlet", "greenlet.h"),
        os.path.join(
            sys.prefix, "include", "site", f"python{sys.version_info[0]}.{sys.version_info[1]}", "greenlet", "greenlet.h"
        ),
    ]
    assert any(map(os.path.exists, installed)), installed


def test_classes(probe):
    assert probe.classes() == (greenlet, package.error, GreenletExit)


def test_flags_at_every_stage(probe):
    main = getcurrent()
    assert probe.flags(main) == (1, 1, 1, 1)
    g = greenlet(main.switch)
    assert probe.flags(g) == (1, 0, 0, 0)
    g.switch()
    assert probe.flags(g) == (1, 0, 1, 1)
    g.switch()
    assert probe.flags(g) == (1, 0, 1, 0)


def test_misuse_sets_errors(probe):
    for wrong in (object(), 5, None, "greenlet", greenlet):
        assert probe.misuse(wrong) == 0


def test_new_and_parents(probe):
    main = getcurrent()
    assert probe.get_current() is main
    assert probe.get_parent(main) is None
    assert probe.new().parent is main
    g = probe.new(lambda *args: args)
    assert type(g) is greenlet and g.parent is main
    h = probe.new(lambda: 5, g)
    assert probe.get_parent(h) is g
    probe.set_parent(h, main)
    assert h.parent is main
    with pytest.raises(ValueError):
        probe.set_parent(g, g)
    with pytest.raises(AttributeError):
        probe.set_parent(main, g)
    for child, parent in [(5, main), (g, 5)]:
        with pytest.raises(TypeError, match="^GreenletChecker: Expected any type of greenlet, not int$"):
            probe.set_parent(child, parent)
    assert h.switch() == 5


def test_switch_and_throw(probe, overwrite):
    main = getcurrent()

    def body(*args, **kwargs):
        got = args, kwargs
        while True:
            try:
                got = probe.switch(main, (got,), None)
            except KeyError as error:
                got = error.args

    g = greenlet(body)
    assert probe.switch(g, (1, 2), {"a": 3}) == ((1, 2), {"a": 3})
    overwrite()
    assert probe.switch(g, None, None) == ()
    assert probe.switch(g, (4,), None) == 4
    assert probe.switch(g, (4, 5), {}) == (4, 5)
    overwrite()
    assert probe.switch(g, None, {"b": 6}) == {"b": 6}
    assert probe.throw(g, KeyError, 7) == (7,)
    with pytest.raises(ValueError):
        probe.throw(g, ValueError, "out")
    assert g.dead
    assert probe.switch(g, (8,), None) == 8


def test_switch_inside_a_callback_of_c(probe, overwrite):
    main = getcurrent()
    calls = []

    def body():
        return probe.sort([5, 2, 9, 1, 7, 3], main)

    g = greenlet(body)
    answer = g.switch()
    while not g.dead:
        a, b = answer
        calls.append(answer)
        overwrite(len(calls))
        answer = g.switch((a > b) - (a < b))
    assert answer == [1, 2, 3, 5, 7, 9] and len(calls) > 5


def test_exception_in_a_callback_of_c(probe):
    main = getcurrent()

    g = greenlet(lambda: probe.sort([2, 1], main))
    g.switch()
    with pytest.raises(KeyError):
        g.throw(KeyError)


def test_class_that_embeds_the_struct(probe):
    g = probe.Derived(lambda: getcurrent().number + 1)
    g.number = 41
    g.attribute = "in __dict__"
    assert isinstance(g, greenlet)
    assert g.switch() == 42
    assert g.__dict__ == {"attribute": "in __dict__"}

    class Sub(probe.Derived):
        def run(self):
            self.number = self.parent.switch(self.number)
            return self.number

    g = Sub()
    g.number = 3
    assert (g.switch(), g.switch(7), g.number, g.dead) == (3, 7, 7, True)


@pytest.mark.parametrize("depth", [0, 1, 30])
def test_cpp_exception_after_a_switch(cpp, depth, overwrite):
    main = getcurrent()
    greenlets = [greenlet(cpp.throw_and_catch) for _ in range(5)]
    for number, g in enumerate(greenlets):
        assert g.switch(main, depth, number) == ()
    assert cpp.count_alive() == 5 * (depth + 1)
    overwrite()
    assert [g.switch() for g in reversed(greenlets)] == ["4", "3", "2", "1", "0"]
    assert cpp.count_alive() == 0


def test_cpp_exception_that_carries_a_python_error(cpp):
    main = getcurrent()
    g = greenlet(cpp.throw_and_catch)
    g.switch(main, 10, 1)
    with pytest.raises(ZeroDivisionError):
        g.throw(ZeroDivisionError)
    assert cpp.count_alive() == 0
    killed = greenlet(cpp.throw_and_catch)
    killed.switch(main, 10, 1)
    del killed
    assert cpp.count_alive() == 0


def test_cpp_switch_in_a_handler(cpp, overwrite):
    main = getcurrent()
    g = greenlet(cpp.in_a_handler)
    g.switch(main, 7)
    # Nested: what is thrown meanwhile is over before the first goes on.
    other = greenlet(lambda: cpp.throw_and_catch(greenlet(lambda: None, getcurrent()), 3, 8))
    assert other.switch() == "8"
    overwrite()
    assert g.switch() == "7"
    assert cpp.count_alive() == 0


def test_cpp_switch_while_unwinding(cpp, overwrite):
    main = getcurrent()
    g = greenlet(cpp.while_unwinding)
    g.switch(main, 5)
    overwrite()
    assert g.switch() == "5"
    assert cpp.count_alive() == 0


END, RETHROW, RETHROW_POINTER, THROW_ANOTHER = WAYS = range(4)


def caught_last(number, way):
    return f"{number} another" if way == THROW_ANOTHER else str(number)


@pytest.mark.parametrize("ways", [(way,) * 4 for way in WAYS] + [WAYS], ids=str)
def test_cpp_handlers_are_left_in_every_order(cpp, ways, overwrite):
    main = getcurrent()
    for order in itertools.permutations(range(4)):
        greenlets = [greenlet(cpp.leave_a_handler) for _ in ways]
        for number, (g, way) in enumerate(zip(greenlets, ways)):
            assert g.switch(main, number, 1, way) == ()
            assert cpp.handled() == "" and cpp.in_flight() == 0
        overwrite()
        results = {}
        for number in order:
            results[number] = greenlets[number].switch()
            assert cpp.handled() == ""
        for number in reversed(order):
            if not greenlets[number].dead:
                assert results[number] == ()
                results[number] = greenlets[number].switch()
        assert results == {number: caught_last(number, way) for number, way in enumerate(ways)}
    assert cpp.handled() == "" and cpp.in_flight() == 0 and cpp.count_alive() == 0


def test_cpp_greenlets_begin_inside_handlers(cpp):
    """Each begins in the catch block of the one before, and sees nothing of it."""
    main = getcurrent()
    greenlets, results = [], []

    def begin(number):
        assert cpp.handled() == ""
        greenlets.append(getcurrent())
        # The first switch there is the start of the next one.
        target = greenlet(lambda: begin(number - 1), main) if number else main
        results.append(cpp.leave_a_handler(target, number, 1, RETHROW))

    greenlet(lambda: begin(5)).switch()
    assert len(greenlets) == 6 and cpp.handled() == ""
    while not all(g.dead for g in greenlets):
        for g in greenlets[::2] + greenlets[1::2]:
            g.switch()
            assert cpp.handled() == ""
    assert sorted(results) == [str(number) for number in range(6)]


def test_cpp_handler_of_a_killed_greenlet(cpp):
    main = getcurrent()
    kept, killed = greenlet(cpp.leave_a_handler), greenlet(cpp.leave_a_handler)
    kept.switch(main, 1, 2, RETHROW)
    killed.switch(main, 2, 5, END)
    kept.switch()
    thrown = greenlet(cpp.leave_a_handler)
    thrown.switch(main, 3, 5, END)
    del killed
    gc.collect()
    with pytest.raises(ZeroDivisionError):
        thrown.throw(ZeroDivisionError)
    assert kept.switch() == () and kept.switch() == "1"
    assert cpp.handled() == ""


def test_cpp_exceptions_in_flight_are_counted_for_each(cpp, overwrite):
    main = getcurrent()
    for order in itertools.permutations(range(3)):
        greenlets = [greenlet(cpp.ask_while_unwinding) for _ in range(3)]
        handler = greenlet(cpp.leave_a_handler)
        handler.switch(main, 9, 1, RETHROW)
        for number, g in enumerate(greenlets):
            g.switch(main, number)
            assert cpp.in_flight() == 0
        overwrite()
        assert handler.switch() == ()
        for number in order:
            assert greenlets[number].switch() == (1, 1, 0, str(number))
        assert handler.switch() == "9"


def test_cpp_handlers_in_several_threads(cpp):
    def work(number):
        main = getcurrent()
        greenlets = [greenlet(cpp.leave_a_handler) for _ in range(10)]
        for i, g in enumerate(greenlets):
            g.switch(main, 100 * number + i, 20, RETHROW)
        for round in range(20):
            for g in greenlets[round % 3 :: 2] + greenlets[: round % 3] + greenlets[1 + round % 3 :: 2]:
                if not g.dead:
                    g.switch()
        for i, g in enumerate(greenlets):
            while not g.dead:
                result = g.switch()
                results[100 * number + i] = result

    results = {}
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert {number: text for number, text in results.items() if text != str(number)} == {}
    assert cpp.handled() == ""


def test_cpp_runtime_is_found_when_it_is_loaded_late(cpp):
    """Greenlets that have begun before there was any C++ in the process."""
    program = f"""
        import importlib.machinery, importlib.util, sys
        from greenlet import getcurrent, greenlet
        def is_loaded():
            return "libstdc++" in open("/proc/self/maps").read()
        main = getcurrent()
        def body(number):
            main.switch()
            return probe.leave_a_handler(main, number, 1, 1)
        greenlets = [greenlet(body) for _ in range(3)]
        for number, g in enumerate(greenlets):
            g.switch(number)
        assert not is_loaded()
        loader = importlib.machinery.ExtensionFileLoader("probe_cpp", {cpp.__file__!r})
        probe = importlib.util.module_from_spec(importlib.util.spec_from_loader("probe_cpp", loader))
        loader.exec_module(probe)
        assert is_loaded()
        for _ in range(2):
            for g in greenlets:
                assert g.switch() == ()
        print([g.switch() for g in greenlets])
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['0', '1', '2']\n"
