"""Programs at whose mercy the extension once was: each of these crashed, hung, leaked or counted a reference wrongly (an audit found
them). Every one runs in an interpreter of its own, so that a crash is a failure and no more."""

import inspect
import os
import subprocess
import sys
import textwrap

import pytest
from conftest import SHOWN_FRAMES, YOUNG, fill, names

HEAD = """
import faulthandler, functools, gc, os, sys, threading, time
from greenlet import GreenletExit, getcurrent, greenlet, stackless
faulthandler.dump_traceback_later(30, exit=True)
main = getcurrent()
""" + "".join(map(inspect.getsource, (fill, names)))


def run(program):
    """What the program prints; it has to end well."""
    command = [sys.executable, "-W", "ignore", "-X", "faulthandler", "-c", HEAD + textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_frame_of_a_generator_that_runs_in_a_suspended_greenlet_is_asked_for_later():
    """It has no frame object when its greenlet is left, and its frame leads to an entry frame on the machine stack."""
    out = run("""
        def generate():
            main.switch()
            yield 1
        generator = generate()
        def body():
            next(generator)
        g = greenlet(body)
        g.switch()
        greenlet(fill).switch(60)
        fill(50)
        print(names(generator.gi_frame))
        def deeper():
            fill(30)
            print(names(generator.gi_frame))
        greenlet(deeper).switch()
        g.switch()
        print(g.dead)
    """)
    assert out == "['generate', 'body']\n" * 2 + "True\n"


def test_frame_of_a_coroutine_of_main_is_asked_for_in_a_greenlet():
    """As `asyncio.Task.get_stack()` does."""
    out = run("""
        def shallow():
            fill(50)
            main.switch()
            fill(60)
            print(names(coroutine.cr_frame)[:4])
            main.switch()
        first = greenlet(shallow)
        first.switch()
        async def work():
            first.switch()
        def deep(n):
            global coroutine
            if n:
                return max([n], key=lambda _: deep(n - 1))
            coroutine = work()
            try:
                coroutine.send(None)
            except StopIteration:
                print("done")
        deep(5)
    """)
    assert out == "['work', 'deep', '<lambda>', 'deep']\ndone\n"


def test_generator_that_outlives_the_greenlet_of_an_ended_thread():
    out = run("""
        kept = []
        def thread():
            main = getcurrent()
            def generate():
                main.switch()
                yield 1
            def body(generator):
                for _ in generator:
                    pass
            g = greenlet(body)
            kept[:] = [g, generate()]
            g.switch(kept[1])
        for _ in range(20):
            t = threading.Thread(target=thread)
            t.start()
            t.join()
            g, generator = kept
            print(g.dead, end=" ")
            del g, kept[0]
            others = [greenlet(fill) for _ in range(5)]
            for other in others:
                other.switch(20)
            print(names(generator.gi_frame))
            del generator
    """)
    assert set(out.splitlines()) <= {"True ['generate']", "True ['generate', 'body']"}


def test_what_notes_the_entry_frames_is_freed_with_the_greenlet():
    resident = """
        def resident():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * 4
        def body():
            frame = sys._getframe()
            main.switch()
        def many(count):
            for _ in range(count):
                g = greenlet(body)
                g.switch()
                g.switch()
        many(5_000)
        before = resident()
        many(100_000)
        print(resident() - before)
    """
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("no /proc")
    assert int(run(resident)) < 3_000  # KiB


LOOK = """
    def victim():
        try:
            main.switch()
        finally:
            for found in gc.get_objects():
                if isinstance(found, greenlet):
                    found.dead, repr(found), found.parent, found.gr_frame
                elif isinstance(found, stackless.tasklet):
                    found.alive, repr(found), found.frame, found.thread_id
    stackless.getcurrent()
    g = greenlet(victim)
    g.switch()
    box = [g]
    del g
    t = threading.Thread(target=box.clear)
    t.start()
    t.join()
"""


@pytest.mark.parametrize("make", ["greenlet(print)", "stackless.tasklet(print)"])
def test_code_that_runs_while_an_object_is_made_does_not_find_it_half_made(make):
    """The first use of greenlets after another thread has dropped one ends that one."""
    assert run(LOOK + f"    made = {make}\n    print(made.__class__.__name__)") != ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_greenlet_that_ran_in_another_thread_when_the_process_was_forked():
    out = run("""
        started = threading.Event()
        kept = []
        def deep(n, then):
            return deep(n - 1, then) if n else then()
        def body():
            deep(400, getcurrent().parent.switch)  # what is noted of it is of this moment
            started.set()
            time.sleep(100)
        def thread():
            g = greenlet(body)
            kept.append(g)
            g.switch()
            g.switch()
        threading.Thread(target=thread, daemon=True).start()
        started.wait()
        child = os.fork()
        if child == 0:
            g, = kept
            print(g.gr_frame, g.dead, flush=True)
            def deeper(n):
                return deeper(n - 1) if n else getcurrent().parent.switch()
            others = [greenlet(deeper) for _ in range(300)]
            for other in others:
                other.switch(400)
            for other in others:
                other.switch()
            gc.collect()
            print("fine", flush=True)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        print(status, flush=True)
        os._exit(0)
    """)
    assert out == "None True\nfine\n0\n"


@pytest.fixture
def threads_after_fork():
    """qemu 7.2's user emulation fails an assertion of its own when a process forks beside a thread and the child starts one. This
    program has no greenlets."""
    program = """
        import os, threading
        go = threading.Event()
        threading.Thread(target=go.wait, daemon=True).start()
        child = os.fork()
        if child == 0:
            thread = threading.Thread(target=print, args=("started",))
            thread.start()
            thread.join()
            os._exit(0)
        os._exit(os.waitpid(child, 0)[1] != 0)
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.skip(f"after a fork no thread can be started here, without greenlets either: {done.stdout} {done.stderr}")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.usefixtures("threads_after_fork")
def test_thread_that_slept_in_a_channel_when_the_process_was_forked_does_not_count():
    out = run("""
        started = threading.Event()
        def thread():
            channel = stackless.channel()
            started.set()
            channel.receive()
        threading.Thread(target=thread, daemon=True).start()
        started.wait()
        time.sleep(0.2)
        child = os.fork()
        if child == 0:
            channel = stackless.channel()
            def send():
                time.sleep(0.3)
                channel.send(7)
            threading.Thread(target=send).start()
            print(channel.receive(), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        os._exit(0)
    """)
    assert out == "7\n"


@pytest.mark.parametrize("where", ["local.witness = Witness()", "variable.set(Witness())"])
def test_destructor_that_runs_while_its_thread_is_cleared_makes_no_record_for_it(where):
    """Nobody would tell that record of the end of the thread, and the next thread at the same address would take it over."""
    out = run(f"""
        import contextvars
        from greenlet._greenlet import get_total_main_greenlets
        local, variable = threading.local(), contextvars.ContextVar("variable")
        refused = []
        class Witness:
            def __del__(self):
                try:
                    getcurrent()
                except RuntimeError as error:
                    refused.append(str(error))
        def thread():
            local.__dict__
            getcurrent()
            {where}
        before = get_total_main_greenlets()
        for _ in range(20):
            t = threading.Thread(target=thread)
            t.start()
            t.join()
        gc.collect()
        print(get_total_main_greenlets() - before)
        print(set(refused) <= {{"greenlet: this thread is ending"}})
    """)
    assert out == "0\nTrue\n"


def test_extension_loaded_once_more_under_another_name():
    out = run("""
        import importlib.util
        from greenlet import _greenlet
        spec = importlib.util.spec_from_file_location("_greenlet", _greenlet.__file__)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        sys.setrecursionlimit(100_000)
        def deep(n):
            return deep(n - 1) if n else 1
        print(deep(5_000), greenlet(deep).switch(3_000))
    """)
    assert out == "1 1\n"


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="there each place says whether it owns what it holds")
def test_references_that_functools_partial_lends_are_not_given_up():
    """It puts them where the evaluator has what it owns; a greenlet of an ended thread gives up what its last call has there."""
    out = run("""
        class Value:
            pass
        value, count = Value(), sys.getrefcount
        base = count(value)
        here, kept = [], []  # no local variable has the main greenlet: on 3.10 those of the innermost frame are given up
        def thread(call):
            here[:] = [getcurrent()]
            g = greenlet(call)
            g.switch()
            kept[:] = [g, here.pop()]
        calls = [
            lambda: functools.partial(here[0].switch, value)(1),
            lambda: functools.partial(greenlet.switch, here[0])(value),
        ]
        for call in calls:
            t = threading.Thread(target=thread, args=(call,))
            t.start()
            t.join()
            g, main = kept
            before = count(main)
            g.dead
            print(count(value) - base > 0, count(main) - before)
            base = count(value)
    """)
    assert out == "True 0\n" * 2


@pytest.mark.parametrize("seen", [False, True])
def test_look_at_a_greenlet_of_an_ended_thread_gives_up_what_its_innermost_frame_owns_and_no_more(seen):
    """By version: what its local variables hold (3.10, and from 3.15 on), and what it holds for the call that it is in (from 3.11 on).
    If somebody has the frame, that keeps the variables; on 3.10 one reference to it is given up, the evaluator's."""
    out = run(f"""
        seen = {seen}
        class Value:
            pass
        count, here, kept, frame = sys.getrefcount, [], [], [None]
        def inner(variables, values):
            a = b = c = None
            if variables > 0: a = here[0]
            if variables > 1: b = here[0]
            if variables > 2: c = here[0]
            if seen: frame[0] = sys._getframe()
            here[0].switch(values[0])
        def outer(variables, values):
            return max([0], key=lambda _: inner(variables, values))
        def thread(variables, values):
            here[:] = [getcurrent()]
            g = greenlet(outer)
            g.switch(variables, values)
            kept[:] = [g, here.pop()]
        for variables in range(4):
            values = [Value()]
            t = threading.Thread(target=thread, args=(variables, values))
            t.start()
            t.join()
            del t
            g, main = kept
            counts = lambda: (count(main), count(values[0]), count(frame[0]) if seen else 0)
            before = counts()
            for _ in range(3):
                g.dead, bool(g), repr(g), g.gr_frame
            print(*(b - a for b, a in zip(before, counts())))
    """)
    call = int(sys.version_info >= (3, 11))
    variables = not seen and (sys.version_info < (3, 11) or sys.version_info >= (3, 15))
    frame = int(seen and sys.version_info < (3, 11))
    assert out == "".join(f"{call + n * variables} {call} {frame}\n" for n in range(4))


def test_kill_that_changes_the_parents_makes_no_circle():
    out = run("""
        kept = []
        parent = greenlet(lambda *args: None)
        def victim():
            try:
                main.switch()
            except GreenletExit:
                parent.parent = getcurrent()
                kept.append(getcurrent())
        g = greenlet(victim, parent)
        g.switch()
        del g
        print(kept[0].switch(), parent.switch())
    """)
    assert out == "() None\n"


def test_arguments_of_bind_that_run_the_tasklet():
    out = run("""
        class Arguments:
            def __iter__(self):
                t.run()
                return iter(())
        t = stackless.tasklet(stackless.schedule, ())
        try:
            t.bind(None, Arguments())
        except RuntimeError as error:
            print(error)
        stackless.run()
        print(t.alive)
    """)
    assert out == "tasklet is scheduled\nFalse\n"


def test_greenlet_of_a_tasklet_that_has_not_begun_takes_no_function():
    out = run("""
        t = stackless.tasklet(lambda: print("tasklet"))()
        g, = [found for found in gc.get_referents(t) if isinstance(found, greenlet)]
        try:
            g.run = print
        except AttributeError:
            print("refused")
        stackless.run()
        print(t.alive, g.dead)
    """)
    assert out == "refused\ntasklet\nFalse True\n"


@pytest.mark.skipif(not SHOWN_FRAMES, reason="before 3.15 nobody looks into a suspended greenlet's frames")
@pytest.mark.parametrize("kind", ["greenlet", "tasklet", "again"])
def test_collector_clears_nothing_that_a_greenlet_without_its_finalizer_needs(kind):
    """A class with `__del__` has another finalizer than ours, and each is called once only: what the frames hold stays then."""
    out = run(f"""
        import textwrap
        kind = {kind!r}
        class WithDel(greenlet):
            def __del__(self):
                pass
        class TaskWithDel(stackless.tasklet):
            def __del__(self):
                pass
        def build():
            space = {{"main": main, "kind": kind, "stackless": stackless, "words": ["a"], "log": log, "GreenletExit": GreenletExit}}
            exec(textwrap.dedent('''
                def body():
                    held = [words, body]
                    try:
                        stackless.schedule_remove() if kind == "tasklet" else main.switch()
                    except BaseException:
                        if kind == "again":
                            try:
                                main.switch()
                            except BaseException:
                                pass
                    log.append((len(held), len(words), words[0]))
            '''), space)
            if kind == "tasklet":
                space["self"] = t = TaskWithDel(space["body"])()
                stackless.run()
            else:
                space["self"] = g = (WithDel if kind == "greenlet" else greenlet)(space["body"])
                g.switch()
        log = []
        for _ in range(5):
            build()
            for _ in range({YOUNG + 3}):
                gc.collect()
                getcurrent()
        print(all(entry == (2, 1, "a") for entry in log))
    """)
    assert out == "True\n"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no interpreter has a GIL of its own")
def test_interpreters_with_a_gil_of_their_own_share_the_cache_of_chunks():
    """The allocator of the chunks that frames lie in is the process's."""
    out = run("""
        import textwrap
        deep = textwrap.dedent('''
            import sys, time
            sys.setrecursionlimit(5_000)
            def deep(n):
                a = b = c = d = e = f = 1
                return deep(n - 1) if n else 0
        ''')
        code = deep + textwrap.dedent('''
            end = time.time() + 4
            while time.time() < end:
                deep(900)
        ''')
        exec(deep)
        try:
            import _interpreters as interpreters
            make = lambda: interpreters.create("isolated")
        except ImportError:
            import _xxsubinterpreters as interpreters
            make = lambda: interpreters.create(isolated=True)
        made = [make() for _ in range(3)]
        answers = []
        def thread(interpreter):
            answers.append(interpreters.run_string(interpreter, code))
        threads = [threading.Thread(target=thread, args=(interpreter,)) for interpreter in made]
        for t in threads:
            t.start()
        while any(t.is_alive() for t in threads):
            for _ in range(5):
                greenlet(deep).switch(900)
        print(answers, flush=True)
        os._exit(0)
    """)
    assert out == "[None, None, None]\n"
