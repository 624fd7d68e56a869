"""Tasklets, channels and the scheduler of `greenlet.stackless`: each item of the API, and who runs next."""

import pickle
import sys
import traceback

import pytest

import greenlet
from greenlet import stackless
from greenlet.stackless import TaskletExit, channel, schedule, schedule_remove, tasklet


@pytest.fixture(autouse=True)
def quiet():
    """Each test begins and ends with main alone, and without callbacks."""
    assert stackless.getruncount() == 1
    assert stackless.getcurrent() is stackless.getmain()
    yield
    assert stackless.getcurrent() is stackless.getmain()
    assert stackless.getruncount() == 1
    assert stackless.get_channel_callback() is None and stackless.get_schedule_callback() is None
    assert stackless.switch_trap(0) == 0


def ring():
    """The runnables, from the current one on."""
    first = stackless.getcurrent()
    found, at = [first], first.next
    while at is not first:
        assert at.prev is found[-1]
        found.append(at)
        at = at.next
    assert first.prev is found[-1]
    return found


# ---- the scheduler ------------------------------------------------------------------------------------------------


def test_tasklets_take_turns_in_the_order_in_which_they_were_set_up():
    log = []

    def work(name):
        for i in range(3):
            log.append((name, i))
            schedule()

    for name in "abc":
        tasklet(work)(name)
    assert stackless.getruncount() == stackless.runcount == 4
    assert stackless.run() is None
    assert log == [(name, i) for i in range(3) for name in "abc"]


def test_arguments_reach_the_function():
    got = []
    tasklet(lambda *args, **kwargs: got.append((args, kwargs)))(1, 2, x=3)
    tasklet(lambda: got.append("none"))()
    tasklet().bind(lambda *args, **kwargs: got.append((args, kwargs)), [4], {"y": 5}).insert()
    stackless.run()
    assert got == [((1, 2), {"x": 3}), "none", ((4,), {"y": 5})]


def test_keyword_arguments_are_copied():
    got, given = [], {"x": 1}
    task = tasklet(lambda **kwargs: got.append(kwargs))
    task.bind(None, (), given)
    given["x"] = 2
    task.run()
    assert got == [{"x": 1}]


def test_schedule_returns_its_argument_and_by_default_the_tasklet():
    assert schedule() is stackless.getmain()
    assert schedule(5) == schedule(retval=5) == 5
    got = []
    task = tasklet(lambda: got.extend([schedule(), schedule(7)]))()
    stackless.run()
    assert got[0] is task and got[1] == 7
    with pytest.raises(TypeError):
        schedule(1, 2)
    with pytest.raises(TypeError):
        schedule(other=1)


def test_tempval_can_be_set_while_a_tasklet_waits():
    got = []
    task = tasklet(lambda: got.append(schedule_remove("own")))()
    stackless.run()
    assert task.paused and task.tempval == "own"
    task.tempval = "other"
    task.insert()
    stackless.run()
    assert got == ["other"] and task.tempval is None
    with pytest.raises(AttributeError):
        del task.tempval


def test_schedule_remove_pauses_until_insert():
    log = []

    def work():
        log.append("before")
        schedule_remove()
        log.append("after")

    task = tasklet(work)()
    stackless.run()
    assert log == ["before"]
    assert task.alive and task.paused and not task.scheduled and not task.blocked
    assert task.next is None and task.prev is None
    assert task.insert() is task and task.scheduled
    assert task.insert() is task and stackless.getruncount() == 2
    stackless.run()
    assert log == ["before", "after"] and not task.alive


def test_schedule_remove_of_the_last_one_wakes_main():
    assert schedule_remove(5) == 5
    assert stackless.getruncount() == 1


def test_run_of_a_scheduled_tasklet_goes_on_from_there():
    log = []

    def work(name):
        log.append(name)
        schedule()
        log.append(name.upper())

    _, b, _ = (tasklet(work)(name) for name in "abc")
    b.run()
    assert log == ["b", "c"]  # then it is main's turn
    stackless.run()
    assert "".join(log) == "bcaBCA"


def test_run_of_a_paused_tasklet_puts_it_before_the_caller():
    log = []
    task = tasklet(lambda: log.append([t is stackless.getmain() for t in ring()]))
    task.bind(None, ())
    assert task.paused
    tasklet(lambda: log.append("other"))()
    task.run()
    assert log == [[False, True, False]]
    stackless.run()
    assert log[1:] == ["other"]


