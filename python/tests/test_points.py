"""A switch at every point where the interpreter calls back: whatever was under way goes on as if nothing had been.

Each case is a function that is given `pause`, which it calls from inside something, and answers a value. It is run with a
`pause` that does nothing, which gives what is expected, and in a greenlet with one that switches to main. Main overwrites the stack each
time before it continues the greenlet.
"""

import asyncio
import contextlib
import copy
import ctypes
import functools
import gc
import importlib.abc
import importlib.util
import io
import itertools
import json
import operator
import pickle
import re
import signal
import sys
import threading
import types
import weakref

import pytest
from conftest import keeps_tracing

from greenlet import getcurrent, greenlet

CASES = []


def case(function):
    CASES.append(function)
    return function


def ways():
    """Every case, plainly and while tracing and profiling, unless it sets a trace function itself."""
    for function in CASES:
        traces = function.__name__.endswith("_of_the_interpreter")
        yield pytest.param(function, "plainly", marks=keeps_tracing if traces else ())
        if not traces:
            yield pytest.param(function, "while tracing", marks=keeps_tracing)
            yield pytest.param(function, "while profiling", marks=keeps_tracing)


def pytest_generate_tests(metafunc):
    if metafunc.function is test_switch_at:
        metafunc.parametrize(("function", "how"), list(ways()), ids=str_of)


def str_of(value):
    return getattr(value, "__name__", value)


def test_switch_at(function, how, overwrite):
    expected = function(lambda value=None: value)
    main = getcurrent()
    pauses = []

    def pause(value=None):
        pauses.append(value)
        assert main.switch("paused") == len(pauses)
        return value

    def observe(frame, event, arg):
        return observe

    def body():
        if how == "while tracing":
            sys.settrace(observe)
        elif how == "while profiling":
            sys.setprofile(observe)
        try:
            return function(pause)
        finally:
            sys.settrace(None)
            sys.setprofile(None)

    before = sys.gettrace(), sys.getprofile()
    g = greenlet(body)
    answer = g.switch()
    while not g.dead:
        assert answer == "paused"
        if how != "plainly":
            sys.settrace(before[0])
            sys.setprofile(before[1])
        overwrite(20)
        answer = g.switch(len(pauses))
    assert pauses, "it never paused"
    assert answer == expected


@case
def finalizer(pause):
    class Bomb:
        def __del__(self):
            pause()

    def make():
        Bomb()
        return [Bomb() and i for i in range(3)]

    return make()


@case
def finalizer_of_an_object_in_a_collection_of_objects(pause):
    seen = []

    class Item:
        def __init__(self, n):
            self.n = n

        def __del__(self):
            seen.append(pause(self.n))

    items = [Item(n) for n in range(5)]
    del items
    return seen


@case
def weak_reference_callback(pause):
    class Thing:
        pass

    seen = []
    thing = Thing()
    reference = weakref.ref(thing, lambda _: seen.append(pause("gone")))
    del thing
    return seen, reference()


@case
def comparisons(pause):
    @functools.total_ordering
    class Number:
        def __init__(self, n):
            self.n = n

        def __eq__(self, other):
            pause()
            return self.n == other.n

        def __lt__(self, other):
            pause()
            return self.n < other.n

    numbers = [Number(n) for n in (3, 1, 2, 5, 4)]
    return [n.n for n in sorted(numbers)], max(numbers).n, numbers.index(Number(2)), Number(1) in numbers


@case
def hash_and_equality_in_dictionaries(pause):
    class Key:
        def __init__(self, n):
            self.n = n

        def __hash__(self):
            pause()
            return self.n % 2

        def __eq__(self, other):
            pause()
            return self.n == other.n

    table = {Key(n): n for n in range(6)}
    table[Key(3)] = "three"
    del table[Key(4)]
    return [(key.n, value) for key, value in table.items()], len({Key(1), Key(1), Key(2)}), table[Key(5)]


