"""What the tests share: a stack that has been overwritten, and a collector that is out of the way."""

import gc
import sys

import pytest

from greenlet import greenlet

# From 3.12 on, an interpreter with assertions ends the process when a call goes on that began before `sys.settrace` or
# `sys.setprofile` was called by another greenlet: it looks only at the frames that run. Without assertions that is harmless: the
# call's end is not reported. It is so with every implementation of greenlets.
keeps_tracing = pytest.mark.skipif(
    sys.version_info >= (3, 12) and hasattr(sys, "gettotalrefcount"),
    reason="an assertion of the interpreter: tracing may not change while a call is suspended",
)


# From 3.15 on the collector sees what a suspended greenlet's frames hold, and that from its seventh full collection on.
SHOWN_FRAMES = sys.version_info >= (3, 15)
YOUNG = 6


def collect_old():
    """Collects as often as it takes until frames are looked into that are new now."""
    for _ in range(YOUNG + 1):
        gc.collect()


def fill(depth):
    return max([depth], key=lambda d: fill(d - 1) if d else 0)


def names(frame):
    """Of the functions whose frames these are, the innermost first."""
    found = []
    while frame is not None:
        found.append(frame.f_code.co_name)
        frame = frame.f_back
    return found


@pytest.fixture
def overwrite():
    """A function that lets another greenlet write all over the stretch of the stack that a suspended one had."""

    def overwrite(depth=60):
        greenlet(fill).switch(depth)

    return overwrite


@pytest.fixture(autouse=True)
def collected():
    gc.collect()
    yield
    gc.collect()