def test_run_of_the_current_tasklet_does_nothing():
    stackless.getcurrent().run()
    stackless.getcurrent().switch()


def test_switch_pauses_the_caller():
    main, log = stackless.getmain(), []

    def work():
        log.append((main.paused, main.scheduled, main.alive))
        main.switch()
        log.append("again")

    task = tasklet(work)()
    task.switch()
    assert log == [(True, False, True)] and task.paused
    task.run()
    assert log[1:] == ["again"] and not task.alive


def test_remove_and_insert():
    log = []
    a, b = (tasklet(log.append)(name) for name in "ab")
    assert a.remove() is a and a.paused and stackless.getruncount() == 2
    assert a.remove() is a
    stackless.run()
    assert log == ["b"]
    a.insert()
    stackless.run()
    assert log == ["b", "a"]
    with pytest.raises(RuntimeError):
        stackless.getcurrent().remove()
    with pytest.raises(RuntimeError):
        b.insert()
    with pytest.raises(RuntimeError):
        b.run()
    with pytest.raises(RuntimeError):
        b.switch()


def test_run_nests():
    log = []

    def inner():
        log.append("inner")

    def outer():
        tasklet(inner)()
        stackless.run()
        log.append("outer")

    tasklet(outer)()
    stackless.run()
    assert log == ["inner", "outer"]


def test_the_innermost_run_is_woken_first():
    log, c = [], channel()

    def outer(name):
        tasklet(c.receive)()
        stackless.run()
        log.append(name)

    tasklet(outer)("a")
    tasklet(outer)("b")
    stackless.run()
    # a waits in run() until all block, and b in a later one; b is woken, ends, and then a is.
    assert log == ["b", "a"]
    assert c.balance == -2
    c.preference = 1
    c.send(0)
    c.send(0)
    stackless.run()


def test_an_outer_run_that_is_woken_by_hand_makes_the_inner_ones_runnable():
    main, log = stackless.getmain(), []

    def waker():
        log.append("waker")
        main.insert()
        schedule()
        log.append("late")

    def outer():
        tasklet(waker)()
        stackless.run()
        log.append("outer")

    tasklet(outer)()
    stackless.run()
    log.append("main")
    stackless.run()
    assert log == ["waker", "main", "late", "outer"] or log == ["waker", "main", "outer", "late"]


def test_run_with_a_number_of_turns():
    log = []

    def work(name):
        while True:
            log.append(name)
            schedule()

    tasks = [tasklet(work)(name) for name in "ab"]
    victim = stackless.run(5, totaltimeout=True)
    assert "".join(log) == "ababa" and victim is tasks[1] and victim.paused
    victim.insert()
    assert stackless.run(2, soft=True, totaltimeout=True) is None
    assert "".join(log) == "ababaab"
    assert all(task.scheduled for task in tasks)
    for task in tasks:
        task.kill()
    assert stackless.run(5, totaltimeout=True) is None


def test_a_timeout_of_instructions_never_interrupts():
    log = []
    tasklet(lambda: log.extend(range(1000)))()
    assert stackless.run(10) is None and len(log) == 1000
    assert stackless.run(timeout=10, threadblock=True, soft=True, ignore_nesting=True) is None


# ---- what a tasklet is --------------------------------------------------------------------------------------------


def test_states():
    c = channel()
    task = tasklet()
    assert not task.alive and not task.paused and not task.scheduled and not task.blocked
    task.bind(c.receive)
    assert not task.alive and task.tempval == c.receive
    task.bind(None, ())
    assert task.alive and task.paused and task.restorable and task.nesting_level == 0
    task.insert()
    assert task.scheduled and not task.paused and not task.is_current
    stackless.run()
    assert task.blocked and task.scheduled and task.alive and not task.paused and not task.restorable
    assert task.nesting_level == 1
    c.send(1)
    assert not task.alive and not task.scheduled and task.restorable


def test_main():
    main = stackless.getmain()
    assert main is stackless.main is stackless.current is stackless.getcurrent()
    assert main.is_main and main.is_current and main.alive and main.scheduled and not main.paused
    assert main.thread_id == stackless.getthreads()[0] == stackless.threads[0]
    assert stackless.getcurrentid() == main.thread_id
    got = []
    task = tasklet(lambda: got.append((stackless.current, stackless.main, main.paused, stackless.getcurrentid())))()
    stackless.run()
    assert got[0][:3] == (task, main, True) and got[0][3] != main.thread_id
    assert not task.is_main


