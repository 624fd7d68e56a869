"""Random programs of greenlets against a model: values, exceptions, parents, who is dead."""

from hypothesis import given, settings
from hypothesis import strategies as st

from greenlet import GreenletExit, getcurrent, greenlet

steps = st.lists(
    st.tuples(
        st.sampled_from(["switch", "throw", "exit", "drop", "frame", "return"]),
        st.integers(0, 4),
        st.integers(0, 99),
        st.integers(0, 4),
    ),
    max_size=60,
)


class Boom(Exception):
    pass


def body(depth, value):
    """Echo what is sent, `depth` C calls deep, until a number is sent that says to return."""
    if depth:
        return max([0], key=lambda _: 0) or body(depth - 1, value)
    main = getcurrent().parent
    while True:
        try:
            value = main.switch(("got", value))
        except Boom as error:
            value = error.args[0]
        if value == "return":
            return "returned"


@settings(max_examples=150, deadline=None)
@given(steps)
def test_random_programs(program):
    alive = {}
    for what, name, number, depth in program:
        g = alive.get(name)
        if g is None:
            g = alive[name] = greenlet(body)
            assert not g and not g.dead
            assert g.switch(depth, number) == ("got", number)
        assert g and not g.dead
        if what == "switch":
            assert g.switch(number) == ("got", number)
        elif what == "throw":
            assert g.throw(Boom, number) == ("got", number)
        elif what == "exit":
            assert isinstance(g.throw(), GreenletExit)
            assert g.dead and not g
            assert g.switch(number) == number
            del alive[name]
        elif what == "drop":
            del alive[name]
        elif what == "frame":
            frame, count = g.gr_frame, 0
            while frame is not None:
                frame, count = frame.f_back, count + 1
            assert count >= 1
        else:
            assert g.switch("return") == "returned"
            assert g.dead
            del alive[name]
        del g
