"""Random programs of greenlets against a model: values, exceptions, parents, who runs, who is dead, and who is gone."""

from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_greenlets import HOWS, KINDS, NAMES, compare

number = st.integers(0, NAMES - 1)
step = st.tuples(st.sampled_from(KINDS), number, number, st.integers(0, HOWS - 1))
first = [st.tuples(st.just("create"), st.just(name), number, st.just(0)) for name in range(1, NAMES)]
programs = st.tuples(st.tuples(*first), st.lists(step, min_size=40, max_size=120)).map(lambda both: [*both[0], *both[1]])


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs)
def test_random_programs(program):
    compare(program)


def test_long_programs():
    """Hypothesis prefers short ones."""
    for seed in range(50):
        random = Random(seed)
        steps = [("create", name, random.randrange(NAMES), 0) for name in range(1, NAMES)]
        for _ in range(200):
            steps.append((random.choice(KINDS), random.randrange(NAMES), random.randrange(NAMES), random.randrange(HOWS)))
        compare(steps)
