"""greenlet.timeline: the file is what viewers take for one, and says who ran when."""

import gc
import io
import json
import subprocess
import sys
import threading

import pytest

from greenlet import getcurrent, gettrace, greenlet, settrace
from greenlet.timeline import Timeline


class Clock:
    """Each look at it takes a microsecond."""

    def __init__(self):
        self.now = 5_000

    def __call__(self):
        self.now += 1_000
        return self.now


@pytest.fixture(autouse=True)
def untraced():
    assert gettrace() is None
    yield
    settrace(None)


def tracks(events):
    """The names of the tracks, by (pid, tid)."""
    return {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}


def slices(events):
    """Who ran from when to when, in the order of the file, which has to be that of the times of each thread."""
    names = tracks(events)
    found = []
    for event in events:
        if event["ph"] == "X":
            assert event["name"] == names[event["pid"], event["tid"]]
            found.append((event["name"], event["ts"], event["ts"] + event["dur"], event["args"]["by"]))
    return found


def well_formed(text):
    """The events of a file, after what any viewer asks of one has been checked."""
    file = json.loads(text)
    assert file["displayTimeUnit"] == "ns"
    events = file["traceEvents"]
    ends = {}
    for event in events:
        assert event["ph"] in "XM" and event["pid"] >= 1
        if event["ph"] == "X":
            assert event["dur"] >= 0 and event["tid"] >= 1
            # One at a time in each thread, and none before the one before.
            assert event["ts"] >= ends.get(event["pid"], 0) - 1e-6
            ends[event["pid"]] = event["ts"] + event["dur"]
    processes = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    assert set(ends) <= set(processes)
    tids = [tid for _, tid in tracks(events)]
    assert len(set(tids)) == len(tids), "a number belongs to one track"
    sorts = [(e["pid"], e["args"]["sort_index"]) for e in events if e["name"] == "thread_sort_index"]
    assert len(set(sorts)) == len(tids)
    return events


def test_every_switch_ends_one_slice_and_begins_the_next():
    main = getcurrent()

    def reader():
        main.switch()
        main.switch()

    g = greenlet(reader)
    with Timeline(clock=Clock()) as timeline:
        g.switch()
        g.switch()
    assert slices(timeline.events()) == [
        ("main", 0, 1, "switch"),
        ("reader", 1, 2, "switch"),
        ("main", 2, 3, "switch"),
        ("reader", 3, 4, "switch"),
        ("main", 4, 5, "switch"),
    ]


def test_the_file(tmp_path):
    path = tmp_path / "trace.json"
    main = getcurrent()
    with Timeline(path) as timeline:
        for number in range(20):
            g = greenlet(lambda: main.switch() and None)
            timeline.name(g, f'number "{number}" \u03bb \n')
            g.switch()
            g.switch()
    events = well_formed(path.read_text(encoding="utf-8"))
    assert list(tracks(events).values()) == ["main", *(f'number "{n}" \u03bb \n' for n in range(20))]
    assert [name for name, *_ in slices(events)].count("main") == 41
    assert len(slices(events)) == 81
    assert events == timeline.events()

    # And to a file that is open.
    out = io.StringIO()
    timeline.save(out)
    assert out.getvalue() == path.read_text(encoding="utf-8")


def test_the_time_of_a_slice_is_the_time_that_was_spent():
    now = [0]

    def work(micros):
        now[0] += 1000 * micros
        main.switch()
        now[0] += 1000 * micros

    main = getcurrent()
    all = [greenlet(work) for _ in range(3)]
    with Timeline(clock=lambda: now[0]) as timeline:
        for number, g in enumerate(all):
            timeline.name(g, str(number))
        for number, g in enumerate(all):
            g.switch(10 + number)
        now[0] += 500_000
        for g in reversed(all):
            g.switch()
    spent = {}
    for name, begin, end, _ in slices(timeline.events()):
        spent[name] = spent.get(name, 0) + end - begin
    assert spent == {"main": 500, "0": 20, "1": 22, "2": 24}


def test_names():
    main = getcurrent()

    class Job(greenlet):
        pass

    class Named(greenlet):
        name = "what its author says"

    def body():
        max([1], key=lambda _: main.switch())

    class Worker:
        def work(self):
            main.switch()

    with Timeline() as timeline:
        for g in (Job(body), Job(lambda: None), Named(body), Named(lambda: None), greenlet(Worker().work), greenlet(body)):
            g.switch()
        timeline.name(g, "given late")
        with pytest.raises(TypeError, match="a name is a string, not int"):
            timeline.name(g, 3)
    method = "Worker.work" if sys.version_info >= (3, 11) else "work"
    expected = ["main", "body", "Job", "what its author says", "what its author says", method, "given late"]
    assert list(tracks(timeline.events()).values()) == expected


def test_a_throw_and_an_exception_that_leaves_the_block(tmp_path):
    path = tmp_path / "trace.json"
    main = getcurrent()

    def fails():
        try:
            main.switch()
        except KeyError:
            raise ValueError("from below") from None

    g = greenlet(fails)
    with pytest.raises(ValueError, match="from below"):
        with Timeline(path) as timeline:
            timeline.name(g, "fails")
            g.switch()
            g.throw(KeyError)
    assert gettrace() is None and not timeline.recording
    by = [(name, by) for name, _, _, by in slices(well_formed(path.read_text(encoding="utf-8")))]
    assert by == [("main", "switch"), ("fails", "switch"), ("main", "switch"), ("fails", "throw"), ("main", "throw")]