@case
def sort_keys_and_reductions(pause):
    data = list(range(10))
    return (
        sorted(data, key=lambda n: pause(-n)),
        functools.reduce(lambda a, b: pause(a * 2 + b), data),
        list(map(pause, data)),
        list(filter(lambda n: pause(n % 2), data)),
        [list(group) for _, group in itertools.groupby(data, lambda n: pause(n // 3))],
        list(itertools.accumulate(data, lambda a, b: pause(a + b))),
        min(data, key=lambda n: pause(abs(n - 4))),
    )


@case
def list_that_is_being_sorted(pause):
    data = [3, 1, 2]
    try:
        data.sort(key=lambda n: pause(data.append(9)) or n)
    except ValueError as error:
        return str(error), len(data)


@case
def operators_and_conversions(pause):
    class Odd:
        def __index__(self):
            return pause(3)

        def __add__(self, other):
            return pause("sum")

        def __bool__(self):
            return pause(True)

        def __len__(self):
            return pause(2)

        def __iter__(self):
            return iter(pause([1, 2]))

        def __format__(self, spec):
            return pause("formatted " + spec)

        def __repr__(self):
            return pause("<odd>")

        def __getitem__(self, key):
            return pause(key)

        def __call__(self, *args, **kwargs):
            return pause((args, kwargs))

        def __contains__(self, item):
            return pause(False)

    odd = Odd()
    a, b = odd
    return (
        [10, 11, 12, 13][odd],
        odd + 1,
        bool(odd),
        len(odd),
        list(odd),
        (a, b),
        f"{odd:x} {odd!r} {[odd]}",
        odd[1:2],
        odd(1, *odd, key=2),
        3 in odd,
        hex(odd),
        operator.length_hint(odd),
    )


@case
def attributes_and_descriptors(pause):
    class Descriptor:
        def __get__(self, instance, owner):
            return pause("got")

        def __set__(self, instance, value):
            pause(value)
            instance.__dict__["value"] = value

        def __delete__(self, instance):
            pause("deleted")

        def __set_name__(self, owner, name):
            owner.named = pause(name)

    class Thing:
        descriptor = Descriptor()

        def __getattr__(self, name):
            if name.startswith("_"):
                raise AttributeError(name)
            return pause(name.upper())

        @property
        def prop(self):
            return pause("property")

        @functools.cached_property
        def cached(self):
            return pause("cached")

    thing = Thing()
    thing.descriptor = 5
    del thing.descriptor
    found = thing.descriptor, thing.other, thing.prop, thing.cached, thing.cached, thing.named
    return found, getattr(thing, "_none", "default"), thing.__dict__["value"]


@case
def classes_that_are_being_made(pause):
    class Meta(type):
        @classmethod
        def __prepare__(cls, name, bases):
            return pause({"prepared": 1})

        def __new__(cls, name, bases, namespace):
            return super().__new__(cls, pause(name), bases, namespace)

        def __instancecheck__(cls, instance):
            return pause(True)

    class Base:
        def __init_subclass__(cls, **kwargs):
            cls.kwargs = pause(kwargs)

        def __class_getitem__(cls, item):
            return pause(item)

    class Made(metaclass=Meta):
        attribute = pause("in the body")

    class Derived(Base, key=pause("value")):
        pass

    return Made.__name__, Made.prepared, Made.attribute, isinstance(3, Made), Derived.kwargs, Base[5]


@case
def decorators_defaults_and_comprehensions(pause):
    @pause
    def function(a, b=pause(2), *, c=pause(3)):
        return a, b, c

    nested = [[pause(i * j) for j in range(3) if pause(True)] for i in range(3)]
    mapping = {pause(k): pause(v) for k, v in zip("ab", "cd")}
    return function(1), nested, mapping, sum(pause(i) for i in range(4)), (lambda x=pause(1): pause(x))()


@case
def finally_and_context_managers(pause):
    events = []

    @contextlib.contextmanager
    def manager(name):
        events.append(("enter", pause(name)))
        try:
            yield pause(name)
        except KeyError as error:
            events.append(("caught", pause(error.args)))
        finally:
            events.append(("exit", pause(name)))

    def function():
        with manager("a") as a, manager("b"):
            try:
                raise KeyError(a)
            finally:
                events.append(pause("finally"))
        for i in range(3):
            try:
                continue
            finally:
                events.append(pause(i))
        try:
            return pause("returned")
        finally:
            events.append(pause("after the return"))

    return function(), events


@case
def exceptions_being_handled(pause):
    def function():
        try:
            try:
                raise ValueError(1)
            except ValueError:
                pause()
                try:
                    raise KeyError(2)
                finally:
                    pause()
                    assert sys.exc_info()[0] is KeyError
        except KeyError as error:
            pause()
            context = error.__context__
            return error.args, context.args, sys.exc_info()[0], pause(error.__traceback__.tb_lineno > 0)

    return function(), sys.exc_info()


@case
def exception_that_is_being_made(pause):
    class Odd(Exception):
        def __init__(self, *args):
            pause()
            super().__init__(*args)

        def __str__(self):
            return pause("odd")

    try:
        raise Odd from pause(KeyError(1))
    except Odd as error:
        return str(error), repr(error.__cause__)


@case
def exception_groups_and_match(pause):
    class Point:
        __match_args__ = ("x", "y")

        def __init__(self, x, y):
            self.x, self.y = x, y

        def __getattr__(self, name):
            raise AttributeError(name)

    class Shy(Point):
        @property
        def z(self):
            return pause(7)

    match Shy(1, 2):
        case Shy(x=0):
            return None
        case Shy(1, 2, z=z) if pause(True):
            return z


@case
def generators(pause):
    def inner():
        try:
            got = yield pause("first")
            while got is not None:
                got = yield pause(got)
        except KeyError as error:
            yield pause(error.args[0])
        finally:
            pause()
        return pause("result")

    def outer():
        return pause((yield from inner()))

    g = outer()
    values = [next(g), g.send(1), g.send(2), g.throw(KeyError("thrown"))]
    try:
        next(g)
    except StopIteration as stop:
        values.append(stop.value)
    closed = outer()
    next(closed)
    closed.close()
    dropped = outer()
    next(dropped)
    del dropped
    return values


@case
def coroutines_and_asynchronous_generators(pause):
    class Manager:
        async def __aenter__(self):
            return pause("enter")

        async def __aexit__(self, *error):
            return pause(True)

    async def generate():
        try:
            for i in range(3):
                yield pause(i)
                await asyncio.sleep(0)
        finally:
            pause()

    async def work():
        found = [i async for i in generate()]
        async with Manager() as entered:
            raise KeyError
        tasks = [asyncio.ensure_future(asyncio.sleep(0, pause(i))) for i in range(3)]
        found += await asyncio.gather(*tasks)
        asyncio.get_running_loop().call_soon(pause)
        await asyncio.sleep(0)
        return found, entered

    return asyncio.run(work())


@case
def import_of_a_module(pause):
    class Loader(importlib.abc.Loader):
        def create_module(self, spec):
            return pause(None)

        def exec_module(self, module):
            module.pause = pause
            exec("value = pause(5)\ndef function(): return pause(value)", module.__dict__)

    class Finder(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name == "greenlet_test_module":
                return pause(importlib.util.spec_from_loader(name, Loader()))

    finder = Finder()
    sys.meta_path.insert(0, finder)
    try:
        import greenlet_test_module

        return greenlet_test_module.value, greenlet_test_module.function()
    finally:
        sys.meta_path.remove(finder)
        sys.modules.pop("greenlet_test_module", None)


@case
def exec_and_eval(pause):
    names = {"pause": pause}
    exec("x = pause(1)\nclass C:\n  y = pause(2)\n", names)
    return names["x"], names["C"].y, eval("pause(3) + eval('pause(4)')", names)


@case
def callbacks_from_c(pause):
    class Writer(io.RawIOBase):
        def writable(self):
            return True

        def write(self, data):
            return pause(len(data))

    buffered = io.BufferedWriter(Writer(), 4)
    buffered.write(b"more than four")
    buffered.flush()
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
    array = (ctypes.c_int * 6)(5, 3, 6, 1, 4, 2)
    libc = ctypes.CDLL(None)
    libc.qsort(array, 6, ctypes.sizeof(ctypes.c_int), compare(lambda a, b: pause(a[0] - b[0])))
    return (
        list(array),
        re.sub(r"\d", lambda match: pause(match.group() * 2), "a1b2c3"),
        json.loads('{"a": [1, {"b": 2.5}]}', object_pairs_hook=lambda pairs: pause(dict(pairs))),
        json.dumps({"a": object()}, default=lambda _: pause("object")),
        list(iter(functools.partial(pause, None), None)),
        str.join("-", map(pause, "abc")),
    )


@case
def pickling_and_copying(pause):
    return pickle.loads(pickle.dumps(Pickled(pause, 3))), copy.deepcopy(Copied(pause, [1, 2])).value


class Pickled:
    pauses = []

    def __init__(self, pause, value):
        Pickled.pauses.append(pause)
        self.value = value

    def __reduce__(self):
        return operator.add, (self.pauses[-1](self.value), 1)


class Copied:
    def __init__(self, pause, value):
        self.pause, self.value = pause, value

    def __deepcopy__(self, memo):
        return Copied(self.pause, self.pause(copy.deepcopy(self.value, memo)))


@case
def recursion_through_c(pause):
    def down(n):
        return pause(0) if n == 0 else max([n], key=lambda k: down(k - 1)) + 0

    def sums(n):
        return pause(1) if n == 0 else sum(map(sums, [n - 1])) + 1

    return down(25), sums(25)


@case
def many_locals_and_a_deep_stack(pause):
    names = [f"v{i}" for i in range(300)]
    source = "def wide(pause, n):\n" + "".join(f"    {name} = {i} + n\n" for i, name in enumerate(names))
    source += "    below = wide(pause, n - 1) if n else pause(0)\n    pause()\n"
    source += f"    return below + {' + '.join(names)}\n"
    namespace = {}
    exec(source, namespace)
    return namespace["wide"](pause, 12)


@case
def signal_handler(pause):
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals are handled in the main thread")
    seen = []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append(pause("signal")))
    try:
        signal.raise_signal(signal.SIGUSR1)
        return seen
    finally:
        signal.signal(signal.SIGUSR1, before)


@case
def lock_and_thread_local(pause):
    lock = threading.RLock()
    here = threading.local()
    with lock:
        here.value = pause(1)
        with lock:
            return pause(here.value)


@case
def trace_function_of_the_interpreter(pause):
    seen = []
    before = sys.gettrace()

    def trace(frame, event, arg):
        if frame.f_code is function.__code__:
            seen.append((event, frame.f_lineno - function.__code__.co_firstlineno))
            pause()
            return trace

    def function():
        x = 1
        return x + 1

    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return seen


@case
def profile_function_of_the_interpreter(pause):
    seen = []
    before = sys.getprofile()

    def profile(frame, event, arg):
        if frame.f_code is function.__code__:
            seen.append(event)
            pause()

    def function():
        return len([1, 2])

    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(before)
    return seen


@case
def frames_and_locals(pause):
    def function(a):
        b = a + 1
        frame = sys._getframe()
        names = pause(sorted(frame.f_locals))
        return names, frame.f_back.f_code.co_name, pause(frame.f_locals["b"]), b

    return function(1)


@case
def class_with_slots_and_super(pause):
    class Base:
        __slots__ = ("x",)

        def __init__(self, x):
            self.x = pause(x)

        def get(self):
            return pause(self.x)

    class Derived(Base):
        __slots__ = ()

        def __init__(self, x):
            super().__init__(pause(x))

        def get(self):
            return pause(super().get() + 1)

    return Derived(4).get()


@case
def simple_namespace_repr_that_contains_itself(pause):
    class Loud:
        def __repr__(self):
            return pause("loud")

    namespace = types.SimpleNamespace(loud=Loud())
    namespace.itself = namespace
    items = [Loud()]
    items.append(items)
    return repr(namespace), repr(items)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups are new in 3.11")
def test_switch_inside_except_star(overwrite):
    main = getcurrent()
    namespace = {"main": main}
    exec(
        "def body():\n"
        "    seen = []\n"
        "    try:\n"
        "        raise ExceptionGroup('g', [KeyError(1), ValueError(2), TypeError(3)])\n"
        "    except* KeyError as group:\n"
        "        main.switch()\n"
        "        seen.append(group.exceptions[0].args)\n"
        "    except* (ValueError, TypeError) as group:\n"
        "        main.switch()\n"
        "        seen.append(len(group.exceptions))\n"
        "    return seen\n",
        namespace,
    )
    g = greenlet(namespace["body"])
    g.switch()
    overwrite()
    g.switch()
    overwrite()
    assert g.switch() == [(1,), 2]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_collection_while_others_are_suspended_at_every_point(overwrite):
    """The collector walks what suspended greenlets hold, and takes nothing that is alive."""
    main = getcurrent()
    suspended = []
    for function in CASES:
        if function is signal_handler or function.__name__.endswith("_of_the_interpreter"):
            continue
        g = greenlet(lambda function=function: function(lambda value=None: main.switch("paused") or value))
        if g.switch() == "paused":
            suspended.append(g)
    assert len(suspended) > 20
    overwrite()
    for _ in range(3):
        gc.collect()
    for g in suspended:
        count = 0
        frame = g.gr_frame
        while frame is not None:
            frame, count = frame.f_back, count + 1
        assert count >= 2
    sys.setprofile(None)
    sys.settrace(None)
    while suspended:
        g = suspended.pop()
        with contextlib.suppress(BaseException):
            g.throw()
        if not g.dead:
            suspended.append(g)
