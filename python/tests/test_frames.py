"""Frame objects made before a switch stay true while the greenlet is suspended, and after it went on."""

import sys
import threading
import traceback

import pytest
from conftest import keeps_tracing, names

from greenlet import getcurrent, greenlet


def nest(depth, at_the_bottom):
    if depth == 0:
        return at_the_bottom()
    return max([0], key=lambda _: nest(depth - 1, at_the_bottom))


def expected(depth, bottom):
    return [bottom, "nest"] + ["<lambda>", "nest"] * depth


@pytest.mark.parametrize("depth", [1, 2, 50])
def test_frame_object_made_before_the_switch_leads_to_the_bottom(depth, overwrite):
    main = getcurrent()
    seen = []

    def bottom():
        seen.append(sys._getframe())
        main.switch()
        return 0

    g = greenlet(nest)
    g.switch(depth, bottom)
    overwrite()
    assert names(seen[0]) == expected(depth, "bottom")
    g.switch()
    assert g.dead
    assert names(seen[0])[0] == "bottom"


@pytest.mark.parametrize("depth", [1, 2, 50])
def test_frame_of_an_outer_function_leads_to_the_bottom(depth, overwrite):
    main = getcurrent()
    seen = []

    def outer():
        seen.append(sys._getframe())
        return nest(depth, bottom)

    def bottom():
        main.switch()
        return 0

    g = greenlet(lambda: max([0], key=lambda _: outer()))
    g.switch()
    overwrite()
    assert names(seen[0]) == ["outer", "<lambda>", "<lambda>"]
    g.switch()
    assert g.dead


@pytest.mark.parametrize("depth", [1, 2, 50])
def test_gr_frame_without_any_frame_object_before(depth, overwrite):
    main = getcurrent()

    def bottom():
        main.switch()
        return 0

    g = greenlet(nest)
    g.switch(depth, bottom)
    overwrite()
    assert names(g.gr_frame) == expected(depth, "bottom")
    overwrite()
    assert names(g.gr_frame) == expected(depth, "bottom")
    g.switch()
    assert g.dead and g.gr_frame is None


def test_frames_of_main_stay_true_while_main_is_suspended(overwrite):
    here = []

    def inner():
        overwrite()
        return names(here[0]), names(getcurrent().parent.gr_frame)

    def call(_):
        here.append(sys._getframe())
        return greenlet(inner).switch()

    from_object, from_greenlet = list(map(call, [0]))[0]
    assert from_object == from_greenlet
    assert from_object[:2] == ["call", test_frames_of_main_stay_true_while_main_is_suspended.__name__]


@pytest.mark.parametrize("depth", [1, 2, 50])
def test_frames_of_main_that_lie_below_where_a_greenlet_began(depth, overwrite):
    main = getcurrent()
    here, found = [], []

    def body():
        while True:
            main.switch()
            overwrite()
            found.append(names(here[0]))

    def bottom():
        here.append(sys._getframe())
        g.switch()
        return 0

    g = greenlet(body)
    g.switch()
    nest(depth, bottom)
    assert found[0][: 2 + 2 * depth] == expected(depth, "bottom")
    assert found[0][2 + 2 * depth] == test_frames_of_main_that_lie_below_where_a_greenlet_began.__name__


def test_traceback_kept_over_a_switch(overwrite):
    main = getcurrent()

    def fail():
        raise KeyError("x")

    def body():
        try:
            max([0], key=lambda _: fail())
        except KeyError as error:
            main.switch(error)
            return traceback.extract_tb(error.__traceback__)

    g = greenlet(body)
    error = g.switch()
    overwrite()
    assert names(error.__traceback__.tb_frame) == ["body"]
    assert [entry.name for entry in traceback.extract_tb(error.__traceback__)] == ["body", "<lambda>", "fail"]
    assert [entry.name for entry in g.switch()] == ["body", "<lambda>", "fail"]


