"""How an interpreter ends: with greenlets in every state, in every way, by crashes too; and what `faulthandler` says of them.

Each program runs in an interpreter of its own, and its status and all that it writes are what they have to be.
"""

import os
import re
import signal
import subprocess
import sys
import textwrap

import pytest

BEGIN = """
import atexit, os, sys, threading, time
from greenlet import GreenletExit, getcurrent, greenlet

main = getcurrent()
kept = []

def keep(run, *args):
    g = greenlet(run)
    g.switch(*args)
    kept.append(g)
    return g

def say(*what):
    print(*what, flush=True)
"""

STATES = {
    "not begun": "kept.append(greenlet(lambda: say('never')))",
    "suspended": "keep(lambda: main.switch())",
    "deep": """
        def deep(n):
            return deep(n - 1) + 1 if n else main.switch()
        keep(deep, 100)
    """,
    "in a call of C": "keep(lambda: sorted([2, 1], key=lambda _: main.switch()))",
    "in finally": """
        def ends():
            try:
                pass
            finally:
                main.switch()
        keep(ends)
    """,
    "in try, with a finally to come": """
        def waits():
            try:
                main.switch()
            finally:
                kept.clear()
        keep(waits)
    """,
    "in try, with a finally that would be heard": """
        # What its frames reach is never cleared: so they may not reach what holds it.
        space = {"main": main, "write": os.write}
        exec("def heard():\\n try: main.switch()\\n finally: write(2, b'heard')", space)
        sys.heard = greenlet(space.pop("heard"))
        sys.heard.switch()
    """,
    "in with": """
        def held():
            with lock:
                main.switch()
        lock = threading.Lock()
        keep(held)
    """,
    "handling": """
        def handles():
            try:
                raise KeyError
            except KeyError:
                main.switch()
        keep(handles)
    """,
    "in a generator": """
        def generate():
            yield main.switch()
        keep(lambda: list(generate()))
    """,
    "in a coroutine": """
        async def wait():
            main.switch()
        keep(lambda: wait().send(None))
    """,
    "in an import": """
        import importlib.util, importlib.abc
        class Loader(importlib.abc.Loader):
            def create_module(self, spec):
                return None
            def exec_module(self, module):
                main.switch()
        spec = importlib.util.spec_from_loader("odd", Loader())
        keep(lambda: spec.loader.exec_module(importlib.util.module_from_spec(spec)))
    """,
    "finished": "keep(lambda: None)",
    "failed": """
        try:
            keep(lambda: 1 / 0)
        except ZeroDivisionError:
            pass
    """,
    "a circle": """
        circle = greenlet(lambda: main.switch(circle))
        circle.itself = [circle]
        circle.switch()
    """,
    "a circle of frames": """
        def one():
            me, list_ = getcurrent(), []
            list_.append(list_)
            main.switch()
        keep(one)
    """,
    "children": """
        parent = keep(lambda: main.switch())
        child = greenlet(lambda: main.switch(), parent)
        child.switch()
        new = greenlet(lambda: main.switch(), child)
    """,
    "its frames are seen": """
        frame = keep(lambda: max([1], key=lambda _: main.switch())).gr_frame
        outer = frame.f_back
    """,
    "with a destructor": """
        class Loud:
            def __del__(self):
                getcurrent
        def holds():
            loud = Loud()
            main.switch()
        keep(holds)
    """,
    "held by a function of atexit": """
        def late(g=greenlet(lambda: main.switch())):
            g.dead
        late.__defaults__[0].switch()
        atexit.register(late)
    """,
    "held by the interpreter's own modules": "import builtins; builtins.kept = sys.kept = keep(lambda: main.switch())",
    "in a thread that has ended": """
        def work():
            here = getcurrent()
            g = greenlet(lambda: here.switch())
            g.switch()
            kept.extend([g, here])
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    """,
    "in a thread that waits for ever": """
        def work():
            here = getcurrent()
            g = greenlet(lambda: here.switch())
            g.switch()
            kept.extend([g, here])
            ready.set()
            greenlet(lambda: threading.Event().wait()).switch()
        ready = threading.Event()
        threading.Thread(target=work, daemon=True).start()
        ready.wait()
    """,
    "traced": """
        import greenlet as package
        package.settrace(lambda *what: None)
        keep(lambda: main.switch())
    """,
}

