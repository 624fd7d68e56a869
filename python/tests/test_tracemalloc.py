"""Whoever asks the interpreter for memory may be looked at by `tracemalloc`: in the middle of a switch, too."""

import os
import subprocess
import sys
import tracemalloc

from greenlet import getcurrent, greenlet

# Slices grow while the thread state has the frames of the one that is switched to: those must not be walked, since what lies on
# their stretch of the stack is another's. It takes frames that have others' bytes over them, and a traceback that is long enough.
GROWING = """
import tracemalloc
from greenlet import getcurrent, greenlet

main = getcurrent()

def deep(n, last):
    return max([n], key=lambda n: deep(n - 1, last)) if n else last()

def body():
    while True:
        deep(7, main.switch)

tracemalloc.start(30)
for _ in range(30):
    some = [greenlet(body) for _ in range(10)]
    for turn in range(3):
        for i, g in enumerate(some):
            deep(i * 3 + turn, g.switch)
print("well", tracemalloc.get_traced_memory()[0] > 0)
"""


def test_slices_that_grow_while_memory_is_traced():
    for debug in ("0", "1"):
        env = {**os.environ, "GREENLET_DEBUG": debug}
        done = subprocess.run([sys.executable, "-X", "faulthandler", "-c", GROWING], capture_output=True, text=True, env=env)
        assert (done.returncode, done.stdout) == (0, "well True\n"), done.stderr


def test_slices_are_seen():
    """A slice of some kilobytes is counted, and is gone when its greenlet is. (First frames are kept for others.)"""
    main = getcurrent()

    def deep(n, last):
        return max([n], key=lambda n: deep(n - 1, last)) if n else last()

    def suspended(n):
        g = greenlet(deep)
        g.switch(n, main.switch)
        greenlet(deep).switch(n + 20, lambda: None)
        return g

    suspended(60)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        g = suspended(60)
        during = tracemalloc.get_traced_memory()[0]
        del g
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert during - before > 8000
    assert during - after > 8000