def test_bind_refuses():
    task = tasklet(schedule_remove)()
    with pytest.raises(RuntimeError):
        task.bind(len)  # scheduled
    with pytest.raises(RuntimeError):
        task()  # alive
    stackless.run()
    with pytest.raises(RuntimeError):
        task.bind(None)  # it has begun
    task.run()
    task.bind(len)
    with pytest.raises(TypeError):
        task.bind(5)
    with pytest.raises(TypeError):
        task.bind(len, 5)
    with pytest.raises(TypeError):
        task.bind(len, (), 5)
    with pytest.raises(RuntimeError):
        stackless.getcurrent().bind(len)
    with pytest.raises(RuntimeError):
        tasklet()()
    with pytest.raises(RuntimeError):
        tasklet().bind(None, ())
    with pytest.raises(TypeError):
        tasklet(5)


def test_a_binding_can_be_changed_and_forgotten_before_it_begins():
    log = []
    task = tasklet(log.append)
    task.bind(None, ("first",))
    task.bind(None, ("second",))  # the function is what it was
    task.run()
    assert log == ["second"]
    task.bind(log.append, ("third",))
    task.bind(None)
    assert not task.alive and task.tempval is None
    task.bind(log.append).setup("fourth")
    stackless.run()
    assert log == ["second", "fourth"]


def test_an_ended_tasklet_can_be_used_again():
    log = []
    task = tasklet(log.append)("a")
    stackless.run()
    for name in "bc":
        task.bind(log.append)(name)
        stackless.run()
    assert log == ["a", "b", "c"]


def test_subclasses():
    class Named(tasklet):
        __slots__ = ("name",)

        def __new__(cls, func, name):
            return super().__new__(cls, func)

        def __init__(self, func, name):
            super().__init__(func)
            self.name = name

    class Free(tasklet):
        pass

    got = []
    task = Named(lambda: got.append(stackless.getcurrent().name), "x")()
    assert isinstance(task, Named)
    free = Free(lambda: got.append(stackless.getcurrent().anything))()
    free.anything = 5
    stackless.run()
    assert got == ["x", 5]
    with pytest.raises(AttributeError):
        tasklet().anything = 5


def test_the_class_can_be_patched(monkeypatch):
    """As programs for Stackless do to see what their tasklets raise."""
    caught = []

    def call(self, *args, **kwargs):
        function = self.tempval

        def guarded(*args, **kwargs):
            try:
                function(*args, **kwargs)
            except Exception as error:
                caught.append(error)

        self.tempval = guarded
        return self.setup(*args, **kwargs)

    monkeypatch.setattr(tasklet, "__call__", call)
    tasklet(lambda x: 1 / x)(0)
    stackless.run()
    assert [type(error) for error in caught] == [ZeroDivisionError]


def test_atomic_and_ignore_nesting():
    main = stackless.getcurrent()
    assert main.atomic is False and main.set_atomic(True) is False and main.atomic is True
    child = tasklet()
    assert child.atomic is True
    assert main.set_atomic(False) is True
    assert tasklet().atomic is False
    with stackless.atomic():
        assert main.atomic
        with stackless.atomic():
            assert main.atomic
        assert main.atomic
    assert not main.atomic
    assert child.set_ignore_nesting(1) is False and child.ignore_nesting is True
    assert child.set_ignore_nesting(0) is True and child.ignore_nesting is False


def test_frames_and_depth():
    c = channel()

    def deep(n):
        return deep(n - 1) if n else c.receive()

    task = tasklet(deep)(5)
    assert task.frame is None and task.recursion_depth == 0
    stackless.run()
    names = [entry.name for entry in traceback.extract_stack(task.frame)]
    assert names == ["deep"] * 6
    assert task.recursion_depth >= 6
    depth = task.recursion_depth
    c.send(1)
    assert task.frame is None and task.recursion_depth == 0
    task.bind(deep)(7)
    stackless.run()
    assert task.recursion_depth == depth + 2
    c.send(1)
    assert stackless.getcurrent().frame is sys._getframe()
    assert stackless.getcurrent().recursion_depth >= 0


