"""What a greenlet object is: its attributes, its class, its stages, and what every misuse says."""

import abc
import contextvars
import copy
import gc
import pickle
import re
import sys
import weakref

import pytest

import greenlet as package
from greenlet import GreenletExit, error, getcurrent, greenlet, settrace
from greenlet._greenlet import UnswitchableGreenlet


def test_names_of_the_package():
    assert set(package.__all__) <= set(dir(package))
    assert re.fullmatch(r"3\.5\.6\+rs\.\d+", package.__version__)
    assert package.GREENLET_USE_GC == package.GREENLET_USE_TRACING == package.GREENLET_USE_CONTEXT_VARS == 1
    for name in ("getcurrent", "error", "GreenletExit", "settrace", "gettrace"):
        assert getattr(greenlet, name) is getattr(package, name)
    assert issubclass(GreenletExit, BaseException) and not issubclass(GreenletExit, Exception)
    assert issubclass(error, Exception)
    assert greenlet.__module__ == "greenlet" and greenlet.__name__ == "greenlet"
    for documented in (package, greenlet, greenlet.switch, greenlet.throw, getcurrent, package.settrace):
        assert documented.__doc__


def test_stages():
    main = getcurrent()
    g = greenlet(main.switch)
    assert not g and not g.dead
    g.switch()
    assert g and not g.dead
    g.switch()
    assert not g and g.dead
    assert main and not main.dead and main.parent is None


def test_repr_says_the_stage():
    main = getcurrent()
    g = greenlet(lambda: main.switch(repr(g), repr(main)))
    assert re.fullmatch(r"<greenlet\.greenlet object at 0x[0-9a-f]+ \(otid=0x[0-9a-f]+\) current active started main>", repr(main))
    assert repr(g).endswith(" pending>")
    inside, mains = g.switch()
    assert inside.endswith(" current active started>") and mains.endswith(" suspended active started main>")
    assert repr(g).endswith(" suspended active started>")
    g.switch()
    assert repr(g).endswith(" dead>")

    class Sub(greenlet):
        pass

    assert "Sub object at" in repr(Sub())


def test_run_as_attribute():
    g = greenlet()
    with pytest.raises(AttributeError, match="run"):
        g.run
    g.run = lambda x: x + 1
    assert g.run(1) == 2
    del g.run
    with pytest.raises(AttributeError):
        g.run
    g.run = lambda x: getcurrent().parent.switch(x) * 2
    assert g.switch(5) == 5
    with pytest.raises(AttributeError):
        g.run
    with pytest.raises(AttributeError, match="run cannot be set after the start of the greenlet"):
        g.run = print
    with pytest.raises(AttributeError):
        del g.run
    assert g.switch(4) == 8


def test_run_as_method_and_as_anything_callable():
    class Sub(greenlet):
        def run(self, x):
            assert self is getcurrent()
            return self.parent.switch(x) + 1

    g = Sub()
    assert (g.switch(1), g.switch(5)) == (1, 6)

    class Callable:
        def __call__(self, *args):
            return args

    class WithMethod:
        def method(self, x):
            return self, x

    assert greenlet(Callable()).switch(1, 2) == (1, 2)
    instance = WithMethod()
    assert greenlet(instance.method).switch(3) == (instance, 3)
    assert greenlet(int).switch("7") == 7
    assert greenlet(len).switch([1]) == 1
    with pytest.raises(TypeError):
        greenlet(5).switch()


def test_run_that_is_looked_up_may_do_anything():
    main = getcurrent()

    class Sub(greenlet):
        @property
        def run(self):
            main.switch("while it is looked up") if getcurrent() is not main else None
            return lambda: 5

    # The one that looks it up is the one that switches to it.
    assert Sub().switch() == 5
    starter = greenlet(lambda: Sub(parent=main).switch())
    assert starter.switch() == "while it is looked up"

    class Starts(greenlet):
        def __getattribute__(self, name):
            if name == "run":
                if not started:
                    started.append(True)
                    assert self.switch() == "begun by the look-up"
                    return lambda: "too late"
                return lambda: "begun by the look-up"
            return super().__getattribute__(name)

    started = []
    g = Starts()
    assert g.switch() == ()
    assert g.dead


def test_parent():
    main = getcurrent()
    a, b = greenlet(lambda: 1), greenlet(lambda: 2)
    a.parent = b
    with pytest.raises(ValueError, match="cyclic parent chain"):
        b.parent = a
    with pytest.raises(ValueError, match="cyclic parent chain"):
        a.parent = a
    for wrong in (None, 5, greenlet):
        with pytest.raises(TypeError):
            a.parent = wrong
    with pytest.raises(AttributeError):
        del a.parent
    with pytest.raises(AttributeError, match="cannot set the parent of a main greenlet"):
        main.parent = a
    assert a.parent is b and b.parent is main
    assert greenlet(lambda: 5, a).parent is a
    b.run = lambda x: x + 2
    assert a.switch() == 3 and b.dead and a.dead


