"""Many threads, each with many greenlets, whose handles cross threads in every way, while threads end at every point.

The numbers are bounded, not the time: no step waits for another but by joins. What may happen is an error that is named here; what must
not is a switch between threads, a crash, or a greenlet that outlives its thread.
"""

import gc
import os
import random
import subprocess
import sys
import textwrap
import threading
import tracemalloc
import weakref

import pytest

import greenlet as package
from greenlet import GreenletExit, getcurrent, greenlet
from greenlet._greenlet import get_total_main_greenlets

THREADS = 8
GENERATIONS = 3
STEPS = 300


class Shared:
    """What all threads put their greenlets into, and take others' out of."""

    def __init__(self):
        self.all = []
        self.made = []
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

    def foreign(what, *errors):
        """It is refused, and by one of these."""
        try:
            what()
        except errors:
            return
        except Exception as error:
            shared.wrong.append(repr(error))
        else:
            shared.wrong.append("what is another thread's was not refused")

    for step in range(STEPS):
        other = chance.choice(shared.all) if shared.all else None
        kind = chance.randrange(12)
        if kind < 3 or not mine:
            g = greenlet(body)
            g.owner = me
            shared.made.append(weakref.ref(g))
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
            foreign(other.switch, package.error)
            foreign(lambda: other.throw(KeyError), package.error)
        elif kind == 10 and other is not None and other.owner != me:
            foreign(lambda: setattr(chance.choice(mine), "parent", other), ValueError)
            new = greenlet(body)
            try:
                new.parent = other
            except ValueError:  # its thread has ended, and its parents are gone
                pass
            else:
                foreign(new.switch, package.error)
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
    del g
    shared.all.clear()
    gc.collect()
    assert not any(made() for made in shared.made)
    assert greenlet(lambda: greenlet(lambda: 5).switch()).switch() == 5


def test_they_cross_with_an_allocator_that_overwrites_what_is_freed():
    """So what is used after that cannot stay unseen."""
    program = f"""
        import sys
        sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r})
        from test_threads import test_handles_cross_threads_and_threads_end
        test_handles_cross_threads_and_threads_end(1e-4)
    """
    command = [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(program)]
    environment = {**os.environ, "PYTHONMALLOC": "debug", "GREENLET_DEBUG": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


class Threads:
    """A thread that does as it is told, one thing after the other."""

    def __init__(self):
        self.todo, self.done = threading.Semaphore(0), threading.Semaphore(0)
        self.thread = threading.Thread(target=self.loop)
        self.thread.start()

    def loop(self):
        while True:
            self.todo.acquire()
            what, self.what = self.what, None
            if what is None:
                return
            try:
                self.result = what()
            except BaseException as error:
                self.result = error
            del what
            self.done.release()

    def tell(self, what):
        self.what = what
        self.todo.release()
        self.done.acquire()
        result, self.result = self.result, None
        return result

    def end(self):
        self.what = None
        self.todo.release()
        self.thread.join()


def suspended(log, value, depth=20):
    """One of the calling thread, that notes where and how it ends."""
    here = getcurrent()

    def body(value, depth):
        if depth:
            return max([0], key=lambda _: body(value, depth - 1) or 0)
        try:
            here.switch()
        finally:
            log.append((threading.get_ident(), sys.exc_info()[0]))

    g = greenlet(body)
    g.switch(value, depth)
    return g


@pytest.fixture
def other():
    thread = Threads()
    try:
        yield thread
    finally:
        if thread.thread.is_alive():
            thread.end()


def test_last_handles_that_go_away_in_another_thread(other):
    """Nothing runs there. Their own thread ends them when it uses greenlets again: all, in the order in which they were given up."""
    log = []
    some = other.tell(lambda: [suspended(log, n, n) for n in range(50)])
    refs = [weakref.ref(g) for g in some]
    ident = other.thread.ident
    while some:
        some.pop(0)
        getcurrent()  # of this thread: it has nothing to do with it
    assert log == [] and all(refs)
    other.tell(getcurrent)
    assert log == [(ident, GreenletExit)] * 50
    assert not any(ref() for ref in refs)


def test_last_handles_that_go_away_in_another_thread_just_before_theirs_ends(other):
    """Nothing runs: they are gone, and what is certain of what they held, too."""

    class Value:
        pass

    log = []
    some = other.tell(lambda: [suspended(log, Value()) for _ in range(10)])
    for g in some:
        g.held = Value()
    refs = [weakref.ref(g) for g in some], [weakref.ref(g.held) for g in some]
    del g
    some.clear()
    assert all(ref() for ref in refs[0])
    other.end()
    assert log == []
    assert not any(ref() for kind in refs for ref in kind)


def test_nothing_of_a_thread_whose_greenlets_have_ended_stays(other):
    getcurrent()
    before = get_total_main_greenlets()
    main = weakref.ref(other.tell(getcurrent))
    ended = other.tell(lambda: greenlet(lambda: greenlet(getcurrent).switch()))
    other.tell(ended.switch)
    assert get_total_main_greenlets() == before + 1
    other.end()
    assert ended.parent is main() and ended.dead
    other_end = ended.parent
    del ended
    assert "(thread exited) dead" in repr(other_end) and other_end.dead
    del other_end
    assert main() is None and get_total_main_greenlets() == before


def test_slices_of_an_ended_thread_are_given_back(other):
    """At the first look at a greenlet, or with its last reference."""
    main = getcurrent()
    tracemalloc.start()
    try:
        some = other.tell(lambda: [suspended([], n, 60) for n in range(60)])
        kept = tracemalloc.get_traced_memory()[0]
        slices = sum(g._stack_saved for g in some)
        assert slices > 500_000
        other.end()
        assert all(g.dead for g in some[:30])
        del some
        given_up = kept - tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert given_up > slices * 0.9, (given_up, slices)
    assert main is getcurrent()


def test_what_is_another_threads_is_refused(other):
    log = []
    theirs, new, ended = other.tell(lambda: [suspended(log, 1), greenlet(suspended), greenlet(lambda: None)])
    other.tell(ended.switch)
    mine = suspended(log, 2)
    for g in theirs, new, ended, other.tell(getcurrent):
        for use in g.switch, lambda: g.switch(1, 2), lambda: g.switch(key=1), g.throw, lambda: g.throw(KeyError), greenlet(int, g).switch:
            with pytest.raises(package.error, match="different thread"):
                use()
        for child in mine, getcurrent():
            with pytest.raises((ValueError, AttributeError)):
                child.parent = g
    with pytest.raises(ValueError, match="parent cannot be on a different thread"):
        mine.parent = theirs
    with pytest.raises(ValueError, match="cannot (get|set) context of a greenlet that is running in a different thread"):
        other.tell(getcurrent).gr_context
    assert not theirs.dead and not mine.dead and log == []
    assert isinstance(other.tell(mine.switch), package.error)
    mine.throw()
    other.tell(theirs.throw)
    assert [end for _, end in log] == [GreenletExit] * 2
