"""Switches at every awkward point."""

import asyncio
import contextvars
import ctypes
import gc
import os
import platform
import sys
import threading
import weakref

import pytest

import greenlet as package
from greenlet import GreenletExit, getcurrent, greenlet


def test_in_a_finalizer(overwrite):
    main = getcurrent()

    class Bomb:
        def __del__(self):
            main.switch("from __del__")

    def body():
        bomb = Bomb()
        del bomb
        return "end"

    g = greenlet(body)
    assert g.switch() == "from __del__"
    overwrite()
    assert g.switch() == "end"


def test_in_a_comparison_and_a_sort_key(overwrite):
    main = getcurrent()

    class Item:
        def __init__(self, n):
            self.n = n

        def __lt__(self, other):
            main.switch("lt")
            return self.n < other.n

    def body():
        return [item.n for item in sorted(map(Item, [3, 1, 2]), key=lambda i: main.switch("key") or i)]

    g = greenlet(body)
    result = g.switch()
    while not g.dead:
        overwrite()
        result = g.switch()
    assert result == [1, 2, 3]


def test_in_finally_with_and_except(overwrite):
    main = getcurrent()
    events = []

    class Manager:
        def __enter__(self):
            main.switch("enter")

        def __exit__(self, *error):
            main.switch("exit")
            events.append(error[0])
            return True

    def body():
        try:
            with Manager():
                raise KeyError
            try:
                raise ValueError
            except ValueError:
                main.switch("except")
                events.append(sys.exc_info()[0])
        finally:
            main.switch("finally")
        assert sys.exc_info() == (None, None, None)
        return "end"

    g = greenlet(body)
    assert [(g.switch(), overwrite())[0] for _ in range(5)] == ["enter", "exit", "except", "finally", "end"]
    assert events == [KeyError, ValueError]


def test_exceptions_being_handled_are_each_greenlets_own():
    main = getcurrent()

    def body(kind):
        try:
            raise kind
        except kind:
            main.switch()
            return sys.exc_info()[0]

    a, b = greenlet(body), greenlet(body)
    try:
        raise TypeError
    except TypeError:
        a.switch(KeyError)
        b.switch(ValueError)
        assert sys.exc_info()[0] is TypeError
        assert a.switch() is KeyError
        assert b.switch() is ValueError
        assert sys.exc_info()[0] is TypeError
    assert sys.exc_info()[0] is None


def test_in_a_running_generator_and_a_coroutine(overwrite):
    main = getcurrent()

    def generate():
        for i in range(3):
            main.switch(i)
            yield i

    async def await_it():
        return sum(generate())

    def body():
        with pytest.raises(StopIteration) as stop:
            await_it().send(None)
        return stop.value.value

    g = greenlet(body)
    assert [(g.switch(), overwrite())[0] for _ in range(4)] == [0, 1, 2, 3]


def test_inside_an_event_loop():
    async def work():
        task = asyncio.current_task()
        child = greenlet(lambda: main.switch(asyncio.current_task()))
        main = getcurrent()
        assert child.switch() is task
        await asyncio.sleep(0)
        child.switch()
        return child.dead

    assert asyncio.run(work())


def test_deep_recursion_raises_and_the_greenlet_can_go_on():
    def dive():
        return dive()

    def body():
        try:
            dive()
        except RecursionError:
            return "caught"

    assert greenlet(body).switch() == "caught"
    limit = sys.getrecursionlimit()
    assert greenlet(body).switch() == "caught"
    assert sys.getrecursionlimit() == limit


def test_deep_c_recursion_is_suspended_and_continued(overwrite):
    main = getcurrent()

    def dive(n):
        return main.switch() if n == 0 else next(map(lambda _: dive(n - 1), [0])) + 1

    g = greenlet(dive)
    g.switch(60)
    overwrite(90)
    assert g.switch(7) == 67


def test_contexts_are_each_greenlets_own():
    var = contextvars.ContextVar("var", default=0)
    main = getcurrent()

    def body(n):
        var.set(n)
        main.switch()
        return var.get()

    greenlets = [greenlet(body) for _ in range(5)]
    for i, g in enumerate(greenlets):
        g.switch(i + 1)
    assert var.get() == 0
    assert [g.switch() for g in greenlets] == [1, 2, 3, 4, 5]


def test_arguments_and_results_of_every_shape():
    main = getcurrent()
    sent = []

    def body(*args, **kwargs):
        got = args, kwargs
        while True:
            got = main.switch(got)

    g = greenlet(body)
    assert g.switch(1, 2, a=3) == ((1, 2), {"a": 3})
    assert g.switch() == ()
    assert g.switch(None) is None
    assert g.switch((1,)) == (1,)
    assert g.switch(1, 2) == (1, 2)
    assert g.switch(a=1) == {"a": 1}
    assert g.switch(1, a=1) == ((1,), {"a": 1})
    assert g.switch(**{}) == ()
    assert sent == []


def test_misuse_raises():
    with pytest.raises(AttributeError):
        greenlet().switch()
    with pytest.raises(TypeError):
        greenlet(1, 2, 3)
    with pytest.raises(TypeError):
        greenlet(nonsense=1)
    with pytest.raises(TypeError):
        getcurrent().throw(1)
    with pytest.raises(TypeError):
        getcurrent().throw(KeyError, 1, 2, 3)
    with pytest.raises(TypeError):
        greenlet(lambda: None, 42)
    with pytest.raises(AttributeError):
        getcurrent().run
    with pytest.raises(TypeError):
        package.settrace()


