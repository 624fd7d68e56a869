"""The part of Stackless's API that `stackless_bench.py` needs, written in Python on greenlets: what one has without the native
module. As short and as fast as it can be made: no thread's own state, no callbacks, no traps, a deque for each queue.
"""

from collections import deque

from greenlet import getcurrent, greenlet

_main = getcurrent()
_runnable = deque()  # greenlets; the one that runs is not among them


def tasklet(function):
    def setup(*args):
        task = greenlet(lambda: (function(*args), _next()), _main)
        _runnable.append(task)
        return task

    return setup


def _next():
    """For one that ends or blocks: switches to the first runnable, or to main."""
    return (_runnable.popleft() if _runnable else _main).switch()


def schedule():
    _runnable.append(getcurrent())
    return _runnable.popleft().switch()


def run():
    if _runnable:
        _runnable.popleft().switch()


class channel:
    __slots__ = ("_queue", "balance")

    def __init__(self):
        self._queue = deque()
        self.balance = 0

    def send(self, value):
        if self.balance < 0:
            self.balance += 1
            _runnable.append(getcurrent())
            self._queue.popleft().switch(value)
        else:
            self.balance += 1
            self._queue.append((getcurrent(), value))
            _next()

    def receive(self):
        if self.balance > 0:
            self.balance -= 1
            sender, value = self._queue.popleft()
            _runnable.append(sender)
            return value
        self.balance -= 1
        self._queue.append(getcurrent())
        return _next()
