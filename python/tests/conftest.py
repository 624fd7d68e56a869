"""What the tests share: a stack that has been overwritten, and a collector that is out of the way."""

import gc

import pytest

from greenlet import greenlet


def _fill(depth):
    return max([depth], key=lambda d: _fill(d - 1) if d else 0)


@pytest.fixture
def overwrite():
    """A function that lets another greenlet write all over the stretch of the stack that a suspended one had."""

    def overwrite(depth=60):
        greenlet(_fill).switch(depth)

    return overwrite


@pytest.fixture(autouse=True)
def collected():
    gc.collect()
    yield
    gc.collect()