# How it ends: the program's last lines; the status; the lines of stderr.
ENDS = {
    "the end": ("say('end')", 0, []),
    "sys.exit": ("say('end'); sys.exit(3)", 3, []),
    "sys.exit with words": ("say('end'); sys.exit('words')", 1, ["words"]),
    "sys.exit in a greenlet": ("say('end'); greenlet(sys.exit).switch(4)", 4, []),
    "sys.exit in a nested greenlet": ("say('end'); greenlet(lambda: greenlet(sys.exit).switch(5)).switch()", 5, []),
    "os._exit": ("say('end'); os._exit(6)", 6, []),
    "os._exit in a greenlet": ("say('end'); greenlet(os._exit).switch(7)", 7, []),
    "an exception": ("say('end'); fail()", 1, ["Traceback (most recent call last):", "<module>", "fail", "KeyError: 'why'"]),
    "an exception in a greenlet": (
        "say('end'); greenlet(fail).switch()",
        1,
        ["Traceback (most recent call last):", "<module>", "fail", "KeyError: 'why'"],
    ),
    "an exception in a nested greenlet": (
        "say('end'); greenlet(lambda: greenlet(fail).switch()).switch()",
        1,
        ["Traceback (most recent call last):", "<module>", "<lambda>", "fail", "KeyError: 'why'"],
    ),
    "GreenletExit in a greenlet": ("say('end'); greenlet(fail).switch(GreenletExit)", 0, []),
    "GreenletExit in main": (
        "say('end'); fail(GreenletExit)",
        1,
        ["Traceback (most recent call last):", "<module>", "fail", "greenlet.GreenletExit"],
    ),
    "KeyboardInterrupt in a greenlet": (
        "say('end'); greenlet(fail).switch(KeyboardInterrupt)",
        -signal.SIGINT,
        ["Traceback (most recent call last):", "<module>", "fail", "KeyboardInterrupt"],
    ),
    "an interrupt in a greenlet": (
        # It may be ignored from the beginning, as it is for what a shell runs in the background.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); say('end'); "
        "greenlet(lambda: signal.raise_signal(signal.SIGINT)).switch()",
        -signal.SIGINT,
        ["Traceback (most recent call last):", "<module>", "<lambda>", "KeyboardInterrupt"],
    ),
    "os.abort in a greenlet": ("say('end'); greenlet(os.abort).switch()", -signal.SIGABRT, []),
    "terminated in a greenlet": (
        "import signal; say('end'); greenlet(lambda: os.kill(os.getpid(), signal.SIGTERM)).switch()",
        -signal.SIGTERM,
        [],
    ),
}

FAIL = """
def fail(kind=None):
    raise KeyError("why") if kind is None else kind
"""


# The dump that this asks for is what some of the tests look at, and no other's business.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONFAULTHANDLER"}


def start(code, *options, **environment):
    command = [sys.executable, *options, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env={**ENVIRONMENT, **environment})


# What an emulator says of a program that ends like that.
EMULATOR = "qemu: uncaught target signal"


def run(program, *options, **environment):
    """Its status, what it wrote, and the lines of its errors: of a traceback the functions' names only."""
    code = BEGIN + textwrap.dedent(program)
    done = start(code, *options, **environment)
    lines = []
    for line in done.stderr.splitlines():
        if line.startswith(EMULATOR):
            continue
        place = re.match(r'  File "<string>", line \d+, in (.+)', line)
        if place:
            lines.append(place[1])
        elif not line.startswith("  ") and "DeprecationWarning" not in line:  # of forks in programs with threads
            lines.append(line)
    if sys.version_info >= (3, 15):  # The reference's interpreter says the same of a coroutine that never comes to its end.
        said = re.compile("Exception ignored while closing generator <coroutine|ValueError: coroutine already executing")
        lines = [line for line in lines if not said.match(line)]
    return done.returncode, done.stdout, lines


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("end", ["the end", "sys.exit in a nested greenlet", "an exception in a greenlet"])
def test_each_state(state, end):
    last, status, lines = ENDS[end]
    assert run(textwrap.dedent(STATES[state]) + FAIL + last) == (status, "end\n", lines)


