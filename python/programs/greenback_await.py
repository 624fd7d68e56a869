"""Awaiting from synchronous code, by greenback, under trio and asyncio: from a sort key, a property, an iterator,
a destructor's neighbour, wherever a function is called back."""

import asyncio
import contextvars
import functools

import greenback
import trio

variable = contextvars.ContextVar("variable", default="nothing")


class Remote:
    """Its attributes are fetched when they are asked for."""

    def __init__(self, sleep, value):
        self.sleep, self.value = sleep, value

    @property
    def fetched(self):
        greenback.await_(self.sleep(0.001))
        return self.value

    def __lt__(self, other):
        return self.fetched < other.fetched

    def __enter__(self):
        greenback.await_(self.sleep(0))
        return self

    def __exit__(self, *error):
        greenback.await_(self.sleep(0))


def synchronous(sleep, number):
    """Nothing here is async, and everything waits."""
    variable.set(f"task {number}")
    remotes = [Remote(sleep, value) for value in (3, 1, 2)]
    assert [remote.value for remote in sorted(remotes)] == [1, 2, 3]
    assert sorted(remotes, key=lambda remote: -remote.fetched)[0].value == 3
    assert sum(map(lambda remote: remote.fetched, remotes)) == 6
    assert functools.reduce(lambda total, remote: total + remote.fetched, remotes, 0) == 6
    with remotes[0] as remote:
        assert remote.fetched == 3

    def generate():
        for remote in remotes:
            yield remote.fetched

    assert list(generate()) == [3, 1, 2]

    async def fail():
        await sleep(0)
        raise KeyError(number)

    try:
        greenback.await_(fail())
        raise AssertionError("no error")
    except KeyError as error:
        assert error.args == (number,)
    assert variable.get() == f"task {number}"
    return number


async def task(sleep, number, results):
    await greenback.ensure_portal()
    results.append(synchronous(sleep, number))


async def under_trio():
    results = []
    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(task, trio.sleep, number, results)
    assert sorted(results) == list(range(20))
    # Cancelled in the middle of a synchronous function: its `finally` runs, and may wait itself.
    ended = []

    def wait():
        try:
            greenback.await_(trio.sleep(1000))
        finally:
            with trio.CancelScope(shield=True):
                greenback.await_(trio.sleep(0.001))
            ended.append(True)

    await greenback.ensure_portal()
    with trio.move_on_after(0.01) as scope:
        wait()
    assert scope.cancelled_caught and ended == [True]
    assert await greenback.with_portal_run_sync(synchronous, trio.sleep, 99) == 99
    return len(results)


async def under_asyncio():
    results = []
    await asyncio.gather(*[task(asyncio.sleep, number, results) for number in range(20)])
    assert sorted(results) == list(range(20))

    async def without_portal():
        try:
            greenback.await_(asyncio.sleep(0))
            raise AssertionError("awaited without a portal")
        except RuntimeError:
            return True

    assert await asyncio.create_task(without_portal())
    return len(results)


if __name__ == "__main__":
    done = trio.run(under_trio) + asyncio.run(under_asyncio())
    print(f"{done} tasks were right")
