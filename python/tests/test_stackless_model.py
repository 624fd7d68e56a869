"""Random programs of tasklets against a model."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from model_tasklets import CHANNELS, TASKS, compare

task = st.integers(0, TASKS - 1)
channel = st.integers(0, CHANNELS - 1)
meetings = st.tuples(st.sampled_from(["send", "receive"]), channel)
steps = st.one_of(
    meetings,
    meetings,
    meetings,
    meetings,
    meetings,
    meetings,
    st.just(("schedule",)),
    st.just(("schedule",)),
    st.just(("pause",)),
    st.tuples(st.just("insert"), task),
    st.tuples(st.just("remove"), task),
    st.tuples(st.just("run"), task),
    st.tuples(st.just("kill"), task),
    st.tuples(st.just("kill later"), task),
)
programs = st.tuples(
    st.lists(st.lists(steps, min_size=2, max_size=10), min_size=TASKS, max_size=TASKS),
    st.lists(st.tuples(st.integers(-1, 1), st.booleans()), min_size=CHANNELS, max_size=CHANNELS),
)


@settings(deadline=None, max_examples=200)
@given(programs)
def test_who_runs_next(program):
    compare(program)


def test_who_runs_next_in_programs_that_mostly_meet():
    """Hypothesis prefers short programs, in which few meet."""
    for seed in range(1000):
        random = Random(seed)

        def step():
            kind = random.choice(["send", "receive"] * 4 + ["schedule"] * 3 + ["pause", "insert", "run", "kill", "kill later"])
            if kind in ("send", "receive"):
                return kind, random.randrange(CHANNELS)
            return (kind,) if kind in ("schedule", "pause") else (kind, random.randrange(TASKS))

        scripts = [[step() for _ in range(random.randrange(12))] for _ in range(TASKS)]
        channels = [(random.randrange(-1, 2), random.random() < 0.2) for _ in range(CHANNELS)]
        compare((scripts, channels))