@pytest.mark.parametrize("end", ENDS)
def test_each_end_with_greenlets_in_all_states(end):
    last, status, lines = ENDS[end]
    states = "".join(textwrap.dedent(state) + "\n" for state in STATES.values())
    assert run(states + FAIL + last) == (status, "end\n", lines)


def test_a_function_of_atexit_switches():
    program = """
        g = keep(lambda: say("suspended", main.switch()) or "result")
        def late():
            say(g.switch("late"))
            say(greenlet(lambda: greenlet(lambda: "new").switch()).switch(), g.dead)
        atexit.register(late)
        sys.exit(9)
    """
    assert run(program) == (9, "suspended late\nresult\nnew True\n", [])


def test_a_function_of_atexit_throws_and_fails():
    program = """
        def waits():
            try:
                main.switch()
            except KeyError:
                say("thrown")
                sys.exit(8)
        g = keep(waits)
        def late():
            try:
                g.throw(KeyError)
            except SystemExit as end:
                say("status", end.code)
        atexit.register(late)
    """
    assert run(program) == (0, "thrown\nstatus 8\n", [])


def test_a_destructor_switches_while_modules_are_cleared():
    program = """
        class Late:
            def __init__(self):
                self.g = keep(lambda home=main: home.switch() + 1)
            def __del__(self, write=sys.stdout.write, greenlet=greenlet):
                write(f"{self.g.switch(4)} {greenlet(lambda: 'new').switch()} ")
        sys.late = Late()  # what the frames of a suspended greenlet can reach is never cleared: so not a global of ours
        kept.clear()
    """
    assert run(program) == (0, "5 new ", [])


def test_a_destructor_asks_who_runs_while_modules_are_cleared():
    program = """
        class Late:
            def __del__(self, write=os.write, getcurrent=getcurrent):
                try:
                    getcurrent()
                except RuntimeError as error:
                    write(1, str(error).encode())
        sys.late = Late()
    """
    assert run(program) == (0, "greenlet is being finalized", [])


def test_what_waits_to_be_ended_does_not_run_while_modules_are_cleared():
    """Another thread has given it up, and its own uses greenlets again only then."""
    program = """
        def heard(write=os.write):
            try:
                main.switch()
            finally:
                write(1, b"heard ")
        g = keep(heard)
        kept.clear()
        thread = threading.Thread(target=lambda: globals().pop("g"))
        thread.start()
        thread.join()
        class Late:
            def __del__(self, write=os.write, greenlet=greenlet):
                write(1, str(greenlet(lambda: "new").switch()).encode())
        sys.late = Late()
    """
    assert run(program) == (0, "new", [])


def test_what_a_thread_has_of_ours_is_left_alone_when_the_interpreter_is_no_more():
    """The trace function, what main's dictionary holds, and the greenlets that wait to be ended."""
    program = """
        import greenlet as package
        class Heard:
            def __init__(self, what):
                self.what = what
            def __call__(self, *args):
                pass
            def __del__(self, write=os.write):
                write(1, self.what.encode())
        def heard(value, write=os.write):
            try:
                main.switch()
            finally:
                write(1, b"finally ")
        g = keep(heard, Heard("argument "))
        g.held = Heard("greenlet ")
        kept.clear()
        thread = threading.Thread(target=lambda: globals().pop("g"))
        thread.start()
        thread.join()
        main.held = Heard("main ")
        package.settrace(Heard("trace "))
    """
    assert run(program) == (0, "", [])


def test_a_thread_that_is_not_a_daemon_is_waited_for():
    program = """
        def work():
            here = getcurrent()
            g = greenlet(lambda: here.switch("suspended") or "ended")
            say(g.switch())
            go.wait()
            time.sleep(0.05)
            say(g.switch())
        go = threading.Event()
        threading.Thread(target=work).start()
        keep(lambda: main.switch())
        atexit.register(lambda: say("atexit"))
        go.set()
    """
    assert run(program) == (0, "suspended\nended\natexit\n", [])


