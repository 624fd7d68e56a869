"""Frame objects made before a switch stay true while the greenlet is suspended, and after it went on."""

import sys
import traceback

import pytest
from conftest import keeps_tracing

from greenlet import getcurrent, greenlet


def names(frame):
    found = []
    while frame is not None:
        found.append(frame.f_code.co_name)
        frame = frame.f_back
    return found


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
