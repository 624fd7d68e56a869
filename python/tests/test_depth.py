"""Recursion without end in a greenlet ends in RecursionError, whatever recurses and however large the slices of others are; then everything goes on."""

import ast
import copy
import json
import pickle
import sys

import pytest

from greenlet import getcurrent, greenlet


class Deep:
    def __init__(self, inner):
        self.inner = inner

    def __repr__(self):
        return repr(self.inner)

    def __eq__(self, other):
        return self.inner == other.inner

    __hash__ = None


def nested(n):
    value = []
    for _ in range(n):
        value = [value]
    return value


def calls():
    return calls()


def calls_through_c():
    return max([0], key=lambda _: calls_through_c())


def generators():
    yield from generators()




def objects():
    value = None
    for _ in range(100_000):
        value = Deep(value)
    try:
        return repr(value)
    finally:
        while value is not None:
            value = value.inner


CASES = {
    "calls": calls,
    "calls through C": calls_through_c,
    "generators": lambda: list(generators()),
    "repr": lambda: repr(nested(400_000)),
    "objects": objects,
    "comparison": lambda: nested(400_000) == nested(400_000),
    "copy": lambda: copy.deepcopy(nested(50_000)),
    "pickle": lambda: pickle.dumps(nested(50_000)),
    "json": lambda: json.loads("[" * 200_000),
    "ast": lambda: ast.literal_eval("-" * 200_000 + "1"),
}


def suspended(home, depth):
    """A greenlet with a slice of some size."""

    def deep(n):
        local = [n] * 3
        value = max([n], key=lambda n: deep(n - 1)) if n else home.switch()
        assert local == [n] * 3
        return value

    g = greenlet(deep)
    g.switch(depth)
    return g


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("limit", [1000, 5000])
@pytest.mark.filterwarnings("ignore")
def test_recursion_without_end(case, limit):
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(limit)
    try:
        main = getcurrent()
        others = [suspended(main, depth) for depth in (1, 20, 60)]

        def body():
            for _ in range(3):
                # The compiler's parser says so by MemoryError.
                with pytest.raises((RecursionError, MemoryError)):
                    CASES[case]()
                main.switch("caught")
            return "end"

        some = [greenlet(body), greenlet(body)]
        found = [g.switch() for g in some]
        for _ in range(2):
            found += [g.switch() for g in some]
        found += [g.switch() for g in reversed(some)]
        assert found == ["caught"] * 6 + ["end"] * 2
        for g in others:
            g.switch(0)
            assert g.dead
    finally:
        sys.setrecursionlimit(before)
