"""Stackless Python's tasklets and channels.

A tasklet is a function with a flow of control of its own. Those that are runnable take turns, which the scheduler of
their thread gives them in order; where two meet in a channel, one to send and one to receive, neither needs to ask who is
next.

    >>> from greenlet import stackless
    >>> def greet(channel):
    ...     print("hello", channel.receive())
    >>> channel = stackless.channel()
    >>> task = stackless.tasklet(greet)(channel)
    >>> task.run()
    >>> channel.send("world")
    hello world

``sys.modules["stackless"] = greenlet.stackless`` lets programs that were written for Stackless find it. Importing
this module puts ``TaskletExit`` among the builtins, where such programs expect it.
"""

import builtins

from ._greenlet import _stackless

_native = _stackless()
TaskletExit = _native.TaskletExit
channel = _native.channel
enable_softswitch = _native.enable_softswitch
get_channel_callback = _native.get_channel_callback
get_schedule_callback = _native.get_schedule_callback
get_thread_info = _native.get_thread_info
getcurrent = _native.getcurrent
getcurrentid = _native.getcurrentid
getmain = _native.getmain
getruncount = _native.getruncount
getthreads = _native.getthreads
run = _native.run
schedule = _native.schedule
schedule_remove = _native.schedule_remove
set_channel_callback = _native.set_channel_callback
set_error_handler = _native.set_error_handler
set_schedule_callback = _native.set_schedule_callback
switch_trap = _native.switch_trap
tasklet = _native.tasklet

__all__ = [
    "TaskletExit",
    "atomic",
    "channel",
    "enable_softswitch",
    "get_channel_callback",
    "get_schedule_callback",
    "get_thread_info",
    "getcurrent",
    "getcurrentid",
    "getmain",
    "getruncount",
    "getthreads",
    "run",
    "schedule",
    "schedule_remove",
    "set_channel_callback",
    "set_error_handler",
    "set_schedule_callback",
    "switch_trap",
    "tasklet",
]

if not hasattr(builtins, "TaskletExit"):
    builtins.TaskletExit = TaskletExit


class atomic:
    """``with atomic():`` sets the flag ``atomic`` of the current tasklet for a while."""

    __slots__ = ("_old",)

    def __enter__(self):
        self._old = getcurrent().set_atomic(True)

    def __exit__(self, *error):
        getcurrent().set_atomic(self._old)


# What was an attribute of Stackless's module is asked for each time.
_ATTRIBUTES = {"current": getcurrent, "main": getmain, "runcount": getruncount, "threads": getthreads}


def __getattr__(name):
    if name in _ATTRIBUTES:
        return _ATTRIBUTES[name]()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return [*globals(), *_ATTRIBUTES]