def test_repr_says_the_state():
    c = channel()
    task = tasklet(c.receive)
    assert "not alive" in repr(task)
    task()
    assert "scheduled" in repr(task)
    stackless.run()
    assert "blocked" in repr(task) and "balance -1" in repr(c)
    c.send(1)
    assert "current, main" in repr(stackless.getcurrent())
    c.close()
    assert "closed" in repr(c)


def test_nothing_is_pickled():
    for object in (tasklet(), channel()):
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(object)


def test_trace_function_is_the_threads():
    main, before = stackless.getcurrent(), sys.gettrace()
    seen = []
    main.profile_function = lambda *args: seen.append(args)
    profile = sys.getprofile()
    main.profile_function = None
    assert profile is not None and seen
    assert main.trace_function is before
    task = tasklet()
    with pytest.raises(RuntimeError):
        task.trace_function = None


# ---- channels -----------------------------------------------------------------------------------------------------


def test_values_cross_in_the_order_in_which_they_were_sent():
    c, got = channel(), []
    tasklet(lambda: [c.send(i) for i in range(10)])()
    tasklet(lambda: [got.append(c.receive()) for _ in range(10)])()
    stackless.run()
    assert got == list(range(10)) and c.balance == 0


def test_those_who_wait_are_served_in_order():
    c, got = channel(), []
    tasks = [tasklet(lambda i=i: got.append((i, c.receive())))() for i in range(3)]
    stackless.run()
    assert c.balance == -3 and c.queue is tasks[0]
    assert tasks[0].next is tasks[1] and tasks[1].next is tasks[2] and tasks[2].next is None
    assert tasks[2].prev is tasks[1] and tasks[0].prev is None
    assert tasks[1]._channel is c
    for value in "abc":
        c.send(value)
    assert got == [(0, "a"), (1, "b"), (2, "c")] and c.queue is None


@pytest.mark.parametrize("preference", [-1, 0, 1])
def test_who_goes_on_after_a_send(preference):
    c, log = channel(), []
    c.preference = preference
    tasklet(lambda: log.append(c.receive()))()
    stackless.run()
    tasklet(log.append)("other")
    c.send("value")
    log.append("sent")
    stackless.run()
    # The receiver at once, and main after all others; or main at once, and the receiver as the last.
    assert log == (["value", "other", "sent"] if preference == -1 else ["sent", "other", "value"])


@pytest.mark.parametrize("preference", [-1, 0, 1])
def test_who_goes_on_after_a_receive(preference):
    c, log = channel(), []
    c.preference = preference

    def sender():
        c.send("value")
        log.append("sent")

    tasklet(sender)()
    stackless.run()
    tasklet(log.append)("other")
    log.append(c.receive())
    stackless.run()
    assert log == (["sent", "other", "value"] if preference == 1 else ["value", "other", "sent"])


@pytest.mark.parametrize("preference", [-1, 0, 1])
def test_schedule_all_overrides_preference(preference):
    c, log = channel(), []
    c.preference, c.schedule_all = preference, True
    tasklet(lambda: log.append(c.receive()))()
    stackless.run()
    tasklet(log.append)("other")
    c.send("value")
    log.append("sent")
    stackless.run()
    assert log == ["other", "value", "sent"]


def test_preference_is_a_sign():
    c = channel()
    assert c.preference == -1 and c.schedule_all is False
    for given, kept in ((5, 1), (-5, -1), (0, 0)):
        c.preference = given
        assert c.preference == kept
    c.schedule_all = 2
    assert c.schedule_all is True
    with pytest.raises(TypeError):
        c.preference = "x"
    with pytest.raises(AttributeError):
        del c.preference


def test_exceptions_cross():
    c, got = channel(), []

    def receiver():
        for _ in range(3):
            try:
                c.receive()
            except LookupError as error:
                got.append(error)

    tasklet(receiver)()
    stackless.run()
    c.send_exception(KeyError, "a", "b")
    c.send_throw(IndexError("c"))
    try:
        raise LookupError("d")
    except LookupError:
        c.send_throw(*sys.exc_info())
    assert [(type(error), error.args) for error in got] == [
        (KeyError, ("a", "b")),
        (IndexError, ("c",)),
        (LookupError, ("d",)),
    ]
    names = [entry.name for entry in traceback.extract_tb(got[2].__traceback__)]
    assert names == ["receiver", "test_exceptions_cross"]


def test_a_blocked_sender_of_an_exception():
    c = channel()
    task = tasklet(c.send_exception)(KeyError, 1)
    stackless.run()
    assert c.balance == 1
    with pytest.raises(KeyError):
        c.receive()
    stackless.run()
    assert not task.alive


