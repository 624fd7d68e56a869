"""The ends: of a thread, of a forked process, of the interpreter, with greenlets in every stage."""

import contextvars
import gc
import os
import subprocess
import sys
import textwrap
import threading
import weakref

import pytest
from conftest import SHOWN_FRAMES

from greenlet import GreenletExit, getcurrent, greenlet
from greenlet import error as greenlet_error


def run(program, status=0):
    """Runs a program in an interpreter of its own, which has to end well, and answers what it printed."""
    command = [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    assert status != 0 or "Fatal" not in done.stderr, done.stderr
    return done.stdout


STAGES = """
    import sys
    from greenlet import getcurrent, greenlet
    main = getcurrent()

    class Witness:
        def __del__(self):
            getcurrent
            if main is not None:
                try:
                    sys.stdout.write(".")
                except Exception:
                    pass

    def suspended(depth):
        witness = Witness()
        if depth:
            return max([0], key=lambda _: suspended(depth - 1))
        try:
            main.switch()
        finally:
            witness = None

    def in_generator():
        def generate():
            with_local = Witness()
            yield main.switch()
        list(generate())

    def handling():
        try:
            raise KeyError
        except KeyError:
            main.switch()

    new = greenlet(suspended)
    dead = greenlet(lambda: None)
    dead.switch()
    shallow, deep = greenlet(suspended), greenlet(suspended)
    shallow.switch(0), deep.switch(30)
    generating, in_handler = greenlet(in_generator), greenlet(handling)
    generating.switch(), in_handler.switch()
    child = greenlet(suspended, shallow)
    cycle = greenlet(lambda: main.switch(cycle))
    cycle.itself = cycle
    cycle.switch()
"""


@pytest.mark.parametrize(
    "end",
    [
        "pass",
        "raise SystemExit(0)",
        "sys.exit()",
        "import os; os._exit(0)",
        "greenlet(sys.exit).switch(0)",
        "import gc; gc.collect(); del main",
        "sys.modules.clear()",
        "import builtins; builtins.kept = [shallow, deep, generating, in_handler, cycle]; sys.kept = deep",
        "import atexit; atexit.register(lambda: deep.switch() if False else greenlet(lambda: None).switch())",
        "import atexit; atexit.register(shallow.throw)",
        "del new, dead, shallow, deep, generating, in_handler, child, cycle",
    ],
)
def test_interpreter_ends_with_greenlets_in_every_stage(end):
    run(textwrap.dedent(STAGES) + end)


def test_interpreter_ends_in_a_greenlet_that_is_not_main():
    run(textwrap.dedent(STAGES) + "greenlet(lambda: [greenlet(suspended).switch(0), sys.exit()]).switch()")
    program = """
        import sys
        from greenlet import greenlet
        def fail():
            raise KeyError("from a greenlet")
        greenlet(fail).switch()
    """
    run(program, status=1)
    run(textwrap.dedent(program).replace('raise KeyError("from a greenlet")', "sys.exit(7)"), status=7)


def test_finalizers_that_switch_while_the_interpreter_ends():
    printed = run(
        """
        import sys
        from greenlet import getcurrent, greenlet
        class Late:
            def __init__(self):
                self.g = greenlet(lambda: getcurrent().parent.switch(1) + 1)
                self.g.switch()
            def __del__(self, greenlet=greenlet, write=sys.stdout.write):
                try:
                    write(f"{self.g.switch(4)} ")
                    write(f"{greenlet(lambda: 'new').switch()} ")
                except Exception as error:
                    write(f"{type(error).__name__} ")
        late = Late()
        sys.kept = Late()
        """
    )
    assert printed.startswith("5 new ")


def test_threads_that_run_while_the_interpreter_ends():
    run(
        """
        import threading, time
        from greenlet import getcurrent, greenlet
        ready = threading.Barrier(5)
        def work():
            main = getcurrent()
            gs = [greenlet(lambda: [main.switch() for _ in range(10**9)]) for _ in range(10)]
            ready.wait()
            while True:
                for g in gs:
                    g.switch()
        for _ in range(4):
            threading.Thread(target=work, daemon=True).start()
        ready.wait()
        time.sleep(0.05)
        """
    )


def test_sub_interpreters_are_refused_or_work():
    """One interpreter after the other: whatever happens, it is no crash."""
    run(
        """
        import greenlet
        try:
            import _testcapi
            _testcapi.run_in_subinterp("import greenlet; greenlet.greenlet(lambda: None).switch()")
        except ImportError:
            pass
        """
    )


def test_fork_in_a_greenlet():
    program = """
        import os, sys
        from greenlet import getcurrent, greenlet
        main = getcurrent()
        other = greenlet(lambda: main.switch("suspended") * 2)
        other.switch()
        def body():
            child = os.fork()
            if child:
                _, status = os.waitpid(child, 0)
                return os.waitstatus_to_exitcode(status)
            # The child goes on here, with everybody else's stack as it was.
            main.switch("child")
            return "never"
        g = greenlet(body)
        answer = g.switch()
        if answer == "child":
            assert other.switch(4) == 8 and other.dead and g
            del g
            sys.exit(23)
        assert answer == 23 and not other.dead
        assert other.switch(5) == 10
        print("well")
    """
    assert run(program) == "well\n"


def test_fork_with_greenlets_in_other_threads():
    program = """
        import os, threading
        from greenlet import getcurrent, greenlet
        kept, ready, go = [], threading.Event(), threading.Event()
        def work():
            main = getcurrent()
            g = greenlet(lambda: main.switch())
            g.switch()
            kept.append(g)
            ready.set()
            go.wait()
            g.switch()
            kept.clear()
        thread = threading.Thread(target=work)
        thread.start()
        ready.wait()
        child = os.fork()
        if not child:
            # The thread is gone here, its greenlets can never run: no crash, whatever is done to them.
            try:
                kept[0].switch()
            except Exception:
                pass
            repr(kept[0]), kept[0].dead, kept[0].gr_frame
            kept.clear()
            greenlet(lambda: None).switch()
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        go.set()
        thread.join()
        print(status)
    """
    assert run(program) == "0\n"


def in_thread(work):
    """Runs `work` in a thread of its own and answers its result, or raises what it raised."""
    results = []

    def target():
        try:
            results.append((work(), None))
        except BaseException as error:
            results.append((None, error))

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    value, raised = results[0]
    if raised is not None:
        raise raised
    return value


def suspended_here():
    g = greenlet(getcurrent().switch)
    g.switch()
    return g


def test_greenlets_of_other_threads_are_refused():
    main = getcurrent()
    suspended, fresh = greenlet(main.switch), greenlet(lambda: 1)
    suspended.switch()
    for target in (main, suspended, fresh):
        with pytest.raises(greenlet_error, match="[Cc]annot switch to a different thread"):
            in_thread(target.switch)
    with pytest.raises(greenlet_error, match="[Cc]annot switch to a different thread"):
        in_thread(suspended.throw)
    suspended.switch()

    with pytest.raises(ValueError, match="parent cannot be on a different thread"):
        in_thread(lambda: setattr(suspended_here(), "parent", main))


def test_a_parent_in_another_thread():
    main = getcurrent()

    def work():
        # Not begun, so it belongs to its parent's thread.
        g = greenlet(lambda: 1)
        g.parent = main
        with pytest.raises(greenlet_error):
            g.switch()
        return g

    g = in_thread(work)
    assert g.parent is main and g.switch() == 1


def test_a_greenlet_whose_thread_has_ended():
    def work():
        g = greenlet(getcurrent().switch)
        g.switch()
        return g, getcurrent()

    g, main = in_thread(work)
    for target in (g, main):
        assert target.dead
        assert not target
        assert "dead" in repr(target)
        assert target.gr_frame is None
        with pytest.raises(greenlet_error):
            target.switch()
    with pytest.raises(ValueError):
        in_thread(lambda: setattr(suspended_here(), "parent", g))
    with pytest.raises(Exception):
        g.throw(KeyError)


variable = contextvars.ContextVar("variable")


class Thing:
    pass


class Fault(Exception):
    pass


def leave_one_suspended(kept, see):
    """A thread that ends while a greenlet of it is suspended: in a call that has an argument, while an exception is handled, with a
    context. `see` is told each object that it, or what it runs, has."""

    def body(argument):
        local = see("local", Thing())
        variable.set(see("context", Thing()))
        try:
            raise see("exception", Fault())
        except Fault:
            getcurrent().parent.switch(see("sent", Thing()))
        return local, argument

    def work():
        g = see("greenlet", greenlet(body))
        g.attribute = see("attribute", Thing())
        see("main", getcurrent())
        g.switch(see("argument", Thing()))
        kept.append(g)

    in_thread(work)


def test_what_is_given_up_of_a_greenlet_whose_thread_has_ended():
    """All but what the local variables hold, and from 3.15 on that as well."""
    references, kept = {}, []

    def see(name, thing):
        references[name] = weakref.ref(thing)
        return thing

    leave_one_suspended(kept, see)
    assert {name for name, reference in references.items() if reference() is None} <= {"sent"}
    assert kept.pop().dead
    gc.collect()
    left = {name for name, reference in references.items() if reference() is not None}
    if SHOWN_FRAMES:
        assert left == set()
    elif sys.version_info >= (3, 11):
        assert left == {"local", "argument"}
    else:  # the innermost frame is an object, and all of it goes
        assert left == {"main", "sent", "argument"}


def test_greenlets_dropped_by_other_threads_end_in_their_own():
    ended = []
    handed_over, dropped = threading.Event(), threading.Event()
    shared = []

    def work():
        main = getcurrent()

        def body():
            try:
                main.switch()
            except GreenletExit:
                ended.append(threading.get_ident())

        for _ in range(50):
            g = greenlet(body)
            g.switch()
            shared.append(g)
        del g
        handed_over.set()
        dropped.wait()
        getcurrent()
        return threading.get_ident()

    idents = []
    thread = threading.Thread(target=lambda: idents.append(work()))
    thread.start()
    handed_over.wait()
    shared.clear()
    assert ended == []
    dropped.set()
    thread.join()
    assert ended == idents * 50


def test_many_threads_at_once():
    def work(number):
        main = getcurrent()

        def body(total):
            while True:
                total += main.switch(total)

        gs = [greenlet(body) for _ in range(20)]
        for g in gs:
            g.switch(number)
        for i in range(200):
            for g in gs:
                g.switch(i)
        results.append({g.switch(0) for g in gs} == {number + sum(range(200))})

    results = []
    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert results == [True] * 8
