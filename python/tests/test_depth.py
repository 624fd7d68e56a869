"""Recursion without end in a greenlet ends in RecursionError, whatever recurses and however large the slices of others are; then everything goes on."""

import ast
import copy
import json
import pathlib
import pickle
import platform
import subprocess
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


def dies_without_greenlets(case, limit):
    """A raised limit is the user's own risk: where frames of C are large, as on s390x, some of these overflow the stack of any program."""
    program = f"""if True:
        import sys
        sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})
        from test_depth import CASES
        sys.setrecursionlimit({limit})
        try:
            CASES[{case!r}]()
        except (RecursionError, MemoryError):
            pass
    """
    status = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True).returncode
    return status < 0 or status > 128  # by a signal, or by one that a shell has seen


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("limit", [1000, 5000])
@pytest.mark.filterwarnings("ignore")
def test_recursion_without_end(case, limit):
    if platform.machine() != "x86_64" and dies_without_greenlets(case, limit):
        pytest.skip("it overflows the stack here without greenlets, too")
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


def calls_left(n=0):
    """How many Python calls there may be below this one."""
    try:
        return calls_left(n + 1)
    except RecursionError:
        return n


LEVELS, TWINS = [[]], [[]]
while len(LEVELS) < 40_000:
    LEVELS.append([LEVELS[-1]])
    TWINS.append([TWINS[-1]])


def c_calls_left():
    """How many calls of C that recurse there may be; where that is a matter of the machine stack (CPython 3.14 and newer), 0."""
    if sys.version_info >= (3, 14):
        return 0
    low, high = 0, len(LEVELS)
    while low < high - 1:
        middle = (low + high) // 2
        try:
            LEVELS[middle] == TWINS[middle]
        except RecursionError:
            high = middle
        else:
            low = middle
    assert high < len(LEVELS)
    return low


def left():
    return calls_left(), c_calls_left()


def test_each_greenlet_has_a_recursion_limit_of_its_own():
    """It begins with what is left where it is begun, and whatever others do meanwhile it has the same again when it goes on."""
    main = getcurrent()
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    try:
        here = left()
        assert here[0] > 400

        def body(depth):
            if depth:
                return body(depth - 1)
            mine = left()
            found = [mine]
            while (got := main.switch(mine)) is None:
                found.append(left())
            assert set(found) == {mine}
            return mine

        def begun_below(depth):
            """A greenlet that is begun `depth` calls below."""
            if depth:
                return begun_below(depth - 1)
            g = greenlet(body)
            return g, g.switch(0)

        def begun_in_c(depth):
            """The same through calls of C."""
            return max([depth], key=lambda n: found.append(begun_below(0)) or 0 if n == 0 else begun_in_c(n - 1) or 0)

        depths = [0, 1, 50, 300]
        some = [greenlet(body) for _ in depths]
        found = [(g, g.switch(depth)) for g, depth in zip(some, depths)]
        assert [found[0][1][0] - calls for _, (calls, _) in found] == depths
        assert found[0][1][0] <= here[0] and found[0][1][0] >= here[0] - 3
        found += [begun_below(depth) for depth in depths]
        begun_at = [found[4][1][0] - calls for _, (calls, _) in found[4:]]
        # On 3.11 a call counts once more or less, by whether it has been specialized.
        slack = 3 if sys.version_info < (3, 12) else 0
        assert all(abs(begun - depth) <= slack for begun, depth in zip(begun_at, depths)), begun_at
        begun_in_c(60)
        assert found[-1][1][0] < found[4][1][0] - 100
        if sys.version_info < (3, 14):
            assert found[-1][1][1] < found[4][1][1] - 50
        assert left() == here
        for order in found, found[::-1], found[::2] + found[1::2]:
            for g, mine in order:
                assert g.switch(None) == mine
                assert left() == here
        for g, mine in found:
            assert g.switch("end") == mine and g.dead
            assert left() == here
        with pytest.raises(RecursionError):
            greenlet(calls).switch()
        assert left() == here
    finally:
        sys.setrecursionlimit(before)