def test_bad_exceptions_are_refused():
    c = channel()
    for arguments in ((), (5,), (KeyError(),)):
        with pytest.raises(TypeError):
            c.send_exception(*arguments)
    for arguments in ((), (5,), (KeyError(), 1), (KeyError, 1, 2)):
        with pytest.raises(TypeError):
            c.send_throw(*arguments)
    assert c.balance == 0


def test_iteration_and_sequences():
    c, got = channel(), []

    def sender():
        assert c.send_sequence(i * i for i in range(5)) == 5
        assert c.send_sequence([]) == 0
        c.send_exception(StopIteration)

    tasklet(lambda: got.extend(c))()
    tasklet(sender)()
    stackless.run()
    assert got == [0, 1, 4, 9, 16]
    assert iter(c) is c
    with pytest.raises(TypeError):
        c.send_sequence(5)


def test_a_sequence_that_fails_stops_there():
    c, got = channel(), []

    def items():
        yield 1
        raise KeyError

    tasklet(lambda: got.append(c.receive()))()
    stackless.run()
    with pytest.raises(KeyError):
        c.send_sequence(items())
    assert got == [1]


def test_close():
    c, got = channel(), []
    tasklet(c.send_sequence)("ab")
    stackless.run()
    c.close()
    assert c.closing and not c.closed
    got.append(c.receive())  # its sender may not wait again
    with pytest.raises(ValueError):
        stackless.run()
    assert got == ["a"] and c.closed
    with pytest.raises(ValueError):
        c.send(1)
    with pytest.raises(ValueError):
        c.receive()
    assert list(c) == []
    c.open()
    assert not c.closing and not c.closed
    tasklet(c.send)(1)
    stackless.run()
    assert next(c) == 1
    stackless.run()


def test_iteration_ends_when_a_closed_channel_is_empty():
    c = channel()
    for i in range(3):
        tasklet(c.send)(i)
    stackless.run()
    c.close()
    assert list(c) == [0, 1, 2]
    stackless.run()


def test_block_trap():
    c, main = channel(), stackless.getcurrent()
    main.block_trap = True
    try:
        with pytest.raises(RuntimeError):
            c.receive()
        with pytest.raises(RuntimeError):
            c.send(1)
        tasklet(c.send)(5)
        schedule()
        assert c.receive() == 5  # that does not block
    finally:
        main.block_trap = False
    stackless.run()
    with pytest.raises(AttributeError):
        del main.block_trap


def test_blocked_tasklets_are_not_moved():
    c = channel()
    task = tasklet(c.receive)()
    stackless.run()
    for refused in (task.insert, task.run, task.switch, task.remove):
        with pytest.raises(RuntimeError):
            refused()
    with pytest.raises(RuntimeError):
        task.bind(None)
    c.send(1)


def test_switch_trap():
    c = channel()
    task = tasklet(schedule_remove)()
    receiver = tasklet(c.receive)()
    stackless.run()
    assert stackless.switch_trap(1) == 0
    try:
        task.insert()
        for refused in (schedule, schedule_remove, stackless.run, task.run, task.switch, task.kill, c.receive):
            with pytest.raises(RuntimeError, match="switch_trap"):
                refused()
        with pytest.raises(RuntimeError, match="switch_trap"):
            c.send(1)
        c.preference = 1
        c.send(2)  # that does not switch
        assert stackless.switch_trap(1) == 1 and stackless.switch_trap(-1) == 2
    finally:
        stackless.switch_trap(-1)
    stackless.run()
    assert not task.alive and not receiver.alive


def test_schedule_with_nobody_else_is_no_switch():
    stackless.switch_trap(1)
    assert schedule(3) == 3
    stackless.switch_trap(-1)


# ---- exceptions and ends ------------------------------------------------------------------------------------------


def test_what_a_tasklet_does_not_catch_is_raised_in_main():
    log = []

    def fail():
        raise KeyError("here")

    task = tasklet(fail)()
    tasklet(log.append)("other")
    with pytest.raises(KeyError) as caught:
        stackless.run()
    assert not task.alive and log == []
    assert "fail" in [entry.name for entry in traceback.extract_tb(caught.tb)]
    stackless.run()
    assert log == ["other"]


