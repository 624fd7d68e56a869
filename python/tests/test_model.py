"""Random programs of greenlets against a model: values, exceptions, parents, who runs, who is dead.

All greenlets of a program share one list of steps: whoever runs takes the next one and does it, some C calls deep. What arrives at
whom is noted, and must be what the model says, which knows nothing but the rules of the documentation.
"""

import gc

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greenlet import GreenletExit, getcurrent, greenlet

NAMES = 6  # main is 0

number = st.integers(0, NAMES - 1)
kinds = ["switch"] * 8 + ["throw"] * 2 + ["exit", "return", "raise", "reparent", "reparent", "create", "create", "frames", "collect"]
step = st.tuples(st.sampled_from(kinds), number, number, st.integers(0, 3))
first = [st.tuples(st.just("create"), st.just(name), number, st.just(0)) for name in range(1, NAMES)]
steps = st.tuples(st.tuples(*first), st.lists(step, min_size=40, max_size=120)).map(lambda both: [*both[0], *both[1]])


class Boom(Exception):
    pass


class Model:
    """The rules: who runs after each step, and what has arrived at whom."""

    def __init__(self):
        self.stage = {0: "active"}
        self.parent = {0: None}
        self.current = 0
        self.log = []

    def do(self, number, what, a, b):
        if what == "create":
            if self.stage.get(a, "dead") == "dead" and a not in self.parent.values() and a != self.current:
                self.parent[a] = b if b in self.stage and a != b else self.current
                self.stage[a] = "new"
        elif what in ("return", "raise"):
            if self.current != 0:
                self.end("value" if what == "return" else "error", number)
        elif a not in self.stage:
            return
        elif what == "switch":
            self.arrive(a, "value", number)
        elif what == "throw":
            self.arrive(a, "error", number)
        elif what == "exit":
            self.arrive(a, "exit", number)
        elif what == "reparent":
            self.log.append((self.current, "reparent", self.reparent(a, b)))

    def reparent(self, a, b):
        if a == 0 or b not in self.stage:
            return False
        at = b
        while at is not None:
            if at == a:
                return False
            at = self.parent[at]
        self.parent[a] = b
        return True

    def end(self, kind, number):
        self.stage[self.current] = "dead"
        self.arrive(self.parent[self.current], kind, number)

    def arrive(self, target, kind, number):
        while self.stage[target] == "dead":
            kind = "killed" if kind == "exit" else kind
            target = self.parent[target]
        self.current = target
        if self.stage[target] == "active":
            if kind == "exit":
                if target == 0:
                    self.log.append((0, "exit", number))
                else:
                    self.end("killed", number)
            else:
                self.log.append((target, kind, number))
        elif kind in ("value", "killed"):
            self.stage[target] = "active"
            self.log.append((target, "begun by " + kind, number))
        else:
            self.end("killed" if kind == "exit" else kind, number)


class Program:
    """The same steps, done by greenlets."""

    def __init__(self, steps):
        self.steps = iter(enumerate(steps))
        self.main = getcurrent()
        self.greenlets = {0: self.main}
        self.log = []
        self.over = False

    def name(self):
        here = getcurrent()
        return next(name for name, g in self.greenlets.items() if g is here)

    def body(self, value):
        self.note("begun by ", value)
        return self.go_on()

    def note(self, prefix, value):
        if isinstance(value, GreenletExit):
            self.log.append((self.name(), prefix + "killed", value.args[0]))
        else:
            self.log.append((self.name(), prefix + "value", value))

    def go_on(self):
        for number, step in self.steps:
            try:
                if step[0] in ("return", "raise") and getcurrent() is not self.main:
                    if step[0] == "raise":
                        raise Boom(number)
                    return number
                self.deep(step[3], number, *step[:3])
            except Boom as error:
                if error.args[0] == number and step[0] == "raise":
                    raise
                self.log.append((self.name(), "error", error.args[0]))
            except GreenletExit as error:
                if getcurrent() is not self.main:
                    raise
                self.log.append((0, "exit", error.args[0]))
            if self.over:
                return None
        self.over = True
        if getcurrent() is not self.main:
            self.main.switch("over")
        return None

    def deep(self, depth, *step):
        if depth:
            max([0], key=lambda _: self.deep(depth - 1, *step) or 0)
        else:
            self.do(*step)

    def do(self, number, what, a, b):
        target, other = self.greenlets.get(a), self.greenlets.get(b)
        if what == "create":
            if target is None or target.dead and all(g.parent is not target for g in self.greenlets.values()):
                self.greenlets[a] = greenlet(self.body, other if a != b else None)
        elif what == "frames":
            for g in self.greenlets.values():
                frame = g.gr_frame
                while frame is not None:
                    frame.f_locals
                    frame = frame.f_back
        elif what == "collect":
            gc.collect(0)
        elif target is None:
            return
        elif what == "switch":
            self.arrived(target.switch(number))
        elif what == "throw":
            self.arrived(target.throw(Boom, number))
        elif what == "exit":
            self.arrived(target.throw(GreenletExit(number)))
        elif what == "reparent":
            try:
                target.parent = other
                done = True
            except (ValueError, TypeError, AttributeError):
                done = False
            self.log.append((self.name(), "reparent", done))

    def arrived(self, value):
        if not self.over:
            self.note("", value)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps)
def test_random_programs(program):
    model = Model()
    for number, (what, a, b, _) in enumerate(program):
        model.do(number, what, a, b)
    real = Program(program)
    real.go_on()
    assert real.log == model.log
    for name, g in real.greenlets.items():
        assert g.dead == (model.stage[name] == "dead")
        assert bool(g) == (model.stage[name] == "active")
        parent = model.parent[name]
        assert g.parent is (None if parent is None else real.greenlets[parent])
    real.greenlets.clear()
