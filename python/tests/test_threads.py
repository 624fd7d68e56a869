"""Many threads, each with many greenlets, whose handles cross threads in every way, while threads end at every point.

The numbers are bounded, not the time: no step waits for another but by joins. What may happen is an error that is named here; what must
not is a switch between threads, a crash, or a greenlet that outlives its thread.
"""

import gc
import random
import sys
import threading

import pytest

import greenlet as package
from greenlet import GreenletExit, getcurrent, greenlet

THREADS = 8
GENERATIONS = 3
STEPS = 300


class Shared:
    """What all threads put their greenlets into, and take others' out of."""

    def __init__(self):
        self.all = []
        self.wrong = []
        self.ended = 0


def work(shared, seed):
    chance = random.Random(seed)
    here, me = getcurrent(), threading.get_ident()
    mine = []

    def body(depth, value=None):
        if depth:
            return max([0], key=lambda _: body(depth - 1) or 0)
        while True:
            try:
                value = here.switch(value)
            except KeyError:
                value = "thrown"
            except GreenletExit:
                shared.ended += 1
                raise
            finally:
                if threading.get_ident() != me:
                    shared.wrong.append("it ran in another thread")

    def foreign(what):
        try:
            what()
        except (package.error, ValueError):
            return
        except (AttributeError, TypeError) as error:
            shared.wrong.append(repr(error))

    for step in range(STEPS):
        other = chance.choice(shared.all) if shared.all else None
        kind = chance.randrange(12)
        if kind < 3 or not mine:
            g = greenlet(body)
            g.owner = me
            g.switch(chance.randrange(8))
            mine.append(g)
            if chance.random() < 0.5:
                shared.all.append(g)
        elif kind < 6:
            if chance.choice(mine).switch(step) != step:
                shared.wrong.append("another value came back")
        elif kind == 6:
            if chance.choice(mine).throw(KeyError) != "thrown":
                shared.wrong.append("nothing was thrown")
        elif kind == 7:
            mine.pop(chance.randrange(len(mine)))  # killed here, unless another holds it
        elif kind == 8 and shared.all:
            shared.all[chance.randrange(len(shared.all))] = chance.choice(mine)  # perhaps another thread's last handle
        elif kind == 9 and other is not None and other.owner != me:
            foreign(other.switch)
            foreign(lambda: other.throw(KeyError))
        elif kind == 10 and other is not None and other.owner != me:
            new = greenlet(body)
            foreign(lambda: setattr(new, "parent", other))
            foreign(lambda: setattr(chance.choice(mine), "parent", other))
        elif other is not None:
            other.dead, bool(other), repr(other), other.parent, other.gr_frame
        if chance.random() < 0.003:
            return  # with all that is suspended
    if chance.random() < 0.5:
        mine.clear()


@pytest.mark.parametrize("interval", [1e-6, 1e-3])
def test_handles_cross_threads_and_threads_end(interval):
    shared = Shared()
    before = sys.getswitchinterval()
    sys.setswitchinterval(interval)
    try:
        for generation in range(GENERATIONS):
            threads = [threading.Thread(target=work, args=(shared, generation * THREADS + n)) for n in range(THREADS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(before)
    assert shared.wrong == []
    assert shared.ended > 0
    # All their threads have ended.
    for g in shared.all:
        assert g.dead and not g and g.gr_frame is None, (repr(g), g.dead, bool(g), g.gr_frame)
        if g.parent is not None:
            with pytest.raises(package.error):
                g.switch()
    shared.all.clear()
    gc.collect()
    assert greenlet(lambda: greenlet(lambda: 5).switch()).switch() == 5
