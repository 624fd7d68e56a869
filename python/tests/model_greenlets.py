"""Programs of greenlets, and a model of them that knows nothing but the rules of the documentation.

All greenlets of a program share one list of steps: whoever runs takes the next one and does it, some calls deep. What arrives at
whom is noted, and who is killed when nobody holds it any more, and must be what the model says. `test_model.py` makes programs with
hypothesis, `fuzz/targets/python.rs` out of bytes. A step is `(kind, a, b, how)`: names of greenlets, and in what kind of calls it is done.

For the model to know who is alive no greenlet may be in a local variable while anybody switches: only names, parents, and the
call that waits for another one hold one.
"""

import contextvars
import gc
import sys
import threading
import weakref

import greenlet as package
from greenlet import GreenletExit, getcurrent, greenlet

NAMES = 6  # main is 0
HOWS = 24
# From 3.15 on the collector sees what suspended frames hold, and ends greenlets that hold each other in a circle, as far as
# nothing on the stack of C holds them too. That is not in the model: there its programs do not collect.
COLLECTS = sys.version_info < (3, 15)

KINDS = (
    ["switch"] * 8
    + ["throw"] * 2
    + ["exit", "return", "raise", "reparent", "reparent", "create", "create", "frames", "collect"]
    + ["drop", "drop", "garbage", "look", "context", "trace"]
    + ["foreign " + what for what in ("switch", "throw", "parent", "left", "drop")]
)
if not COLLECTS:
    KINDS = [kind for kind in KINDS if kind not in ("collect", "garbage")]

variable = contextvars.ContextVar("variable", default=None)


class Boom(Exception):
    pass


class Modelled:
    """A greenlet of the model."""

    def __init__(self, number, parent):
        self.number, self.parent = number, parent
        self.stage = "new"
        self.waits = None  # whom it has switched to
        self.value = None  # of the variable, in its context
        self.held = 0
        self.freed = False


