"""settrace and gettrace: what they are told, in which greenlet, and what happens when they fail."""

import sys
import threading

import pytest

from greenlet import GreenletExit, getcurrent, gettrace, greenlet, settrace


@pytest.fixture
def events():
    """The events so far, with the greenlet in which each was seen."""
    events = []
    before = settrace(lambda event, pair: events.append((event, *pair, getcurrent())))
    yield events
    settrace(before)


def test_switches_and_throws_are_seen_in_the_target(events):
    main = getcurrent()

    def body():
        try:
            main.switch()
        except KeyError:
            pass

    g = greenlet(body)
    g.switch()
    g.throw(KeyError)
    assert events == [
        ("switch", main, g, g),
        ("switch", g, main, main),
        ("throw", main, g, g),
        ("switch", g, main, main),
    ]


def test_an_end_by_an_exception_is_a_throw_to_the_parent(events):
    main = getcurrent()

    def fail():
        raise KeyError

    g = greenlet(fail)
    with pytest.raises(KeyError):
        g.switch()
    assert events[1:] == [("throw", g, main, main)]
    del events[:]
    g = greenlet(lambda: exec("raise GreenletExit", {"GreenletExit": GreenletExit}))
    g.switch()
    assert events[1:] == [("switch", g, main, main)]


def test_a_kill_is_seen(events):
    main = getcurrent()
    g = greenlet(main.switch)
    g.switch()
    del events[:]
    del g
    assert [event[0] for event in events] == ["throw", "switch"]


def test_a_switch_to_oneself_is_seen(events):
    main = getcurrent()
    main.switch()
    with pytest.raises(KeyError):
        main.throw(KeyError)
    assert events == [("switch", main, main, main), ("throw", main, main, main)]


def test_previous_function_is_returned():
    def first(event, pair):
        pass

    before = settrace(first)
    try:
        assert gettrace() is first
        assert settrace(None) is first
        assert gettrace() is None
    finally:
        settrace(before)


@pytest.mark.parametrize("while_it", ["switch", "throw"])
def test_a_function_that_raises_is_removed_and_its_error_comes_up_in_the_target(while_it):
    main = getcurrent()
    armed = []

    def trace(event, pair):
        if armed:
            raise ZeroDivisionError(event)

    def body():
        try:
            main.switch()
        except ZeroDivisionError as error:
            return error.args

    g = greenlet(body)
    before = settrace(trace)
    try:
        g.switch()
        armed.append(True)
        assert (g.switch() if while_it == "switch" else g.throw(KeyError)) == (while_it,)
        assert gettrace() is None
    finally:
        settrace(before)


def test_a_function_that_switches(events):
    main = getcurrent()
    other = greenlet(lambda: [main.switch(i) for i in range(10)])
    seen = []

    def trace(event, pair):
        settrace(None)
        seen.append(other.switch() if getcurrent() is main else None)
        settrace(trace)

    other.switch()
    g = greenlet(lambda x: main.switch(x) + 1)
    before = settrace(trace)
    assert g.switch(5) == 5
    assert g.switch(6) == 7
    settrace(before)
    assert seen.count(None) == 2 and seen[1] == 1


def test_each_thread_has_its_own(events):
    found = []

    def work():
        found.append(gettrace())
        greenlet(lambda: None).switch()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [None] and events == []


def test_python_tracing_is_off_in_it():
    main = getcurrent()
    seen = []

    def trace(event, pair):
        return len(pair)

    def python_trace(frame, event, arg):
        seen.append(frame.f_code.co_name)
        return python_trace

    def body():
        main.switch()
        return 5

    g = greenlet(body)
    before, before_python = settrace(trace), sys.gettrace()
    sys.settrace(python_trace)
    try:
        g.switch()
        g.switch()
    finally:
        sys.settrace(before_python)
        settrace(before)
    assert "body" in seen and "trace" not in seen


def test_python_tracing_goes_on_in_every_greenlet():
    main = getcurrent()
    lines = []

    def python_trace(frame, event, arg):
        if frame.f_code is body.__code__ and event == "line":
            lines.append(frame.f_lineno - body.__code__.co_firstlineno)
        return python_trace

    def body():
        a = 1
        main.switch()
        b = a + 1
        main.switch()
        return b

    before = sys.gettrace()
    sys.settrace(python_trace)
    try:
        g = greenlet(body)
        g.switch()
        h = greenlet(body)
        h.switch()
        g.switch()
        h.switch()
        g.switch()
        h.switch()
    finally:
        sys.settrace(before)
    assert lines == [1, 2, 1, 2, 3, 4, 3, 4, 5, 5]