def test_what_is_not_caught_goes_to_the_innermost_run():
    log = []

    def outer():
        tasklet(lambda: 1 / 0)()
        try:
            stackless.run()
        except ZeroDivisionError:
            log.append("outer")

    tasklet(outer)()
    stackless.run()
    assert log == ["outer"]


def test_an_error_reaches_main_where_it_is_blocked():
    c = channel()
    tasklet(lambda: 1 / 0)()
    with pytest.raises(ZeroDivisionError):
        c.receive()
    assert c.balance == 0 and not stackless.getmain().blocked
    tasklet(lambda: 1 / 0)()
    with pytest.raises(ZeroDivisionError):
        c.send(1)
    assert c.balance == 0


def test_system_exit_reaches_main_and_tasklet_exit_does_not():
    assert issubclass(TaskletExit, SystemExit)

    def leave(error):
        raise error

    tasklet(leave)(TaskletExit)
    stackless.run()
    tasklet(leave)(SystemExit(3))
    with pytest.raises(SystemExit) as caught:
        stackless.run()
    assert caught.value.code == 3


def test_error_handler():
    seen = []

    def handler(kind, error, where):
        seen.append((kind, error.args, where is not None))
        if error.args == (2,):
            raise IndexError

    def fail(number):
        raise KeyError(number)

    assert stackless.set_error_handler(handler) is None
    try:
        tasklet(fail)(1)
        stackless.run()
        tasklet(fail)(2)
        with pytest.raises(IndexError):
            stackless.run()
    finally:
        assert stackless.set_error_handler(None) is handler
    assert seen == [(KeyError, (1,), True), (KeyError, (2,), True)]


def test_deadlock_of_main():
    c = channel()
    for blocks in (c.receive, lambda: c.send(1)):
        with pytest.raises(RuntimeError, match="Deadlock"):
            blocks()
        assert c.balance == 0 and stackless.getmain().scheduled


def test_deadlock_of_the_last_tasklet_while_main_is_blocked():
    c, got = channel(), []

    def blocks():
        try:
            c.receive()
        except RuntimeError as error:
            got.append(str(error))

    tasklet(blocks)()
    with pytest.raises(RuntimeError, match="receiving without a sender"):
        c.receive()
    assert len(got) == 1 and "Deadlock" in got[0] and c.balance == 0


def test_the_last_tasklet_ends_while_main_is_blocked():
    c = channel()
    tasklet(lambda: None)()
    with pytest.raises(RuntimeError, match="sending without a receiver"):
        c.send(1)
    assert c.balance == 0


def waiting(how):
    """A tasklet in some state that notes how it ends."""
    log, c = [], channel()

    def work():
        try:
            {"blocked": c.receive, "sending": lambda: c.send(1), "paused": schedule_remove, "scheduled": schedule}[how]()
        except BaseException as error:
            log.append(type(error))
            raise
        log.append("ended")

    task = tasklet(work)()
    if how == "scheduled":
        task.run()
    else:
        stackless.run()
    return task, log, c


@pytest.mark.parametrize("how", ["blocked", "sending", "paused", "scheduled"])
def test_kill(how):
    task, log, c = waiting(how)
    assert task.kill() is None
    assert log == [TaskletExit] and not task.alive and c.balance == 0
    assert task.kill() is None and log == [TaskletExit]


@pytest.mark.parametrize("how", ["blocked", "sending", "paused", "scheduled"])
def test_pending_kill(how):
    task, log, c = waiting(how)
    assert task.kill(pending=True) is None
    assert log == [] and task.alive and task.scheduled and not task.blocked and c.balance == 0
    task.kill(pending=True)
    stackless.run()
    assert log == [TaskletExit] and not task.alive


@pytest.mark.parametrize("scheduled", [False, True])
def test_kill_of_one_that_never_ran(scheduled):
    log = []
    task = tasklet(log.append).bind(None, (1,))
    if scheduled:
        task.insert()
    task.kill()
    assert not task.alive and not task.scheduled
    stackless.run()
    assert log == []
    pending = tasklet(log.append)(2)
    pending.kill(pending=True)
    assert pending.alive
    stackless.run()
    assert log == [] and not pending.alive
    unbound = tasklet(log.append)
    unbound.kill()
    unbound(3)
    stackless.run()
    assert log == [3]


