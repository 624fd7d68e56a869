"""Who ran when: switches, recorded by the trace hook and written as a trace file that one can look at.

    from greenlet.timeline import Timeline

    with Timeline("trace.json"):
        program()

Open the file with https://ui.perfetto.dev (it stays in the browser) or any other viewer of Chrome's trace events. Each thread
that has recorded is a group of tracks, each of its greenlets a track, and a slice the time from one switch to the next.

It must never know how a greenlet switches: it sees what ``greenlet.settrace`` tells.
"""

import itertools
import json
import os
import threading
import time
import weakref

from greenlet import getcurrent, gettrace, settrace

__all__ = ["Timeline"]

# In a list of events: from here on nothing was recorded.
_NOBODY = -1


class _Thread:
    """What one thread has recorded. Only that thread changes it."""

    def __init__(self, ids):
        self.thread = threading.current_thread()
        # What viewers call a process is a thread here, and what they call its threads are its greenlets. 0 is something else to them,
        # and the one that has the number of its process is its main thread.
        self.ids = ids
        self.pid = next(ids)
        self.tids = []  # by the numbers of the greenlets
        self.names = []
        self.named = []  # whether that is more than a guess
        self.numbers = {}  # by a greenlet's id: a weak reference to it, and its number
        # When, who runs from then on, and whether something was thrown into it: one after the other, since a tuple for each would be work for
        # the garbage collector.
        self.events = []
        self.hook = None

    def number_of(self, greenlet):
        """The number of a greenlet. It is not kept alive for that."""
        key = id(greenlet)
        known = self.numbers.get(key)
        if known is not None:
            return known[1]
        number = len(self.names)
        numbers = self.numbers

        def gone(reference):
            # The same id may belong to a new greenlet by now.
            if key in numbers and numbers[key][0] is reference:
                del numbers[key]

        numbers[key] = (weakref.ref(greenlet, gone), number)
        is_main = greenlet.parent is None
        self.tids.append(self.pid if is_main else next(self.ids))
        self.names.append("main" if is_main else type(greenlet).__name__)
        self.named.append(is_main)
        return number

    def learn(self, greenlet, number):
        """A name for a greenlet that has just been left: its own, or that of the function in which it began."""
        name = getattr(greenlet, "name", None)
        if not isinstance(name, str):
            frame = greenlet.gr_frame
            if frame is None:
                return  # it is over, or has not begun
            while frame.f_back is not None:
                frame = frame.f_back
            name = getattr(frame.f_code, "co_qualname", frame.f_code.co_name).rpartition("<locals>.")[2]
        self.names[number] = name
        self.named[number] = True

    def start(self, clock):
        before = gettrace()
        events, numbers, names_known = self.events, self.numbers, self.named

        def hook(event, pair):
            nonlocal events
            if self.hook is hook:
                now = clock()
                origin, target = pair
                known = numbers.get(id(target))
                events += now, known[1] if known else self.number_of(target), event == "throw"
                known = numbers.get(id(origin))
                if known and not names_known[known[1]]:
                    self.learn(origin, known[1])
            if before is not None:
                before(event, pair)

        hook.before = before
        self.hook = hook
        events += clock(), self.number_of(getcurrent()), False
        settrace(hook)

    def stop(self, clock):
        hook, self.hook = self.hook, None
        self.events += clock(), _NOBODY, False
        # If somebody has set another function since, that one may call ours: it passes on what it is told, and no more.
        if gettrace() is hook:
            settrace(hook.before)

    def slices(self, now):
        """Who, from when, to when, and whether something was thrown into it."""
        events = list(self.events)
        if not events:
            return
        if self.hook is None or not self.thread.is_alive():
            end = events[-3]
        else:
            end = max(now, events[-3])
        begins, untils = events[::3], [*events[3::3], end]
        for begin, number, thrown, until in zip(begins, events[1::3], events[2::3], untils):
            if number != _NOBODY:
                yield number, begin, until, thrown


class Timeline:
    """A record of which greenlet ran when, in each thread that has started it.

    As a context manager it starts in the thread that enters and stops there at the end of the block, also when that is an exception; with a
    file it is saved then. Other threads can use the same object at the same time, each for itself: all are in one file.
    """

    def __init__(self, file=None, *, clock=time.perf_counter_ns):
        """``file``: where it is saved at the end of a ``with`` block. ``clock``: nanoseconds, never falling."""
        self._file = file
        self._clock = clock
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._threads = []
        self._local = threading.local()

    def _thread(self):
        thread = getattr(self._local, "thread", None)
        if thread is None:
            with self._lock:
                thread = self._local.thread = _Thread(self._ids)
                self._threads.append(thread)
        return thread

    @property
    def recording(self):
        """Whether the calling thread is recorded."""
        thread = getattr(self._local, "thread", None)
        return thread is not None and thread.hook is not None

    def start(self):
        """Record the calling thread's switches from now on. A trace function that was there before is called as well, after.

        If that one raises, greenlet removes both, as it removes any trace function that raises: nothing is recorded from then on.
        """
        if self.recording:
            raise RuntimeError("this timeline is recording the calling thread already")
        self._thread().start(self._clock)

    def stop(self):
        """Record no more of the calling thread. The trace function that was there before is the only one again."""
        if not self.recording:
            raise RuntimeError("this timeline is not recording the calling thread")
        self._local.thread.stop(self._clock)

    def name(self, greenlet, name):
        """Call one of the calling thread's greenlets so.

        Without it a greenlet is called by its attribute ``name`` if that is a string, else after the function in which it
        began, or after its type if it was never seen suspended.
        """
        if not isinstance(name, str):
            raise TypeError(f"a name is a string, not {type(name).__name__}")
        thread = self._thread()
        number = thread.number_of(greenlet)
        thread.names[number] = name
        thread.named[number] = True

    def events(self):
        """The trace events so far, as dictionaries: what ``save`` writes.

        Times are in microseconds from the first start.
        """
        now = self._clock()
        with self._lock:
            threads = [(thread, list(thread.slices(now))) for thread in self._threads]
        zero = min((slices[0][1] for _, slices in threads if slices), default=0)
        found = []
        for thread, slices in threads:
            pid, names, tids = thread.pid, list(thread.names), thread.tids
            found.append({"ph": "M", "pid": pid, "name": "process_name", "args": {"name": thread.thread.name}})
            for number, name in enumerate(names):
                track = {"ph": "M", "pid": pid, "tid": tids[number]}
                found.append({**track, "name": "thread_name", "args": {"name": name}})
                found.append({**track, "name": "thread_sort_index", "args": {"sort_index": number}})
            for number, begin, end, thrown in slices:
                ts, dur = (begin - zero) / 1000, (end - begin) / 1000
                slice = {"ph": "X", "pid": pid, "tid": tids[number], "ts": ts, "dur": dur, "name": names[number]}
                found.append({**slice, "args": {"by": "throw" if thrown else "switch"}})
        return found

    def save(self, file=None):
        """Write what has been recorded so far to a file, given by its path or open for text. Without one, to the timeline's own."""
        file = self._file if file is None else file
        if file is None:
            raise ValueError("save() needs a file: this timeline was made without one")
        lines = ",\n".join(json.dumps(event, separators=(",", ":")) for event in self.events())
        text = f'{{"displayTimeUnit":"ns","traceEvents":[\n{lines}\n]}}\n'
        if isinstance(file, (str, os.PathLike)):
            with open(file, "w", encoding="utf-8") as out:
                out.write(text)
        else:
            file.write(text)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        if self._file is not None:
            self.save()
