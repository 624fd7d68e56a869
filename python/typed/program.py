"""A program that uses all of the package, for `mypy --strict`: what it says of each type is checked, and nothing is run."""

from contextvars import Context, copy_context
from types import FrameType
from typing import Any

from typing_extensions import assert_type

import greenlet as package
from greenlet import GreenletExit, error, getcurrent, gettrace, greenlet, settrace
from greenlet.timeline import Timeline


def body(first: int, second: str = "") -> str:
    got: int = getcurrent().switch(first)
    return second * got


def use_all(g: greenlet) -> None:
    assert_type(g.parent, greenlet | None)
    assert_type(g.dead, bool)
    assert_type(bool(g), bool)
    assert_type(g.gr_frame, FrameType | None)
    assert_type(g.gr_context, Context | None)
    g.gr_context = copy_context()
    g.gr_context = None
    g.parent = getcurrent()
    g.run = body
    assert_type(g.switch(), Any)
    assert_type(g.switch(1, 2, a=3), Any)
    g.throw()
    g.throw(KeyError)
    g.throw(KeyError, "value")
    g.throw(KeyError("value"))
    try:
        g.throw(KeyError, KeyError(1), None)
    except (GreenletExit, error) as caught:
        g.throw(type(caught), caught, caught.__traceback__)
        g.throw(caught)


class Worker(greenlet):
    def __init__(self, number: int, parent: greenlet | None = None) -> None:
        super().__init__(parent=parent)
        self.number = number

    def run(self) -> int:
        return self.number


def trace(event: str, pair: tuple[greenlet, greenlet]) -> None:
    origin, target = pair
    print(event, origin.dead, target.dead)


previous = settrace(trace)
settrace(previous)
settrace(None)
assert gettrace() is None
greenlet(body, getcurrent())
greenlet(run=body, parent=None)
Worker(5).switch()
assert_type(package.__version__, str)
assert issubclass(greenlet.GreenletExit, BaseException)
assert_type(greenlet.getcurrent(), greenlet)

with Timeline("trace.json") as timeline:
    assert_type(timeline, Timeline)
    timeline.name(getcurrent(), "the first")
timeline.save()
assert_type(timeline.recording, bool)
assert_type(timeline.events(), list[dict[str, Any]])