def test_throw():
    for throw in (
        lambda task: task.throw(KeyError, "x"),
        lambda task: task.throw(KeyError("x")),
        lambda task: task.throw(KeyError, KeyError("x")),
        lambda task: task.raise_exception(KeyError, "x"),
        lambda task: task.throw(exc=KeyError, val=("x",)),
    ):
        task, log, _ = waiting("blocked")
        with pytest.raises(KeyError) as caught:
            throw(task)
        assert log == [KeyError] and caught.value.args == ("x",) and not task.alive


def test_throw_into_one_that_never_ran():
    task = tasklet(len).bind(None, ())
    with pytest.raises(KeyError):
        task.throw(KeyError)
    assert not task.alive
    task = tasklet(len)()
    task.throw(KeyError, pending=True)
    with pytest.raises(KeyError):
        stackless.run()


def test_throw_into_the_current_or_a_dead_one():
    with pytest.raises(KeyError):
        stackless.getcurrent().throw(KeyError)
    with pytest.raises(TaskletExit):
        stackless.getcurrent().kill()
    dead = tasklet()
    with pytest.raises(RuntimeError):
        dead.throw(KeyError)
    with pytest.raises(RuntimeError):
        dead.raise_exception(KeyError)
    assert dead.raise_exception(TaskletExit) is None
    with pytest.raises(TypeError):
        dead.throw(5)
    with pytest.raises(TypeError):
        dead.throw()
    with pytest.raises(TypeError):
        dead.raise_exception(KeyError())


def test_a_tasklet_can_catch_its_end():
    log = []

    def stubborn():
        while len(log) < 3:
            try:
                schedule_remove()
            except TaskletExit:
                log.append(1)

    task = tasklet(stubborn)()
    stackless.run()
    task.kill()
    assert task.alive and task.paused
    task.kill()
    task.kill()
    assert not task.alive and len(log) == 3


def test_who_was_killed_runs_before_the_killer_goes_on():
    log, c = [], channel()

    def work():
        try:
            c.receive()
        finally:
            log.append("finally")
            schedule()
            log.append("end")

    task = tasklet(work)()
    stackless.run()
    task.kill()
    log.append("killer")
    stackless.run()
    assert log == ["finally", "killer", "end"]


# ---- callbacks ----------------------------------------------------------------------------------------------------


def test_channel_callback():
    c, seen = channel(), []

    def callback(*arguments):
        seen.append(arguments)

    assert stackless.set_channel_callback(callback) is None
    assert stackless.get_channel_callback() is callback
    try:
        task = tasklet(c.receive)()
        stackless.run()
        c.send(1)
    finally:
        assert stackless.set_channel_callback(None) is callback
    assert seen == [(c, task, 0, 1), (c, stackless.getmain(), 1, 0)]


def test_a_channel_callback_that_raises_stops_the_operation():
    c = channel()
    stackless.set_channel_callback(lambda *_: 1 / 0)
    try:
        with pytest.raises(ZeroDivisionError):
            c.send(1)
    finally:
        stackless.set_channel_callback(None)
    assert c.balance == 0


def test_schedule_callback():
    seen = []

    def callback(prev, next):
        seen.append((prev, next))

    assert stackless.set_schedule_callback(callback) is None
    assert stackless.get_schedule_callback() is callback
    try:
        a, b = tasklet(schedule)(), tasklet(lambda: None)()
        stackless.run()
    finally:
        assert stackless.set_schedule_callback(None) is callback
    main = stackless.getmain()
    assert seen == [(main, a), (a, b), (b, a), (a, main)]


def test_callbacks_may_not_move_tasklets():
    refused, other = [], tasklet(lambda: None)

    def callback(*_):
        for move in (schedule, schedule_remove, stackless.run, other.insert, other.run, c.receive):
            try:
                move()
            except RuntimeError:
                refused.append(move)

    c = channel()
    other.bind(None, ())
    stackless.set_schedule_callback(callback)
    try:
        tasklet(lambda: None)()
        stackless.run()
    finally:
        stackless.set_schedule_callback(None)
    assert len(refused) == 12
    other.run()


def test_a_schedule_callback_that_raises_is_reported_and_nothing_else(monkeypatch):
    reported, log = [], []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: reported.append(report.exc_type))
    stackless.set_schedule_callback(lambda *_: 1 / 0)
    try:
        tasklet(log.append)(1)
        stackless.run()
    finally:
        stackless.set_schedule_callback(None)
    assert log == [1] and reported == [ZeroDivisionError] * 2
    with pytest.raises(TypeError):
        stackless.set_schedule_callback(5)