def test_a_greenlet_of_another_thread_is_killed_in_that_thread():
    seen = []
    ready, go = threading.Event(), threading.Event()
    shared = []

    def work():
        main = getcurrent()

        def body():
            try:
                main.switch()
            except GreenletExit:
                seen.append(threading.get_ident())

        g = greenlet(body)
        g.switch()
        shared.append(g)
        del g
        ready.set()
        go.wait(10)
        getcurrent()
        seen.append("after")

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait(10)
    ident = thread.ident
    shared.clear()
    assert seen == []
    go.set()
    thread.join()
    assert seen == [ident, "after"]


def test_threads_that_end_with_greenlets_alive_are_cleaned_up_after():
    before = package._greenlet.get_total_main_greenlets()
    kept = []

    def work():
        g = greenlet(lambda: getcurrent().parent.switch())
        g.switch()
        kept.append(g)

    for _ in range(20):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert all(g.dead for g in kept)
    with pytest.raises(package.error):
        kept[0].switch()
    kept.clear()
    gc.collect()
    if sys.version_info >= (3, 11):  # 3.10's frames are kept, and main with them
        assert package._greenlet.get_total_main_greenlets() == before


def test_fork_with_suspended_greenlets():
    main = getcurrent()

    def body():
        main.switch("suspended")
        return "continued"

    g = greenlet(body)
    g.switch()
    child = os.fork()
    if child == 0:
        os._exit(0 if g.switch() == "continued" and g.dead else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert g.switch() == "continued"


def test_weak_references_and_subclasses_with_slots():
    class Sub(greenlet):
        __slots__ = ("x",)

    g = Sub(lambda: 5)
    g.x = 1
    ref = weakref.ref(g)
    assert g.switch() == 5 and ref() is g
    del g
    assert ref() is None


class Named(greenlet):
    """Its finalizer looks at its parent."""

    seen = []

    def __del__(self):
        Named.seen.append(self.parent)


@pytest.mark.parametrize("kind", [greenlet, type("Inherits", (greenlet,), {})])
def test_a_long_chain_of_parents_goes_without_recursion(kind):
    """Of a thread whose stack is small, nothing is left for a call each."""

    def work():
        oldest = g = kind(lambda: None)
        references.append(weakref.ref(oldest))
        del oldest
        for _ in range(4000):
            g = kind(None, g)
        references.append(weakref.ref(g))
        del g
        gone.append([reference() for reference in references])

    references, gone = [], []
    before = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=work)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert gone == [[None, None]]


def test_a_finalizer_in_a_chain_of_parents_finds_its_own():
    first, second = greenlet(), Named()
    second.parent = first
    third = greenlet(None, greenlet(None, second))
    del second, third
    assert Named.seen == [first]
    Named.seen.clear()


def test_a_million_switches_leave_no_reference():
    main = getcurrent()
    token = object()

    def body():
        while True:
            main.switch(token)

    g = greenlet(body)
    g.switch()
    before = sys.getrefcount(token), sys.getrefcount(main), sys.getrefcount(g), sys.getrefcount(())
    switch = g.switch
    for _ in range(1_000_000):
        switch()
    del switch
    assert (sys.getrefcount(token), sys.getrefcount(main), sys.getrefcount(g), sys.getrefcount(())) == before


def test_many_creations_and_throws_leave_no_reference():
    main = getcurrent()

    def body(*args):
        try:
            main.switch(*args)
        except KeyError:
            return args

    token = object()
    before = sys.getrefcount(token), sys.getrefcount(main), sys.getrefcount(body)
    for _ in range(100_000):
        g = greenlet(body)
        g.switch(token)
        g.throw(KeyError)
        g = greenlet(body)
        g.switch(token)
    del g
    assert (sys.getrefcount(token), sys.getrefcount(main), sys.getrefcount(body)) == before


def test_last_reference_goes_away_in_a_collection():
    main = getcurrent()
    seen = []

    class Cycle:
        def __del__(self):
            seen.append("del")

    def body(*garbage):
        try:
            main.switch()
        finally:
            seen.append("killed")

    for _ in range(50):
        first, last = Cycle(), Cycle()
        first.self, last.self = first, last
        first.g = greenlet(body)
        first.g.switch(last, Cycle())
        del first, last
    gc.collect()
    getcurrent()
    gc.collect()
    assert seen.count("killed") == 50
    assert seen.count("del") == 150


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="FE_UPWARD is another number elsewhere")
def test_each_has_its_own_rounding_mode_from_its_start_on():
    libm = ctypes.CDLL("libm.so.6")
    nearest, upward = 0, 0x800
    main = getcurrent()

    def run():
        libm.fesetround(upward)
        main.switch()
        seen.append(libm.fegetround())

    seen = []
    g = greenlet(run)
    try:
        g.switch()
        seen.append(libm.fegetround())
        g.switch()
        seen.append(libm.fegetround())
    finally:
        libm.fesetround(nearest)
    assert seen == [nearest, upward, nearest]