def test_fork_in_a_greenlet_and_both_go_on():
    """Three generations: each has its parent's greenlets, suspended where they were, and its own status."""
    program = """
        def numbers(n):
            while True:
                n += main.switch(n)

        def generation(depth):
            child = os.fork()
            if child:
                status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                main.switch(("parent", depth, status))
            elif depth < 3:
                generation(depth + 1)
            else:
                main.switch(("child", depth, 0))

        counters = [keep(numbers, n) for n in range(5)]
        g = greenlet(generation)
        who, depth, status = g.switch(1)
        found = [[c.switch(depth) for c in counters] for _ in range(3)]
        assert found == [[n + depth * i for n in range(5)] for i in (1, 2, 3)], found
        assert not g.dead and g.gr_frame.f_code is generation.__code__
        say(who, depth, status)
        sys.exit(10 * depth + status % 10)
    """
    expected = "child 3 0\nparent 3 30\nparent 2 30\nparent 1 20\n"
    assert run(program) == (10, expected, [])


def test_fork_with_greenlets_of_other_threads():
    program = """
        def work():
            here = getcurrent()
            g = greenlet(lambda: here.switch("suspended") or "ended")
            g.switch()
            kept.append(g)
            ready.release()
            go.acquire()
            kept.append(g.switch())
        ready, go = threading.Lock(), threading.Lock()
        ready.acquire(), go.acquire()
        thread = threading.Thread(target=work)
        thread.start()
        ready.acquire()
        def body():
            child = os.fork()
            if child:
                return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            theirs = kept.pop()
            try:
                theirs.switch()
            except Exception as error:
                say(error)
            say(theirs.dead, bool(theirs), theirs.gr_frame)
            del theirs
            say(greenlet(lambda: greenlet(lambda: "new").switch()).switch())
            sys.exit(11)
        say(greenlet(body).switch())
        go.release()
        thread.join()
        say(kept[-1])
    """
    refused = "cannot switch to a different thread (which happens to have exited)"
    assert run(program) == (0, f"{refused}\nTrue False None\nnew\n11\nended\n", [])


def test_fork_while_other_threads_are_inside_greenlets():
    """In the child nobody will ever leave those, and others lie above them on the same stack. What is freed is overwritten."""
    program = """
        def chain(n, depth):
            if depth:
                return max([n], key=lambda n: chain(n, depth - 1) or 0)
            if n == 3:
                ready.release()
                return go.acquire()
            kept.append(greenlet(chain))
            return kept[-1].switch(n + 1, 5)
        def work():
            chain(0, 0)
        ready, go = threading.Lock(), threading.Lock()
        ready.acquire(), go.acquire()
        threads = []
        for _ in range(3):
            threads.append(threading.Thread(target=work))
            threads[-1].start()
            ready.acquire()
        def body():
            child = os.fork()
            if child:
                return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert len(kept) == 9
            say([g.dead for g in kept[:3]])
            del kept[8], kept[5]  # two of those that ran
            say([g.dead for g in reversed(kept)])
            for g in kept:
                try:
                    g.switch()
                except Exception as error:
                    assert "different thread" in str(error), error
            while kept:
                kept.pop()
            say(greenlet(lambda: greenlet(lambda: "new").switch()).switch())
            sys.exit(12)
        say(greenlet(body).switch())
        for thread in threads:
            go.release()
            thread.join()
        say([g.dead for g in kept])
    """
    expected = f"{[True] * 3}\n{[True] * 7}\nnew\n12\n{[True] * 9}\n"
    assert run(program, PYTHONMALLOC="debug") == (0, expected, [])


def test_fork_in_a_greenlet_of_a_thread_and_only_that_goes_on():
    """The child's only thread is not the main one; greenlets of both it and the one that is gone were suspended."""
    program = """
        theirs = keep(lambda: main.switch())
        def work():
            here = getcurrent()
            mine = greenlet(lambda: here.switch("suspended") or "ended")
            mine.switch()
            def body():
                child = os.fork()
                if child:
                    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                mine.parent = getcurrent()
                say(mine.switch(), mine.dead, theirs.dead)
                os._exit(13)
            say(greenlet(body).switch())
            say(mine.switch())
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        say(theirs.dead, theirs.switch(), theirs.dead)
    """
    assert run(program) == (0, "ended True True\n13\nended\nFalse () True\n", [])

