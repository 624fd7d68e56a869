"""Signals: handlers in Python that run in whatever greenlet runs, and there raise, switch, or come at any moment of a switch."""

import signal
import sys

import pytest
from greenlet import getcurrent, greenlet

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no timers that send signals")


@pytest.fixture
def on_alarm():
    """Sets the handler; afterwards the old one is back and no timer runs."""
    before = signal.getsignal(signal.SIGALRM)
    yield lambda handler: signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def raise_now():
    signal.raise_signal(signal.SIGALRM)
    for _ in range(3):  # the interpreter looks for signals between instructions
        pass


def test_a_handler_runs_in_the_greenlet_that_runs(on_alarm):
    seen = []
    on_alarm(lambda *_: seen.append(getcurrent()))

    def run():
        raise_now()
        main.switch()
        raise_now()

    main = getcurrent()
    g = greenlet(run)
    g.switch()
    assert seen == [g]
    raise_now()
    assert seen == [g, main]
    g.switch()
    assert seen == [g, main, g]


def test_what_a_handler_raises_is_raised_in_that_greenlet_and_goes_to_its_parent(on_alarm):
    class Alarm(Exception):
        pass

    def handler(*_):
        raise Alarm(getcurrent())

    on_alarm(handler)
    caught = []

    def catches():
        try:
            raise_now()
        except Alarm as alarm:
            caught.append(alarm.args[0])
        main.switch("goes on")
        raise_now()

    main = getcurrent()
    g = greenlet(catches)
    assert g.switch() == "goes on"
    assert caught == [g]
    with pytest.raises(Alarm) as info:
        g.switch()
    assert info.value.args == (g,) and g.dead


def test_a_handler_may_switch_and_what_it_interrupted_goes_on_later(on_alarm):
    log = []

    def handler(*_):
        log.append("handler leaves")
        log.append(main.switch("interrupted"))

    on_alarm(handler)

    def run():
        total = 0
        for i in range(10):
            total += i
            if i == 5:
                raise_now()
        return total

    main = getcurrent()
    g = greenlet(run)
    assert g.switch() == "interrupted"
    assert g.gr_frame.f_code is handler.__code__
    log.append("main")
    # Another one gets its own signal meanwhile.
    other = greenlet(run)
    assert other.switch() == "interrupted"
    assert g.switch("first") == 45
    assert other.switch("second") == 45
    assert log == ["handler leaves", "main", "handler leaves", "first", "second"]


def test_a_handler_may_kill_the_greenlet_that_it_interrupts(on_alarm):
    gone = []

    def handler(*_):
        getcurrent().throw()

    on_alarm(handler)

    def run():
        try:
            raise_now()
        finally:
            gone.append(True)
        return "not reached"

    g = greenlet(run)
    result = g.switch()
    assert g.dead and gone == [True]
    assert type(result).__name__ == "GreenletExit"


@pytest.mark.parametrize("switches", [False, True], ids=["that look", "that switch"])
def test_a_storm_of_signals_loses_no_value(on_alarm, switches):
    """Handlers at whatever moment they come: between two greenlets' switches, in starts, throws and ends."""
    handled = []
    deep = lambda n: deep(n - 1) if n else getcurrent()  # noqa: E731

    def helper():
        while True:
            back.pop().switch("helped")

    back = []
    help_ = greenlet(helper)

    def handler(*_):
        handled.append(deep(30))
        if switches and getcurrent() is not help_ and not back:
            back.append(getcurrent())
            assert help_.switch() == "helped"

    def partner(value):
        while True:
            try:
                value = main.switch(value + 1)
            except KeyError as error:
                value = error.args[0]

    main = getcurrent()
    g = greenlet(partner)
    value = g.switch(0)
    references = sys.getrefcount(None)
    on_alarm(handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
    while len(handled) < 400:
        for _ in range(50):
            before, value = value, g.switch(value)
            assert value == before + 1
        before, value = value, g.throw(KeyError, value)
        assert value == before + 1
        short = greenlet(lambda x: x)
        assert short.switch(value) == value and short.dead
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert abs(sys.getrefcount(None) - references) < 50 or references > 2**30  # immortal from 3.12 on
    assert {main, g} <= set(handled)
