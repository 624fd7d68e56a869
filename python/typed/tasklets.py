"""The same for `greenlet.stackless`."""

import contextvars
from types import FrameType
from typing import Any

from typing_extensions import assert_type

from greenlet import stackless
from greenlet.stackless import TaskletExit, channel, tasklet


def work(first: int, c: channel, name: str = "") -> None:
    c.send(first)
    for value in c:
        print(name, value)


class Named(tasklet):
    __slots__ = ("name",)
    name: str


c = channel()
c.preference = 1
c.schedule_all = True
task = tasklet(work)(1, c, name="x")
assert_type(task, tasklet)
assert_type(Named(work)(1, c), Named)
assert_type(task.next, tasklet | None)
assert_type(task.frame, FrameType | None)
assert_type(stackless.run(5, totaltimeout=True), tasklet | None)
assert_type(c.receive(), Any)
assert_type(c.send_sequence([1, 2]), int)
assert_type(stackless.current, tasklet)
assert_type(stackless.get_thread_info(), tuple[tasklet | None, tasklet | None, int])
task.set_context(contextvars.copy_context()).insert().remove().kill(pending=True)
task.throw(KeyError, "value")
task.throw(KeyError("value"), pending=True)
task.raise_exception(TaskletExit)
task.block_trap = True
with stackless.atomic():
    stackless.schedule()


def heard(c: channel, task: tasklet, sending: int, willblock: int) -> None:
    print(c.balance, task.blocked, sending, willblock)


stackless.set_channel_callback(heard)
stackless.set_schedule_callback(lambda prev, next: print(prev.alive, next.alive))
stackless.set_error_handler(None)