def test_result_goes_to_the_nearest_living_ancestor():
    main = getcurrent()
    order = []

    def body(name, value=None):
        order.append(name)
        return value

    oldest = greenlet(lambda: body("oldest", main.switch("oldest waits")))
    assert oldest.switch() == "oldest waits"
    middle = greenlet(lambda x: body("middle", x), oldest)
    youngest = greenlet(lambda: body("youngest", "result"), middle)
    assert youngest.switch() == "result"
    assert order == ["youngest", "middle", "oldest"]
    assert youngest.dead and middle.dead and oldest.dead


def test_exception_goes_to_the_parent_with_its_traceback():
    def fail():
        raise KeyError("from below")

    def catch():
        try:
            child.switch()
        except KeyError as caught:
            return caught

    outer = greenlet(catch)
    child = greenlet(fail, outer)
    caught = outer.switch()
    names = []
    at = caught.__traceback__
    while at:
        names.append(at.tb_frame.f_code.co_name)
        at = at.tb_next
    assert names[0] == "catch" and names[-1] == "fail"
    assert child.dead and outer.dead


def test_throw_of_every_shape():
    main = getcurrent()

    def body():
        while True:
            try:
                main.switch("waiting")
            except Exception as caught:
                main.switch(caught)

    g = greenlet(body)
    g.switch()

    def thrown(*args):
        caught = g.throw(*args)
        g.switch()
        return caught

    assert type(thrown(KeyError)) is KeyError
    assert thrown(KeyError, 5).args == (5,)
    assert thrown(KeyError, (5, 6)).args == (5, 6)
    instance = ValueError(1)
    assert thrown(instance) is instance
    assert thrown(ValueError, instance) is instance
    try:
        raise TypeError
    except TypeError as raised:
        with_traceback = thrown(KeyError, None, raised.__traceback__)
        frames = []
        at = with_traceback.__traceback__
        while at:
            frames.append(at.tb_frame)
            at = at.tb_next
        assert sys._getframe() in frames
    for wrong in [(5,), (KeyError, 1, 5), (instance, 3), (str,), (None, 5)]:
        with pytest.raises(TypeError):
            g.throw(*wrong)
    assert g.throw(GreenletExit, "value").args == ("value",)
    assert g.dead


def test_throw_before_the_start_and_after_the_end():
    ran = []
    g = greenlet(lambda: ran.append(1))
    with pytest.raises(KeyError):
        g.throw(KeyError)
    assert g.dead and not ran
    with pytest.raises(ValueError):
        g.throw(ValueError)
    assert isinstance(g.throw(GreenletExit), GreenletExit)
    assert g.throw(GreenletExit(5)).args == (5,)
    fresh = greenlet(lambda: ran.append(1))
    assert isinstance(fresh.throw(), GreenletExit)
    assert fresh.dead and not ran


def test_greenlet_exit_is_a_result():
    def leave():
        raise GreenletExit("value")

    result = greenlet(leave).switch()
    assert isinstance(result, GreenletExit) and result.args == ("value",)

    class Own(GreenletExit):
        pass

    def leave_by_own():
        raise Own(1)

    assert isinstance(greenlet(leave_by_own).switch(), Own)


def test_exit_of_the_process_goes_up_to_main():
    with pytest.raises(SystemExit):
        greenlet(sys.exit).switch(3)
    with pytest.raises(KeyboardInterrupt):
        greenlet(lambda: exec("raise KeyboardInterrupt")).switch()


def test_dict_weak_references_and_slots():
    g = greenlet()
    g.x = 1
    assert g.__dict__ == {"x": 1} and vars(g) is g.__dict__
    g.__dict__ = {"y": 2}
    assert g.y == 2 and not hasattr(g, "x")
    with pytest.raises(TypeError):
        g.__dict__ = 5
    with pytest.raises(TypeError):
        del g.__dict__
    del g.y
    seen = []
    reference = weakref.ref(g, seen.append)
    assert reference() is g and weakref.getweakrefcount(g) == 1
    del g
    assert reference() is None and seen == [reference]
    table = weakref.WeakKeyDictionary()
    key = greenlet(lambda: getcurrent().parent.switch())
    key.switch()
    table[key] = 1
    del key
    assert len(table) == 0


def test_dictionary_in_a_cycle_is_collected():
    class Witness:
        pass

    g = greenlet()
    g.itself, g.witness = g, Witness()
    reference = weakref.ref(g.witness)
    del g
    gc.collect()
    assert reference() is None


