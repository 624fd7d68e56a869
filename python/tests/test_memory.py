"""References and memory stay flat, over a million switches, creations and throws."""

import gc
import os
import subprocess
import sys
import weakref

import psutil
import pytest
from conftest import SHOWN_FRAMES, YOUNG

from greenlet import getcurrent, greenlet

# An interpreter with assertions takes ten times as long for the same.
TIMES = 100_000 if hasattr(sys, "gettotalrefcount") else 1_000_000


def resident():
    return psutil.Process(os.getpid()).memory_info().rss


def flat(work, times, kept=256 * 1024):
    """Runs `work` often, after it has been run a little, and holds that neither blocks nor pages have become more."""
    work(times // 20)
    gc.collect()
    blocks, before = sys.getallocatedblocks(), resident()
    work(times)
    gc.collect()
    assert sys.getallocatedblocks() - blocks < 200
    assert resident() - before < kept


def test_switches_of_every_shape():
    main = getcurrent()

    def body(*args, **kwargs):
        while True:
            main.switch()
            main.switch(1000)
            main.switch(1000, 1001)
            main.switch(a=1000)

    def work(times):
        g = greenlet(body)
        g.switch()
        for i in range(times // 4):
            g.switch(i)
            g.switch(i, i)
            g.switch(i, a=i)
            g.switch(a=i)

    flat(work, TIMES)


def test_creations_that_run_to_their_end():
    def work(times):
        for i in range(times):
            greenlet(int).switch(i)

    flat(work, TIMES)


def test_creations_that_are_never_run_and_that_are_killed():
    main = getcurrent()

    def work(times):
        for _ in range(times // 2):
            greenlet(main.switch)
            greenlet(main.switch).switch()

    flat(work, TIMES // 2)


def test_throws():
    main = getcurrent()

    def body():
        while True:
            try:
                main.switch()
            except KeyError as error:
                main.switch(error)

    def fails():
        raise ValueError

    def work(times):
        g = greenlet(body)
        g.switch()
        for _ in range(times // 2):
            assert type(g.throw(KeyError, 1)) is KeyError
            g.switch()
            try:
                greenlet(fails).switch()
            except ValueError:
                pass
            greenlet(fails).throw()

    flat(work, TIMES // 2)


def test_deep_stacks_that_take_turns():
    main = getcurrent()

    def down(n):
        if n:
            return max([n - 1], key=down)
        while True:
            main.switch()

    def work(times):
        gs = [greenlet(down) for _ in range(3)]
        for depth, g in enumerate(gs):
            g.switch(10 + 10 * depth)
        for _ in range(times):
            for g in gs:
                g.switch()

    flat(work, TIMES // 20)


def test_frames_that_are_looked_at():
    main = getcurrent()

    def body():
        while True:
            main.switch()

    def work(times):
        g = greenlet(body)
        for _ in range(times):
            g.switch()
            g.gr_frame.f_back
            sys._getframe()

    flat(work, TIMES // 10)


def test_many_at_once_give_their_memory_back():
    main = getcurrent()
    peaks = []

    def work(times):
        before = resident()
        gs = [greenlet(main.switch) for _ in range(times)]
        for g in gs:
            g.switch()
        peaks.append(resident() - before)
        gs.clear()

    work(20_000)
    work(20_000)
    blocks, before = sys.getallocatedblocks(), resident()
    for _ in range(8):
        work(20_000)
    gc.collect()
    assert sys.getallocatedblocks() - blocks < 200
    # The allocator may keep some of it for the next time. What was lost each time would be eight times as much.
    assert resident() - before < peaks[0]


def test_reference_counts_of_what_crosses():
    main = getcurrent()
    token, key, error = object(), "a key that is not interned", KeyError("x")

    def body(*args, **kwargs):
        while True:
            try:
                main.switch(*args, **kwargs)
            except KeyError:
                pass

    def counts():
        return [sys.getrefcount(x) for x in (token, key, error, main, body, g, (), KeyError)]

    g = greenlet(body)
    g.switch(token, **{key: token})
    g.throw(error)
    error.__traceback__ = None
    before = counts()
    for _ in range(1000):
        g.switch(token)
        g.switch(token, token)
        g.switch(**{key: token})
        g.throw(error)
        error.__traceback__ = None
    assert counts() == before


def test_what_a_greenlet_held_is_free_after_its_end():
    class Thing:
        pass

    def body(thing):
        mine = Thing()
        seen.append(weakref.ref(mine))
        return getcurrent().parent.switch(thing)

    seen = []
    for end in ("run", "kill", "throw"):
        thing = Thing()
        seen.append(weakref.ref(thing))
        g = greenlet(body)
        assert g.switch(thing) is thing
        del thing
        if end == "run":
            g.switch()
        elif end == "throw":
            with pytest.raises(KeyError):
                g.throw(KeyError)
        del g
    gc.collect()
    assert [reference() for reference in seen] == [None] * 6


@pytest.mark.skipif(not SHOWN_FRAMES, reason="before 3.15 the collector cannot be shown suspended frames")
@pytest.mark.parametrize("begin", [lambda g: g.switch(), lambda g: g.switch(g)], ids=["plain", "arguments"])
def test_cycles_through_local_variables_are_collected(begin):
    class Thing:
        pass

    def body(of=None):
        mine = Thing()
        seen.append(weakref.ref(mine))
        mine.g = getcurrent()
        main.switch()

    main, seen = getcurrent(), []
    for _ in range(20):
        begin(greenlet(body))
    gc.disable()
    try:
        for _ in range(3 * YOUNG):  # makes nobody older
            gc.collect()
    finally:
        gc.enable()
    for _ in range(YOUNG):
        gc.collect()
    getcurrent()
    assert [reference() is None for reference in seen] == [False] * 20
    gc.collect()
    getcurrent()
    gc.collect()
    assert [reference() for reference in seen] == [None] * 20


def test_many_at_once_cost_what_they_use():
    # In a process of its own: here there is memory that earlier tests have given back.
    program = """if True:
        import os, sys
        from greenlet import getcurrent, greenlet
        def resident():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        main = getcurrent()
        gs = [greenlet(main.switch) for _ in range(20_000)]
        gs += [greenlet(lambda: main.switch()) for _ in range(20_000)]
        before = resident()
        for g in gs:
            g.switch()
        print((resident() - before) / len(gs))
        sys.stdout.flush()
        os._exit(0)
    """
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    # A page for the first frames of each would be more than that alone.
    assert 100 < float(done.stdout) < 4000


def test_calls_go_on_where_the_memory_for_first_frames_ends():
    main = getcurrent()

    def down(n, *values):
        # Frames that are large enough for some depths to end in every kind of first chunk and in those that follow.
        a, b, c, d = values
        if n:
            assert down(n - 1, b, c, d, a) == (n - 1, b, c, d, a)
        else:
            main.switch()
            main.switch()
        return n, a, b, c, d

    # More than there are large chunks for, and twice, so that what ended is used again.
    for _ in range(2):
        gs = [(greenlet(down), i) for i in range(700)]
        for g, i in gs:
            g.switch(i * 7 % 130, i, i + 1, i + 2, i + 3)
        for g, i in gs:
            g.switch()
        for g, i in reversed(gs):
            assert g.switch() == (i * 7 % 130, i, i + 1, i + 2, i + 3)
            assert g.dead