class Model:
    """The rules: who runs after each step, what has arrived at whom, and who is gone."""

    def __init__(self):
        self.main = Modelled(0, None)
        self.main.stage = "active"
        self.main.held = 2
        self.names = {0: self.main}
        self.garbage = []
        self.current = self.main
        self.all = [self.main]
        self.log = []

    def note(self, *what):
        self.log.append((self.current.number, *what))

    def do(self, number, what, a, b):
        target, other = self.names.get(a), self.names.get(b)
        if what in ("return", "raise"):
            if self.current is not self.main:
                self.end("value" if what == "return" else "error", number)
        elif what == "create":
            if a != 0:
                made = Modelled(number + 1, other or self.current)
                made.parent.held += 1
                made.held += 1
                self.all.append(made)
                self.names[a] = made
                self.release(target)
        elif what == "collect":
            garbage, self.garbage = self.garbage, []
            for each in garbage:
                self.release(each)
        elif what == "look":
            self.note("look", self.look())
        elif what == "context":
            self.note("context", self.current.value)
            self.current.value = number
        elif target is None:
            return
        elif what in ("switch", "throw", "exit"):
            self.current.waits = target
            target.held += 1
            self.arrive(target, {"switch": "value", "throw": "error", "exit": "exit"}[what], number)
        elif what == "reparent":
            self.note("reparent", self.reparent(target, other))
        elif what in ("drop", "foreign drop"):
            if a != 0:
                del self.names[a]
                self.release(target)
        elif what == "garbage":
            if a != 0:
                self.garbage.append(self.names.pop(a))
        elif what in ("foreign switch", "foreign throw"):
            self.note(what, "error")
        elif what == "foreign parent":
            self.note(what, "ValueError")

    def look(self):
        state = {
            name: (g.number, g.stage == "active", g.stage == "dead", g.parent and g.parent.number)
            for name, g in self.names.items()
        }
        return state, [g.number for g in self.all if not g.freed]

    def release(self, whom):
        if whom is None:
            return
        whom.held -= 1
        if whom.held == 0:
            if whom.stage == "active":
                # What is raised in it ends the call that waits first.
                waits, whom.waits = whom.waits, None
                self.release(waits)
                whom.stage = "dead"
                self.log.append((whom.number, "dropped"))
            whom.freed = True
            self.release(whom.parent)

    def reparent(self, target, other):
        if target is self.main or other is None:
            return False
        at = other
        while at is not None:
            if at is target:
                return False
            at = at.parent
        before, target.parent = target.parent, other
        other.held += 1
        self.release(before)
        return True

    def end(self, kind, number):
        self.current.stage = "dead"
        self.arrive(self.current.parent, kind, number)

    def arrive(self, target, kind, number):
        """What is on its way to `target` from the current one, which has put down whom it waits for."""
        while target.stage == "dead":
            kind = "killed" if kind == "exit" else kind
            target = target.parent
        target.held += 1
        left, self.current = self.current, target
        self.release(left)
        if target.stage == "active":
            waits, target.waits = target.waits, None
            self.release(waits)
            if kind == "exit":
                if target is self.main:
                    self.note("exit", number)
                else:
                    self.end("killed", number)
            else:
                self.note(kind, number)
        elif kind in ("value", "killed"):
            target.stage = "active"
            self.note("begun by " + kind, number)
        else:
            self.end("killed" if kind == "exit" else kind, number)

    def finish(self):
        """Main goes on, and forgets all of them."""
        if self.current is not self.main:
            self.current.waits = self.main
            self.main.held += 1
            left, self.current = self.current, self.main
            self.main.held += 1
            self.release(left)
            waits, self.main.waits = self.main.waits, None
            self.release(waits)
        self.log.append(self.look())
        for name in sorted(self.names):
            if name != 0:
                self.release(self.names.pop(name))
        garbage, self.garbage = self.garbage, []
        for each in garbage:
            self.release(each)
        self.log.append([g.number for g in self.all if not g.freed])


class Attribute(greenlet):
    """One whose `run` is made when it is asked for. (A method would hold the greenlet: its `self` is a local variable.)"""

    def __init__(self, program, parent):
        super().__init__(parent=parent)
        self.program = program

    @property
    def run(self):
        return self.program.body


class Slots(greenlet):
    __slots__ = ("program",)


class Cycle:
    """What only the collector finds."""

    def __init__(self, g):
        self.me, self.g = self, g


