"""Running out of memory at every allocation of ours, one after the other: an error that somebody gets, never the end of
the process.

Each program runs in a process of its own, and there once for each allocation that it makes: that one fails alone, or with
all that follow. `failing.c` is the allocator.
"""

import os
import pathlib
import shlex
import subprocess
import sys
import sysconfig

import pytest

PROGRAM = """
import failing, gc, sys
from greenlet import getcurrent, greenlet

gc.disable()

def deep(n, last):
    '''The result of last(), called n calls of C below.'''
    return next(map(lambda n: deep(n - 1, last), (n,))) if n else last()

{body}

def attempt(index, end):
    # In a greenlet that has no buffer yet.
    global home
    home = getcurrent()
    context = prepare()
    failing.begin(index, end)
    try:
        outcome = run(context)
    except MemoryError:
        outcome = "MemoryError"
    finally:
        allocations = failing.end()
    check(context, outcome)
    return outcome, allocations

outcome, allocations = greenlet(attempt).switch(-1, -1)
assert outcome != "MemoryError"
failed = 0
for index in range(allocations):
    for end in (index + 1, sys.maxsize):
        failed += greenlet(attempt).switch(index, end)[0] == "MemoryError"
print(allocations, failed)
"""

# The child of `a` is begun by it, so it lies below, and ends when `home` has been written over the both of them: to let `a`
# go on, what that has there must be saved first.
END = """
def prepare():
    a, b = greenlet(first), greenlet(second)
    a.switch(b)
    return a, b

def first(b):
    b.parent = getcurrent()
    return "first", b.switch()

def second():
    deep(30, lambda: home.switch())
    return "second"

def run(context):
    a, b = context
    return deep(80, b.switch)

def check(context, outcome):
    a, b = context
    assert outcome in ("MemoryError", ("first", "second")), outcome
    if outcome != "MemoryError":
        assert a.dead and b.dead
    for g in (b, a):
        g.throw()
        assert g.dead
"""

# The same with an exception for the parent, and with a parent that has not begun.
END_WITH = """
def prepare():
    a = greenlet(lambda *got: ("first", got))
    b = greenlet(lambda: deep(30, home.switch) and None or "second", a)
    c = greenlet(lambda: deep(10, home.switch), a)
    b.switch()
    c.switch()
    return a, b, c

def run(context):
    a, b, c = context
    ended = deep(80, b.switch)
    try:
        deep(20, lambda: c.throw(KeyError))
    except KeyError:
        return ended

def check(context, outcome):
    assert outcome in ("MemoryError", ("first", ("second",))), outcome
    for g in context:
        try:
            g.throw()
        except MemoryError:
            pass
        g.throw()
        assert g.dead
"""

BEGIN = """
def prepare():
    return []

def run(context):
    def body(*args, **kwargs):
        return home.switch(args, kwargs)
    g = greenlet(body)
    context.append(g)
    return deep(5, lambda: g.switch(1, key=2)), deep(9, lambda: g.switch(3))

def check(context, outcome):
    assert outcome in ("MemoryError", (((1,), dict(key=2)), 3)), outcome
    for g in context:
        g.throw()
        assert g.dead
"""

THROW = """
def prepare():
    def body():
        while True:
            try:
                home.switch("ready")
            except KeyError as error:
                home.switch(str(error))
    g = greenlet(lambda: deep(8, body))
    g.switch()
    return g

def run(g):
    return deep(12, lambda: g.throw(KeyError, "k")), deep(90, g.switch)

def check(g, outcome):
    assert outcome in ("MemoryError", ("'k'", "ready")), outcome
    g.throw()
    assert g.dead
"""

# Tasklets that begin, meet, switch, throw and end, each at other depths. What one does not catch goes to the one that runs
# the scheduler, here a greenlet that is not main's.
TASKLETS = """
from greenlet import stackless

def prepare():
    c, log, tasks = stackless.channel(), [], []
    def receiver():
        while True:
            try:
                log.append(deep(30, c.receive))
            except MemoryError:
                log.append("MemoryError")
            except StopIteration:
                return
    tasks.append(stackless.tasklet(receiver)())
    tasks[0].run()
    return c, log, tasks

def run(context):
    c, log, tasks = context
    deep(50, lambda: c.send(1))
    tasks.append(stackless.tasklet(lambda: deep(20, lambda: c.send(2)))())
    deep(60, stackless.run)
    tasks.append(stackless.tasklet(deep)(10, stackless.schedule_remove))
    stackless.run()
    deep(40, tasks[-1].run)
    deep(15, lambda: c.send_exception(StopIteration))
    return log

def check(context, outcome):
    c, log, tasks = context
    assert outcome == "MemoryError" or set(outcome) <= {1, 2, "MemoryError"}, outcome
    for task in tasks:
        while task.alive:
            try:
                task.kill()
            except MemoryError:
                pass
    assert stackless.getruncount() == 1 and c.balance == 0, (stackless.getruncount(), c.balance)
    assert stackless.getcurrent() is stackless.getmain()
"""

# `b` cannot go on to any ancestor, since `a`, from which it was begun and which lies above it, cannot be saved.
ABOVE = """
import failing, sys
from greenlet import getcurrent, greenlet

def home():
    def above():
        try:
            return b.switch()
        except MemoryError:
            return "above"
    a = greenlet(above)
    b = greenlet(lambda: None)
    failing.begin(0, sys.maxsize)
    outcome = a.switch()
    failed = failing.end()
    assert outcome == "above", outcome
    assert a.dead and b.dead
    print(failed, failed)

greenlet(home).switch()
"""

# The first use in a thread makes what the thread has of ours.
THREAD = """
import failing, gc, sys, threading
from greenlet import greenlet

gc.disable()

def thread(index, end, result):
    failing.begin(index, end)
    try:
        outcome = greenlet(lambda x: x + 1).switch(1)
    except MemoryError:
        outcome = "MemoryError"
    finally:
        allocations = failing.end()
    result += outcome, allocations

def attempt(index, end):
    result = []
    t = threading.Thread(target=thread, args=(index, end, result))
    t.start()
    t.join()
    assert result[0] in (2, "MemoryError")
    return result

outcome, allocations = attempt(-1, -1)
assert outcome == 2
failed = 0
for index in range(allocations):
    for end in (index + 1, sys.maxsize):
        failed += attempt(index, end)[0] == "MemoryError"
print(allocations, failed)
"""


@pytest.fixture(scope="session")
def failing(tmp_path_factory):
    """Where the allocator is, compiled for this interpreter."""
    folder = tmp_path_factory.mktemp("failing")
    source = pathlib.Path(__file__).with_name("failing.c")
    library = folder / ("failing" + sysconfig.get_config_var("EXT_SUFFIX"))
    compiler = shlex.split(os.environ.get("CC", "cc"))
    include = "-I" + sysconfig.get_paths()["include"]
    subprocess.run([*compiler, "-shared", "-fPIC", "-O1", include, str(source), "-o", str(library)], check=True)
    return folder


@pytest.mark.parametrize(
    "program",
    [*(PROGRAM.format(body=body) for body in (END, END_WITH, BEGIN, THROW, TASKLETS)), ABOVE, THREAD],
    ids=["end", "end_with", "begin", "throw", "tasklets", "above", "thread"],
)
def test_every_allocation_may_fail(failing, program):
    path = [str(failing), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
    )
    assert done.returncode == 0, done.stderr
    allocations, failed = map(int, done.stdout.split())
    assert allocations > 0 and failed > 0, done.stdout