def test_generator_running_in_a_suspended_greenlet(overwrite):
    main = getcurrent()

    def generate():
        main.switch(sys._getframe())
        yield 1

    g = greenlet(lambda: list(generate()))
    frame = g.switch()
    overwrite()
    assert names(frame) == ["generate", "<lambda>"]
    assert g.switch() == [1]


def iterate_with(kind):
    """Functions that run what a function of `kind` makes, which is in the list that they are given."""

    def in_a_loop(made):
        for _ in made[0]:
            pass

    def in_c(made):
        list(made[0])

    def below_c(made):
        max([0], key=lambda _: next(made[0]))

    def with_send(made):
        try:
            made[0].send(None)
        except StopIteration:
            pass

    def awaited(made):
        async def wait():
            if kind == "coroutine":
                await made[0]
            else:
                async for _ in made[0]:
                    pass

        try:
            wait().send(None)
        except StopIteration:
            pass

    return {
        "generator": [in_a_loop, in_c, below_c, with_send],
        "coroutine": [with_send, awaited],
        "asynchronous generator": [awaited],
    }[kind]


WAYS = [
    (kind, function)
    for kind in ("generator", "coroutine", "asynchronous generator")
    for function in iterate_with(kind)
]


def make(kind, switch):
    def generator():
        switch()
        yield

    async def coroutine():
        switch()

    async def asynchronous_generator():
        switch()
        yield

    return locals()[kind.replace(" ", "_")]()


def frame_of(made):
    for name in ("gi_frame", "cr_frame", "ag_frame"):
        if hasattr(made, name):
            return getattr(made, name)


@pytest.mark.parametrize("kind, function", WAYS, ids=lambda it: getattr(it, "__name__", it))
def test_frame_of_a_running_generator_that_is_asked_for_while_it_is_suspended(kind, function, overwrite):
    """Nobody had a frame object when it was switched away from: a generator makes one at any time."""
    main = getcurrent()
    made = [make(kind, main.switch)]

    def outermost():
        function(made)
        return "end"

    g = greenlet(outermost)
    g.switch()
    for _ in range(3):
        overwrite()
        found = names(frame_of(made[0]))
        assert found[0] == kind.replace(" ", "_")
        assert found[-2:] == [function.__name__, "outermost"]
    assert g.switch() == "end"
    assert frame_of(made[0]) is None or frame_of(made[0]).f_back is None


def test_and_of_one_that_runs_in_main(overwrite):
    def generator():
        yield greenlet(look).switch()

    def look():
        overwrite()
        found.extend(names(made.gi_frame))

    found, made = [], generator()
    max([0], key=lambda _: next(made) or 0)
    assert found[:3] == ["generator", "<lambda>", "test_and_of_one_that_runs_in_main"] and len(found) > 10


# What its greenlet held of it is given up from 3.15 on, so that it may be freed: it says then that it still runs.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind, function", WAYS, ids=lambda it: getattr(it, "__name__", it))
def test_and_of_one_whose_greenlet_can_never_go_on(kind, function, overwrite):
    """The frames below it are gone, and it leads to nothing. (3.10's are ordinary objects, which stay.)"""
    made, held = [], []

    def outermost():
        made.append(make(kind, getcurrent().parent.switch))
        function(made)

    def work():
        held.append(greenlet(outermost))
        held[0].switch()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert held.pop().dead
    others = [greenlet(nest) for _ in range(50)]
    for other in others:
        other.switch(3, getcurrent().switch)
    found = names(frame_of(made[0]))
    assert found[0] == kind.replace(" ", "_")
    if sys.version_info >= (3, 11):
        assert found[1:] == []
    for other in others:
        other.switch(0)


@keeps_tracing
def test_profiler_that_keeps_every_frame(overwrite):
    main = getcurrent()
    kept = []

    def body(depth):
        return nest(depth, lambda: main.switch() or 0)

    g = greenlet(body)
    sys.setprofile(lambda frame, event, arg: kept.append(frame))
    try:
        g.switch(10)
    finally:
        sys.setprofile(None)
    overwrite()
    for frame in kept:
        names(frame)
    g.switch()
    assert g.dead
