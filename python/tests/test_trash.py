"""What the interpreter puts off giving up, because a chain of containers is long and the stack nearly used up, is gone with its
greenlet. From 3.13 on each greenlet has a list of such things, which the interpreter takes up only where enough of the
stack is left; the reference package leaks the list of a greenlet that began where there was not."""

import sys
import weakref

import pytest

from greenlet import GreenletExit, getcurrent, greenlet, stackless


class Thing:
    pass


class Last:
    def __init__(self, at_its_end):
        self.at_its_end = at_its_end

    def __del__(self):
        self.at_its_end()


def chain(innermost):
    """Containers in containers, and weak references to all that is in them."""
    things = [innermost] + [Thing() for _ in range(300)]
    it = []
    for thing in things:
        it = (thing, [it])
    return it, [weakref.ref(thing) for thing in things]


def living(references):
    return sum(reference() is not None for reference in references)


def dive(levels, action):
    """Calls `action` below that many calls that go through C; answers what it returns."""
    if levels == 0:
        return action()
    results = []
    max([0], key=lambda _: results.append(dive(levels - 1, action)) or 0)
    return results[0]


def drop_a_chain(make_innermost=Thing):
    it, references = chain(make_innermost())
    del it
    return references, living(references)


@pytest.fixture(scope="module")
def levels():
    """How deep a greenlet begins that puts off, at its end, what it drops: not so deep that it could do nothing else. Before
    3.13, just deep."""
    limit = sys.getrecursionlimit()
    if sys.version_info >= (3, 12):
        sys.setrecursionlimit(1_000_000)  # the limit is that of C

    def nothing_is_put_off(levels):
        try:
            return dive(levels, greenlet(drop_a_chain).switch)[1] == 0
        except RecursionError:
            return False

    step = 64
    while nothing_is_put_off(step):
        step *= 2
    levels = 0
    while step := step // 2:
        if nothing_is_put_off(levels + step):
            levels += step
    # A few more: a test is not as deep in calls of pytest's as this is.
    yield levels + 5 if sys.version_info >= (3, 13) else levels // 2
    sys.setrecursionlimit(limit)


def test_all_is_given_up(levels):
    references, put_off = dive(levels, greenlet(drop_a_chain).switch)
    assert (put_off > 0) == (sys.version_info >= (3, 13))
    assert living(references) == 0


def test_and_so_it_is_at_every_depth(levels):
    """Down to where nothing can be called any more."""
    for deeper in range(0, 10_000, 3):
        try:
            references, _ = dive(levels + deeper, greenlet(drop_a_chain).switch)
        except RecursionError:
            break
        assert living(references) == 0
    else:
        pytest.fail("there was no end")
    assert deeper > 3


def test_an_exception_goes_to_the_parent_all_the_same(levels):
    kept = []

    def body():
        kept.extend(drop_a_chain()[0])
        raise KeyError("out of it")

    with pytest.raises(KeyError, match="out of it"):
        dive(levels, greenlet(body).switch)
    assert len(kept) == 301 and living(kept) == 0


def test_a_finalizer_may_switch(levels):
    main = getcurrent()
    g = greenlet(lambda: drop_a_chain(lambda: Last(lambda: main.switch("in the finalizer"))))

    def there_and_back():
        assert g.switch() == "in the finalizer"
        assert not g.dead and g.gr_frame.f_code.co_name == "<lambda>"
        return g.switch()

    references, put_off = dive(levels, there_and_back)
    assert g.dead and living(references) == 0
    assert (put_off > 0) == (sys.version_info >= (3, 13))


def test_one_that_is_killed_in_the_middle_of_it_gives_up_the_rest(levels, monkeypatch):
    main = getcurrent()
    kept, seen = [], []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: seen.append(unraisable.exc_type))

    def body():
        it, references = chain(Thing())
        kept.extend(references)
        it = (Last(lambda: main.switch("in the finalizer")), it)
        del it

    def end_it():
        g = greenlet(body)
        assert g.switch() == "in the finalizer"
        assert (living(kept) > 0) == (sys.version_info >= (3, 13))

    dive(levels, end_it)
    assert seen == [GreenletExit]
    assert len(kept) == 301 and living(kept) == 0


def test_a_tasklet_does_so_too(levels):
    kept = []

    def run():
        for _ in range(3):
            stackless.tasklet(lambda: kept.extend(drop_a_chain()[0]))()
        stackless.run()

    dive(levels, run)
    assert len(kept) == 903 and living(kept) == 0