# What faulthandler prints: the functions of the one that runs, and of nobody else.

DUMPING = """
import faulthandler

def others():
    return max([1], key=lambda _: main.switch())

def deep_others(n):
    return deep_others(n - 1) + 1 if n else main.switch()

def outer(run):
    return inner(run)

def inner(run):
    return run()

for n in 1, 50:
    keep(others), keep(deep_others, n)

def overwrite(n=80):
    return max([n], key=lambda n: overwrite(n - 1) if n else 0)

greenlet(overwrite).switch()
"""


def dumps(program, *options):
    """The status, and what each dump says of the thread that runs: names of functions."""
    code = BEGIN + DUMPING + textwrap.dedent(program)
    done = start(code, *options)
    found = []
    for line in done.stderr.splitlines():
        if line.endswith("(most recent call first):") and "C stack" not in line:
            found.append([])
        place = re.match(r'  File "<string>", line \d+ in (.+)', line)
        if place:
            found[-1].append(place[1])
    assert found, done.stderr
    return done.returncode, found


def test_a_dump_in_a_greenlet_is_of_its_own_functions():
    program = """
        dump = faulthandler.dump_traceback
        greenlet(outer).switch(dump)
        greenlet(outer).switch(lambda: greenlet(outer).switch(lambda: max([1], key=lambda _: dump())))
        inner(dump)
        kept[0].switch()
        inner(dump)
    """
    expected = [
        ["inner", "outer"],
        ["<lambda>", "<lambda>", "inner", "outer"],
        ["inner", "<module>"],
        ["inner", "<module>"],
    ]
    assert dumps(program) == (0, expected)


def test_a_dump_of_all_threads():
    program = """
        def work():
            here = getcurrent()
            theirs = greenlet(lambda: here.switch())
            theirs.switch()
            def waits():
                ready.set()
                go.acquire()
            greenlet(outer).switch(waits)
        ready, go = threading.Event(), threading.Lock()
        go.acquire()
        thread = threading.Thread(target=work)
        thread.start()
        ready.wait()
        time.sleep(0.1)
        greenlet(outer).switch(lambda: faulthandler.dump_traceback(all_threads=True))
        go.release()
        thread.join()
    """
    status, found = dumps(program)
    assert status == 0
    assert sorted(found) == [["<lambda>", "inner", "outer"], ["waits", "inner", "outer"]]


def test_a_dump_by_the_watchdog():
    program = """
        faulthandler.dump_traceback_later(0.2)
        greenlet(outer).switch(lambda: time.sleep(1))
        faulthandler.cancel_dump_traceback_later()
        kept[0].switch()
        faulthandler.dump_traceback_later(0.2, exit=True)
        greenlet(lambda: greenlet(outer).switch(lambda: time.sleep(60))).switch()
    """
    assert dumps(program) == (1, [["<lambda>", "inner", "outer"]] * 2)


@pytest.mark.parametrize("crash", ["mmap.mmap(-1, 4096, prot=0)[0]", "os.kill(os.getpid(), signal.SIGSEGV)", "os.abort()"])
def test_a_crash_in_a_greenlet(crash):
    program = f"""
        import mmap, signal
        def crash():
            {crash}
        greenlet(outer).switch(crash)
    """
    status, found = dumps(program, "-X", "faulthandler")
    assert status in (-signal.SIGSEGV, -signal.SIGABRT)
    assert (status == -signal.SIGABRT) == ("abort" in crash)
    assert found == [["crash", "inner", "outer"]]


def test_a_signal_asks_for_a_dump():
    program = """
        import signal
        faulthandler.register(signal.SIGUSR1)
        greenlet(outer).switch(lambda: os.kill(os.getpid(), signal.SIGUSR1))
        kept[0].switch()
        inner(lambda: os.kill(os.getpid(), signal.SIGUSR1))
    """
    assert dumps(program) == (0, [["<lambda>", "inner", "outer"], ["<lambda>", "inner", "<module>"]])