# ---- with greenlets and contexts ----------------------------------------------------------------------------------


def test_a_tasklet_has_a_greenlet():
    got, c = [], channel()

    def work():
        got.append(greenlet.getcurrent())
        c.receive()

    task = tasklet(work)()
    stackless.run()
    (g,) = got
    assert g is not greenlet.getcurrent() and g.gr_frame is task.frame and not g.dead
    c.send(1)
    assert g.dead


def test_a_tasklet_may_wait_in_a_greenlet_that_it_switched_to():
    c, got = channel(), []

    def inner(x):
        got.append(x)
        got.append(c.receive())
        return "result"

    task = tasklet(lambda: got.append(greenlet.greenlet(inner).switch("start")))()
    stackless.run()
    assert task.blocked
    c.send("value")
    assert got == ["start", "value", "result"] and not task.alive


def test_main_may_wait_in_a_greenlet():
    c = channel()
    tasklet(c.send)(5)
    assert greenlet.greenlet(c.receive).switch() == 5
    stackless.run()


def test_a_suspended_tasklet_that_is_switched_to_by_hand_takes_the_place():
    got, c = [], channel()

    def work():
        got.append(greenlet.getcurrent())
        with pytest.raises(RuntimeError, match="continued by somebody else"):
            c.receive()
        got.append(stackless.getcurrent())
        return "left"

    main, task = stackless.getmain(), tasklet(work)()
    stackless.run()
    # Main has given its place away, so the end of the tasklet is all that can continue it: by what nobody has caught there.
    got[0].switch("by hand")
    assert got[1] is task and not task.alive and c.balance == 0
    assert stackless.getcurrent() is main


def test_greenlet_exit_thrown_by_hand_comes_back():
    got, c = [], channel()

    def work():
        got.append(greenlet.getcurrent())
        c.receive()

    task = tasklet(work)()
    stackless.run()
    assert isinstance(got[0].throw(), greenlet.GreenletExit)
    assert not task.alive and c.balance == 0
    assert stackless.getcurrent() is stackless.getmain()


def test_contexts_are_those_of_the_one_who_binds():
    import contextvars

    variable, got = contextvars.ContextVar("variable", default="none"), []
    main = stackless.getcurrent()
    before = contextvars.copy_context()

    def work():
        got.append(variable.get())
        variable.set("task")

    def test():
        variable.set("main")
        tasklet(work)()
        stackless.run()
        got.append(variable.get())
        own = contextvars.Context()
        task = tasklet(work)
        assert task.set_context(own) is task and task.context_id == id(own)
        task()
        stackless.run()
        got.append(variable.get())
        assert own[variable] == "task"
        other = tasklet().set_context(contextvars.Context())
        other.context_run(variable.set, "other")
        assert other.context_run(variable.get) == "other" and variable.get() == "task"
        with pytest.raises(ZeroDivisionError):
            other.context_run(lambda: 1 / 0)
        assert variable.get() == "task"

    task = tasklet(test)
    task.set_context(before)
    task()
    stackless.run()
    assert got == ["main", "task", "none", "task"]
    assert variable.get() == "none"
    with pytest.raises(TypeError):
        task.set_context(5)
    with pytest.raises(TypeError):
        task.context_run()
    with pytest.raises(RuntimeError):
        contextvars.copy_context().run(main.set_context, contextvars.Context())


# ---- the module ---------------------------------------------------------------------------------------------------


def test_it_stands_in_for_stackless():
    """In a program of its own, since it changes sys.modules."""
    import subprocess

    program = """
import sys, greenlet.stackless
sys.modules["stackless"] = greenlet.stackless
import stackless
from stackless import tasklet, run, channel, getcurrent
assert stackless.current is getcurrent() and stackless.runcount == 1 and len(stackless.threads) == 1
assert "current" in dir(stackless)
try:
    raise TaskletExit
except stackless.TaskletExit as error:
    assert isinstance(error, SystemExit)
stackless.enable_softswitch(True)
tasklet(print)("ran")
run()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("ran\n", "")
    with pytest.raises(AttributeError):
        stackless.nothing


def test_thread_info():
    main = stackless.getmain()
    assert stackless.get_thread_info() == stackless.get_thread_info(main.thread_id) == (main, main, 1)
    with pytest.raises(RuntimeError):
        stackless.get_thread_info(1)