def test_init_may_be_called_again_and_overridden():
    class Sub(greenlet):
        def __init__(self, *args, **kwargs):
            self.given = args, kwargs
            super().__init__(run=self.work)

        def work(self):
            return self.given

    g = Sub(1, a=2)
    assert g.switch() == ((1,), {"a": 2})
    again = greenlet()
    again.__init__(lambda: 5)
    assert again.switch() == 5
    with pytest.raises(AttributeError):
        again.__init__(lambda: 6)

    class NoInit(greenlet):
        def __init__(self):
            pass

        def run(self):
            return "ran"

    assert NoInit().switch() == "ran"


def test_no_copies():
    g = greenlet(lambda: None)
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            attempt(g)


def test_words_of_errors():
    main = getcurrent()
    for action, kind, words in [
        (lambda: greenlet(lambda: None, 42), TypeError, "GreenletChecker: Expected any type of greenlet, not int"),
        (lambda: setattr(greenlet(), "gr_context", 5), TypeError, "greenlet context must be a contextvars.Context or None"),
        (lambda: delattr(greenlet(), "gr_context"), AttributeError, "can't delete context attribute"),
        (lambda: main.throw(5), TypeError, "exceptions must be classes, or instances, not int"),
        (lambda: main.throw(KeyError, None, 5), TypeError, "throw() third argument must be a traceback object"),
        (lambda: main.throw(KeyError(), 5), TypeError, "instance exception may not have a separate value"),
        (lambda: main.run, AttributeError, "Main greenlets do not have a run attribute."),
    ]:
        with pytest.raises(kind, match=re.escape(words)):
            action()
    for read_only in ("dead", "gr_frame", "_stack_saved"):
        with pytest.raises(AttributeError):
            setattr(main, read_only, 1)


def test_context_attribute():
    main = getcurrent()
    variable = contextvars.ContextVar("variable", default="nothing")
    g = greenlet(lambda: [variable.set("inside"), main.switch(variable.get()), variable.get()][2])
    assert g.gr_context is None
    context = contextvars.Context()
    context.run(variable.set, "given")
    g.gr_context = context
    assert g.gr_context is context
    assert g.switch() == "inside"
    assert context[variable] == "inside" and variable.get() == "nothing"
    context.run(variable.set, "changed")
    assert g.switch() == "changed"
    assert g.dead and g.gr_context is context

    def leave():
        getcurrent().gr_context = None
        variable.set("own")
        return getcurrent().gr_context[variable]

    assert greenlet(leave).switch() == "own"
    # One that enters a context and is suspended there keeps it to itself.
    inside = greenlet(lambda: contextvars.copy_context().run(lambda: [variable.set(1), main.switch(), variable.get()][2]))
    inside.switch()
    assert variable.get() == "nothing"
    assert inside.switch() == 1


def test_stack_saved_is_what_is_kept(overwrite):
    main = getcurrent()
    assert main._stack_saved == 0
    g = greenlet(lambda: main.switch())
    assert g._stack_saved == 0
    g.switch()
    overwrite()
    assert g._stack_saved > 100
    g.switch()
    assert g._stack_saved == 0


def test_a_switch_to_oneself_returns_the_arguments():
    main = getcurrent()
    assert main.switch(1, 2) == (1, 2)
    assert main.switch(5) == 5
    assert main.switch(a=1) == {"a": 1}
    with pytest.raises(KeyError):
        main.throw(KeyError)
    assert greenlet(lambda: getcurrent().switch(3)).switch() == 3


def test_an_abstract_class_is_refused_as_by_object():
    class Abstract(greenlet, metaclass=abc.ABCMeta):
        @abc.abstractmethod
        def run(self):
            pass

    with pytest.raises(TypeError, match="Can't instantiate abstract class Abstract .*run"):
        Abstract()

    class Concrete(Abstract):
        def run(self):
            return 5

    assert Concrete().switch() == 5


def test_wrong_arguments_have_the_words_of_the_reference():
    with pytest.raises(TypeError, match=r"^green\(\) takes at most 2 arguments \(3 given\)$"):
        greenlet(1, 2, 3)
    with pytest.raises(TypeError, match=r"green\(\)"):
        greenlet(wrong=1)
    for arguments in [(), (None, None)]:
        with pytest.raises(TypeError, match=rf"^function takes exactly 1 argument \({len(arguments)} given\)$"):
            settrace(*arguments)
    for name in ("force_switch_error", "force_slp_switch_error"):
        with pytest.raises(AttributeError, match=f"^Cannot delete {name}$"):
            delattr(UnswitchableGreenlet(), name)
