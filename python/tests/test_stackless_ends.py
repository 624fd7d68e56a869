"""Tasklets that nobody holds, references and memory, threads and their end, the interpreter's end."""

import gc
import subprocess
import sys
import threading
import weakref

import pytest
from conftest import SHOWN_FRAMES, collect_old
from test_memory import TIMES, flat

from greenlet import stackless
from greenlet.stackless import TaskletExit, channel, schedule, schedule_remove, tasklet


@pytest.fixture(autouse=True)
def alone():
    assert stackless.getruncount() == 1
    yield
    stackless.run()
    assert stackless.getruncount() == 1 and stackless.getcurrent() is stackless.getmain()


def pausing(log):
    """A paused tasklet that notes how it ends."""

    def work():
        try:
            schedule_remove(None)
        except BaseException as error:
            log.append(type(error))
            raise

    task = tasklet(work)()
    stackless.run()
    assert task.paused
    return task


# ---- nobody holds it ----------------------------------------------------------------------------------------------


def test_a_paused_tasklet_that_nobody_holds_ends_at_once():
    log = []
    task = pausing(log)
    reference = weakref.ref(task)
    del task
    assert log == [TaskletExit] and reference() is None


def test_schedule_remove_of_one_that_nobody_holds():
    log = []

    def work():
        try:
            schedule_remove()
        finally:
            log.append("finally")

    tasklet(work)()
    tasklet(log.append)("other")
    stackless.run()
    assert sorted(log) == ["finally", "other"]


def test_one_that_the_collector_finds_ends_at_its_turn():
    log = []
    task = pausing(log)
    cycle = [task]
    task.tempval = cycle
    del task, cycle
    gc.collect()
    assert log == [] and stackless.getruncount() == 2
    stackless.run()
    assert log == [TaskletExit]


def test_a_tasklet_that_has_not_begun_is_collected():
    class Callable:
        def __call__(self):
            pass

    function = Callable()
    task = tasklet(function).bind(None, ())
    function.task, reference = task, weakref.ref(function)
    del task, function
    gc.collect()
    assert reference() is None


def test_a_tasklet_in_a_channel_that_nobody_holds():
    """The collector sees that from 3.15 on; before, such a tasklet waits for ever."""
    log = []

    def make():
        c = channel()

        def work():
            try:
                c.receive()
            finally:
                log.append("finally")

        return tasklet(work)()

    task = make()
    stackless.run()
    assert task.blocked
    reference = weakref.ref(task)
    del task
    collect_old()
    assert log == []
    if not SHOWN_FRAMES:
        reference().kill()
        assert log == ["finally"]
        return
    assert stackless.getruncount() == 2
    stackless.run()
    assert log == ["finally"]
    gc.collect()
    assert reference() is None


def test_one_that_lives_on_after_its_last_words():
    log, c = [], channel()

    def work():
        try:
            schedule_remove(None)
        except TaskletExit:
            log.append(c.receive())

    task = tasklet(work)()
    stackless.run()
    del task
    assert c.balance == -1 and log == []
    c.send("still there")
    assert log == ["still there"]


def test_one_that_does_not_want_to_end(capfd):
    log, leave = [], []

    def work():
        while not leave:
            try:
                schedule_remove(None)
            except TaskletExit:
                log.append(stackless.getcurrent() if len(log) == 9 else None)

    task = tasklet(work)()
    stackless.run()
    del task
    assert len(log) == 10 and "TaskletExit did not end" in capfd.readouterr().err
    leave.append(True)
    log.pop().run()


def test_an_exception_in_last_words_is_reported(monkeypatch):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: reported.append(report.exc_type))

    def work():
        try:
            schedule_remove(None)
        finally:
            raise KeyError

    task = tasklet(work)()
    stackless.run()
    try:
        raise IndexError
    except IndexError as error:
        del task
        assert sys.exc_info()[1] is error
    assert reported == [KeyError]


def test_in_a_callback_and_under_the_trap_it_ends_later():
    log = []
    tasks = [pausing(log)]
    stackless.switch_trap(1)
    tasks.clear()
    assert log == [] and stackless.getruncount() == 2
    stackless.switch_trap(-1)
    stackless.run()
    assert log == [TaskletExit]
    tasks = [pausing(log)]
    stackless.set_schedule_callback(lambda *_: tasks.clear())
    tasklet(lambda: None)()
    stackless.run()
    stackless.set_schedule_callback(None)
    assert log == [TaskletExit] * 2


# ---- references and memory ----------------------------------------------------------------------------------------


def test_values_are_given_up():
    class Value:
        pass

    c, value = channel(), Value()
    reference = weakref.ref(value)
    task = tasklet(lambda: c.receive() and None)()
    stackless.run()
    c.send(value)
    del value
    assert reference() is None and not task.alive
    value = Value()
    reference = weakref.ref(value)
    task = tasklet(c.send)(value)
    del value
    stackless.run()
    assert reference() is not None
    task.kill()
    assert reference() is None