class Program:
    """The same steps, done by greenlets."""

    def __init__(self, steps):
        self.steps = iter(enumerate(steps))
        self.main = getcurrent()
        self.weak = {0: weakref.ref(self.main)}
        self.by_id = {id(self.main): 0}  # an attribute may be gone when a greenlet is killed
        self.greenlets = {0: self.main}
        self.log = []
        self.over = False
        self.left = []
        self.at = None  # who runs, says the trace function
        variable.set(None)

    def number(self, g=None):
        if g is None:
            g = getcurrent()
        return self.by_id[id(g)]

    def body(self, value):
        self.note("begun by ", value)
        return self.go_on()

    def note(self, prefix, value):
        if isinstance(value, GreenletExit):
            self.log.append((self.number(), prefix + "killed", value.args and value.args[0]))
        else:
            self.log.append((self.number(), prefix + "value", value))

    def go_on(self):
        for number, step in self.steps:
            try:
                if step[0] in ("return", "raise") and getcurrent() is not self.main:
                    if step[0] == "raise":
                        raise Boom(number)
                    return number
                HOW[step[3] // 4](self, step[3] % 4, number, *step[:3])
            except Boom as error:
                if error.args[0] == number and step[0] == "raise":
                    raise
                self.log.append((self.number(), "error", error.args[0]))
            except GreenletExit as error:
                if getcurrent() is not self.main:
                    if not (error.args and isinstance(error.args[0], int)):
                        self.log.append((self.number(), "dropped"))
                    raise
                self.log.append((0, "exit", error.args[0]))
            if self.over:
                return None
        self.over = True
        if getcurrent() is not self.main:
            try:
                self.main.switch("over")
            except GreenletExit:
                self.log.append((self.number(), "dropped"))
                raise
        return None

    # The ways to do a step.

    def through_c(self, depth, *step):
        here = [depth, *step]
        if depth:
            max([0], key=lambda _: self.through_c(depth - 1, *step) or 0)
        else:
            self.do(*step)
        assert here == [depth, *step]

    def recursively(self, depth, *step):
        a, b, c = depth, (depth, depth), [depth] * 50
        if depth:
            self.recursively(depth - 1, *step)
        else:
            self.do(*step)
        assert (a, b, c) == (depth, (depth, depth), [depth] * 50)

    def in_generators(self, depth, *step):
        def generate(depth):
            if depth:
                yield from generate(depth - 1)
            else:
                yield self.do(*step)

        list(generate(depth))

    def in_coroutines(self, depth, *step):
        async def wait(depth):
            if depth:
                await wait(depth - 1)
            else:
                self.do(*step)

        try:
            wait(depth).send(None)
        except StopIteration:
            pass

    def handling(self, depth, *step):
        own = KeyError(depth)
        try:
            raise own
        except KeyError:
            if depth:
                self.handling(depth - 1, *step)
            else:
                self.do(*step)
            assert sys.exc_info()[1] is own
        finally:
            own = None

    def in_sorts(self, depth, *step):
        """Between two calls of C that have frames of other sizes; and a `finally` that is passed by every end."""
        passed = []
        try:
            if depth:
                sorted([1], key=lambda _: self.in_sorts(depth - 1, *step))
            else:
                next(iter(lambda: self.do(*step), None), None)
        finally:
            passed.append(depth)
        assert passed == [depth]

    # The steps.

    def do(self, number, what, a, b):
        if what == "create":
            if a != 0:
                self.create(number, a, b)
        elif what == "collect":
            gc.collect()
            self.left.clear()
            self.soon()
        elif what == "look":
            self.log.append((self.number(), "look", self.look()))
        elif what == "context":
            self.log.append((self.number(), "context", variable.get()))
            variable.set(number)
        elif what == "frames":
            self.frames()
        elif what == "trace":
            self.at = self.number()
            package.settrace(None if package.gettrace() else self.trace)
        elif a not in self.greenlets:
            return
        elif what == "switch":
            self.arrived(self.greenlets[a].switch(number))
        elif what == "throw":
            self.arrived(self.greenlets[a].throw(Boom, number))
        elif what == "exit":
            self.arrived(self.greenlets[a].throw(GreenletExit(number)))
        elif what == "reparent":
            try:
                self.greenlets[a].parent = self.greenlets.get(b)
                done = True
            except (ValueError, TypeError, AttributeError):
                done = False
            self.log.append((self.number(), "reparent", done))
        elif what == "drop":
            if a != 0:
                del self.greenlets[a]
        elif what == "garbage":
            if a != 0:
                Cycle(self.greenlets.pop(a))
        elif what.startswith("foreign"):
            self.foreign(what, a)

    def create(self, number, a, b):
        parent = self.greenlets.get(b)
        kind = (Attribute, Slots, greenlet)[number % 3]
        made = kind(self, parent) if kind is Attribute else kind(self.body, parent)
        del parent
        made.program = self
        self.by_id[id(made)] = number + 1
        self.weak[number + 1] = weakref.ref(made)
        before, self.greenlets[a] = self.greenlets.get(a), made
        del made
        del before

    def soon(self):
        """A kill that a collection asked for, or another thread, has been carried out after this."""
        for _ in range(3):
            getcurrent()

    def look(self):
        state = {
            name: (self.number(g), bool(g), g.dead, None if g.parent is None else self.number(g.parent)) for name, g in self.greenlets.items()
        }
        return state, [number for number, weak in self.weak.items() if weak() is not None]

    def frames(self):
        for g in self.greenlets.values():
            frame = g.gr_frame
            while frame is not None:
                frame.f_locals
                frame = frame.f_back
            repr(g), g.gr_context if g is not getcurrent() else None

    def trace(self, event, both):
        """Where the last event went this one comes from."""
        assert event in ("switch", "throw"), event
        assert self.at == self.number(both[0]), (self.at, event, both)
        self.at = self.number(both[1])
        assert both[1] is getcurrent()  # which may have killed somebody first, and come back

    def foreign(self, what, a):
        """By another thread, which ends before anybody goes on."""
        outcome = []
        done = threading.Lock()
        done.acquire()

        def work():
            try:
                if what == "foreign switch":
                    self.greenlets[a].switch(1)
                elif what == "foreign throw":
                    self.greenlets[a].throw(Boom)
                elif what == "foreign parent":
                    g = greenlet(getcurrent().switch)
                    g.switch()
                    g.parent = self.greenlets[a]
                elif what == "foreign left":
                    g = greenlet(lambda: max([1], key=lambda _: getcurrent().parent.switch()))
                    g.switch()
                    self.left.append(g)
                elif a != 0:
                    del self.greenlets[a]
            except (package.error, ValueError) as error:
                outcome.append(type(error).__name__)
            finally:
                done.release()

        tracing = package.gettrace()
        thread = threading.Thread(target=work)
        thread.start()
        done.acquire()
        thread.join()
        self.soon()
        if what in ("foreign switch", "foreign throw", "foreign parent"):
            self.log.append((self.number(), what, *outcome))
        assert package.gettrace() == tracing

    def arrived(self, value):
        if not self.over:
            self.note("", value)

    def finish(self):
        self.log.append(self.look())
        for name in sorted(self.greenlets):
            if name != 0:
                del self.greenlets[name]
        if COLLECTS:
            gc.collect()
        self.soon()
        self.log.append([number for number, weak in self.weak.items() if weak() is not None])
        package.settrace(None)
        self.left.clear()

    def end(self):
        """Those that hold each other in a circle."""
        for number, weak in self.weak.items():
            g = weak()
            if number and g is not None and not g.dead:
                g.throw()


HOW = (
    Program.through_c,
    Program.recursively,
    Program.in_generators,
    Program.in_coroutines,
    Program.handling,
    Program.in_sorts,
)
assert HOWS == 4 * len(HOW)


def in_any_order(log):
    """Who is killed because of the same kill is so in an order that nobody is promised."""
    found = []
    for entry in log:
        if entry[1:] == ("dropped",):
            if not (found and isinstance(found[-1], set)):
                found.append(set())
            found[-1].add(entry[0])
        else:
            found.append(entry)
    return found


def compare(steps):
    """Does them, with the collector off but for their own collections, and raises where the model differs."""
    model = Model()
    for number, (what, a, b, _) in enumerate(steps):
        model.do(number, what, a, b)
    model.finish()
    # What was there before need not be looked at by each collection.
    collecting, freezing = gc.isenabled(), not gc.get_freeze_count()
    gc.disable()
    if freezing:
        gc.freeze()
    real = Program(steps)
    try:
        real.go_on()
        real.finish()
        found = in_any_order(real.log)
    finally:
        package.settrace(None)
        real.over = True
        real.greenlets.clear()
        real.end()
        if freezing:
            gc.unfreeze()
        if collecting:
            gc.enable()
    expected = in_any_order(model.log)
    if found != expected:
        same = 0
        while found[same : same + 1] == expected[same : same + 1]:
            same += 1
        raise AssertionError(f"{expected[same:]} expected\n{found[same:]} found\n after {found[:same]}\n of {steps}")