def test_a_greenlet_is_not_kept_alive_and_its_kill_is_on_its_track():
    main = getcurrent()
    ended = []

    def waits():
        try:
            main.switch()
        finally:
            ended.append(True)

    with Timeline() as timeline:
        for number in range(50):
            g = greenlet(waits)
            timeline.name(g, str(number))
            g.switch()
            del g
            gc.collect()
            assert len(ended) == number + 1
    names = [name for name, *_ in slices(timeline.events())]
    assert names == ["main", *(name for n in range(50) for name in (str(n), "main", str(n), "main"))]


def test_each_thread_has_its_own_tracks(tmp_path):
    timeline = Timeline(clock=Clock())
    inside = threading.Barrier(2)

    def work(rounds):
        with timeline:
            inside.wait()
            main = getcurrent()
            g = greenlet(lambda: [main.switch() for _ in range(rounds)])
            timeline.name(g, threading.current_thread().name.upper())
            for _ in range(rounds + 1):
                g.switch()
            inside.wait()

    threads = [threading.Thread(target=work, args=(n,), name=name) for n, name in ((3, "left"), (5, "right"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gettrace() is None
    path = tmp_path / "trace.json"
    timeline.save(path)
    events = well_formed(path.read_text(encoding="utf-8"))
    processes = {e["args"]["name"]: e["pid"] for e in events if e["name"] == "process_name"}
    assert set(processes) == {"left", "right"}
    for thread, rounds in (("left", 3), ("right", 5)):
        pid = processes[thread]
        mine = [event for event in events if event["pid"] == pid]
        assert list(tracks(mine).items())[0] == ((pid, pid), "main"), "viewers know a main thread by that"
        assert [name for name, *_ in slices(mine)] == ["main", *(rounds + 1) * [thread.upper(), "main"]]


def test_a_thread_that_ended_without_stop_ends_with_its_last_switch():
    clock = Clock()
    timeline = Timeline(clock=clock)

    def work():
        timeline.start()
        greenlet(lambda: None).switch()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    clock.now += 1_000_000
    found = slices(timeline.events())
    assert [name for name, *_ in found] == ["main", "greenlet", "main"]
    assert found[-1][2] == 2


def test_start_stop_and_start_again_leaves_a_gap():
    clock = Clock()
    timeline = Timeline(clock=clock)
    main = getcurrent()
    g = greenlet(lambda: [main.switch() for _ in range(3)])
    timeline.name(g, "g")
    timeline.start()
    g.switch()
    assert timeline.recording
    assert slices(timeline.events())[-1][::2] == ("main", 3), "what is still going on is seen up to now"
    timeline.stop()
    assert not timeline.recording
    g.switch()
    clock.now += 100_000
    timeline.start()
    g.switch()
    timeline.stop()
    found = slices(timeline.events())
    assert [name for name, *_ in found] == ["main", "g", "main", "main", "g", "main"]
    assert found[3][1] - found[2][2] >= 100


def test_misuse_is_refused():
    timeline = Timeline()
    with pytest.raises(RuntimeError, match="is not recording the calling thread"):
        timeline.stop()
    with pytest.raises(ValueError, match="needs a file"):
        timeline.save()
    timeline.start()
    with pytest.raises(RuntimeError, match="is recording the calling thread already"):
        timeline.start()
    refused = []

    def other():
        try:
            timeline.stop()
        except RuntimeError as error:
            refused.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert len(refused) == 1 and timeline.recording
    timeline.stop()
    with pytest.raises(RuntimeError):
        timeline.stop()
    assert Timeline().events() == []
    out = io.StringIO()
    Timeline().save(out)
    assert well_formed(out.getvalue()) == []


def test_the_function_that_was_there_before_is_called_too_and_comes_back():
    seen = []

    def before(event, pair):
        seen.append(event)

    settrace(before)
    with Timeline() as outer:
        with Timeline() as inner:
            greenlet(lambda: None).switch()
        greenlet(lambda: None).switch()
    assert gettrace() is before
    assert seen == 4 * ["switch"]
    assert len(slices(inner.events())) == 3 and len(slices(outer.events())) == 5


def test_stopped_in_another_order_nobody_is_cut_off():
    seen = []
    first, second = Timeline(), Timeline()
    settrace(lambda event, pair: seen.append(event))
    first.start()
    second.start()
    first.stop()
    greenlet(lambda: None).switch()
    second.stop()
    assert len(slices(first.events())) == 1 and len(slices(second.events())) == 3
    greenlet(lambda: None).switch()
    assert len(slices(first.events())) == 1 and seen == 4 * ["switch"]


def test_a_function_before_that_raises_ends_the_recording_with_an_error_where_it_belongs():
    def before(event, pair):
        raise KeyError("the function before")

    settrace(before)
    timeline = Timeline()
    timeline.start()
    with pytest.raises(KeyError, match="the function before"):
        greenlet(lambda: None).switch()
    assert gettrace() is None
    timeline.stop()
    assert gettrace() is None
    assert len(slices(timeline.events())) >= 2


def test_a_file_that_cannot_be_written_is_an_error(tmp_path):
    timeline = Timeline(tmp_path / "no such folder" / "trace.json")
    with pytest.raises(FileNotFoundError), timeline:
        greenlet(lambda: None).switch()
    assert gettrace() is None and len(slices(timeline.events())) == 3


def test_many_switches_are_in_order():
    main = getcurrent()

    def loop():
        while True:
            main.switch()

    g = greenlet(loop)
    with Timeline() as timeline:
        for _ in range(100_000):
            g.switch()
    out = io.StringIO()
    timeline.save(out)
    assert len(slices(well_formed(out.getvalue()))) == 200_001


def test_it_is_not_imported_unless_it_is_asked_for():
    code = "import sys, greenlet; assert 'greenlet.timeline' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