def test_a_value_that_could_not_be_sent_is_given_up():
    class Value:
        pass

    c, value = channel(), Value()
    reference = weakref.ref(value)
    with pytest.raises(RuntimeError):
        c.send(value)
    del value
    assert reference() is None and c.balance == 0


def test_send_and_receive():
    def work(times):
        c = channel()

        def sender():
            for i in range(times):
                c.send((i,))

        def receiver():
            for i in range(times):
                assert c.receive() == (i,)

        tasklet(sender)()
        tasklet(receiver)()
        stackless.run()

    flat(work, TIMES // 2)


def test_tasklets_that_run_to_their_end():
    def work(times):
        for i in range(times // 10):
            for _ in range(10):
                tasklet(schedule)(i)
            stackless.run()

    flat(work, TIMES // 4)


def test_tasklets_that_are_killed_or_never_run():
    def work(times):
        c = channel()
        for _ in range(times):
            task = tasklet(c.receive)()
            tasklet(c.receive).bind(None, ())
            schedule()
            task.kill()
            tasklet(schedule_remove)()
            schedule()

    flat(work, TIMES // 10)


def test_exceptions_through_channels():
    def work(times):
        c = channel()

        def receiver():
            for _ in range(times):
                try:
                    c.receive()
                except KeyError:
                    pass

        tasklet(receiver)()
        schedule()
        for i in range(times):
            c.send_exception(KeyError, i)

    flat(work, TIMES // 4)


def test_many():
    count, c, got = 20_000, channel(), []
    for i in range(count):
        tasklet(lambda: got.append(c.receive()))()
    stackless.run()
    assert c.balance == -count
    for i in range(count):
        c.send(i)
    assert got == list(range(count))


# ---- threads ------------------------------------------------------------------------------------------------------


def in_thread(function):
    """What it returns in a thread of its own, which has ended."""
    result = []
    thread = threading.Thread(target=lambda: result.append(function()))
    thread.start()
    thread.join()
    return result[0]


def test_each_thread_has_its_own_scheduler():
    tasklet(lambda: None)()
    main, count, info = in_thread(
        lambda: (stackless.getmain(), stackless.getruncount(), stackless.get_thread_info())
    )
    assert main is not stackless.getmain() and count == 1 and info == (main, main, 1)
    assert main.thread_id == -1 and not main.alive and not main.scheduled
    assert stackless.getruncount() == 2
    assert len(in_thread(stackless.getthreads)) == len(stackless.getthreads()) + 1
    ready, done, seen = threading.Event(), threading.Event(), []

    def idle():
        seen.append(threading.get_ident())
        ready.set()
        done.wait()

    thread = threading.Thread(target=idle)
    thread.start()
    ready.wait()
    assert stackless.get_thread_info(seen[0]) == (None, None, 0)
    done.set()
    thread.join()


def test_a_channel_between_threads():
    c, got = channel(), []

    def sender():
        for i in range(100):
            c.send(i)
        c.send(None)

    def pump(function):
        task = tasklet(function)()
        while task.alive:
            stackless.run()

    def receiver():
        while (value := c.receive()) is not None:
            got.append(value)

    thread = threading.Thread(target=pump, args=(sender,))
    thread.start()
    pump(receiver)
    thread.join()
    assert got == list(range(100))


def test_main_sleeps_until_another_thread_sends():
    c, back = channel(), channel()

    def other():
        for i in range(20):
            c.send(i)
            assert back.receive() == -i

    thread = threading.Thread(target=other)
    thread.start()
    for i in range(20):
        assert c.receive() == i
        back.send(-i)
    thread.join()


def test_run_with_threadblock_waits_for_other_threads():
    c, got = channel(), []

    def receiver():
        got.extend(c)

    task = tasklet(receiver)()
    stackless.run()
    assert got == [] and task.blocked
    c.preference = 1

    def other():
        c.send_sequence(range(5))
        c.send_exception(StopIteration)

    thread = threading.Thread(target=other)
    thread.start()
    while task.alive:
        stackless.run(threadblock=True)
    thread.join()
    assert got == list(range(5))


def test_a_deadlock_is_seen_when_the_other_thread_has_ended():
    c, wait = channel(), threading.Event()
    thread = threading.Thread(target=wait.wait)
    thread.start()
    threading.Timer(0.1, wait.set).start()
    with pytest.raises(RuntimeError, match="Deadlock"):
        c.receive()
    thread.join()


def test_exceptions_and_signals_of_other_threads_reach_a_sleeping_main():
    program = """
import os, signal, threading, time
from greenlet import stackless
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's jobs in the background ignore it
wait = threading.Event()
thread = threading.Thread(target=wait.wait)
thread.start()
c = stackless.channel()
def interrupt():
    while c.balance == 0:
        time.sleep(0.01)
    time.sleep(0.1)  # main waits, or will in a moment
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
    c.receive()
except KeyboardInterrupt:
    print("interrupted", c.balance, stackless.getruncount())
wait.set()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("interrupted 0 1\n", "")


def test_tasklets_of_another_thread():
    c, ready, made, log = channel(), channel(), [], []

    def work(name):
        log.append((name, threading.get_ident()))
        try:
            schedule_remove(None)
            log.append((name, "went on"))
        except (KeyError, TaskletExit) as error:
            log.append((name, type(error)))

    def other():
        made.extend(tasklet(work)(name) for name in "abcd")
        schedule()
        ready.send(threading.get_ident())
        c.receive()  # sleeps, and lets tasklets run that others make runnable
        return threading.get_ident()

    thread = threading.Thread(target=other)
    thread.start()
    ident = ready.receive()
    assert [task.thread_id for task in made] == [ident] * 4 and stackless.get_thread_info(ident)[2] in (0, 1)
    assert all(task.paused for task in made)
    a, b, cc, d = made
    with pytest.raises(RuntimeError):
        a.switch()
    assert a.insert() is a
    assert b.run() is None
    assert cc.throw(KeyError) is None
    assert d.kill() is None
    while any(task.alive for task in made):
        schedule()
        threading.Event().wait(0.001)
    c.send(None)
    thread.join()
    assert sorted(log[4:], key=str) == sorted(
        [("a", "went on"), ("b", "went on"), ("c", KeyError), ("d", TaskletExit)], key=str
    )
    assert {who for _, who in log[:4]} == {ident}


def test_the_last_reference_in_another_thread():
    log = []
    tasks = [pausing(log)]
    in_thread(tasks.clear)
    assert log == [] and stackless.getruncount() == 2
    stackless.run()
    assert log == [TaskletExit]


def test_bind_thread():
    log = []
    task = tasklet(lambda: log.append(threading.get_ident())).bind(None, ())

    def other():
        assert task.bind_thread() is None
        assert task.thread_id == threading.get_ident()
        task.run()
        return threading.get_ident()

    assert [in_thread(other)] == log
    assert task.thread_id == -1
    task.bind_thread(stackless.getmain().thread_id)
    task.bind(log.append)("again")
    with pytest.raises(RuntimeError):
        in_thread_raising(task.bind_thread)
    stackless.run()
    assert log[1:] == ["again"]
    with pytest.raises(ValueError):
        task.bind_thread(1)


def in_thread_raising(function):
    def guarded():
        try:
            function()
        except Exception as error:
            return error

    error = in_thread(guarded)
    if error is not None:
        raise error


def test_the_end_of_a_thread():
    c, log, kept = channel(), [], []

    def work(wait):
        try:
            wait()
        finally:
            log.append("never")

    def other():
        kept.extend([tasklet(work)(c.receive), tasklet(work)(schedule_remove), tasklet(work)(schedule)])
        kept[0].run()
        kept.append(tasklet(log.append)("not begun"))
        assert c.balance == -1

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert c.balance == 0 and c.queue is None
    for task in kept[:3]:
        assert not task.alive and not task.blocked and not task.scheduled and task.thread_id == -1
        assert task.kill() is None
        with pytest.raises(RuntimeError):
            task.insert()
        task.bind(None)
    ready = kept[3]
    assert ready.alive and ready.paused and ready.thread_id == -1
    with pytest.raises(RuntimeError):
        ready.insert()
    ready.bind_thread()
    ready.run()
    assert log == ["not begun"]
    kept.clear()
    gc.collect()


def test_a_thread_that_ends_in_a_channel_is_not_waited_for():
    c = channel()

    def other():
        tasklet(c.send)(1)
        schedule()
        return c.balance

    assert in_thread(other) == 1
    with pytest.raises(RuntimeError, match="Deadlock"):
        c.receive()


# ---- the interpreter's end ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["main", "thread", "daemon"])
def test_the_end_of_the_interpreter(where):
    program = """
import sys, threading
from greenlet import stackless
c = stackless.channel()
kept = []
def work(wait):
    try:
        wait()
    finally:
        kept
def all():
    kept.extend(stackless.tasklet(work)(wait) for wait in (c.receive, stackless.schedule_remove, stackless.schedule))
    kept[0].run()
    stackless.tasklet(work)(c.receive)
    stackless.tasklet(print).bind(None, ("never",))
    stackless.tasklet(kept.append)("never, unless the thread sleeps")
    kept.append(kept)
    ready.set()
    if sys.argv[1] == "daemon":
        c.receive()
ready = threading.Event()
if sys.argv[1] == "main":
    all()
else:
    thread = threading.Thread(target=all, daemon=sys.argv[1] == "daemon")
    thread.start()
    ready.wait()
    if sys.argv[1] == "thread":
        thread.join()
"""
    done = subprocess.run([sys.executable, "-X", "faulthandler", "-c", program, where], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
