"""``pipeline.py [--timeline FILE]``: producers and consumers over channels, with Stackless Python's interface.

Nobody yields: each tasklet runs until it has to wait for another. A deadlock is an error, not a program that stands still.
"""

import sys
from contextlib import nullcontext

from greenlet import stackless
from greenlet.stackless import channel, tasklet


def end(out):
    """For whoever receives next, that was all: its loop over the channel ends."""
    out.send_exception(StopIteration)


def sieve(prime, numbers, rest):
    """Passes on what ``prime`` does not divide."""
    for number in numbers:
        if number % prime:
            rest.send(number)
    end(rest)


def primes(most):
    """One tasklet for each prime, at the end of the chain that the others are."""

    def count(numbers):
        numbers.send_sequence(range(2, most + 1))
        end(numbers)

    numbers = channel()
    tasklet(count)(numbers)
    found = []
    for prime in iter(lambda: next(numbers, None), None):
        found.append(prime)
        rest = channel()
        tasklet(sieve)(prime, numbers, rest)
        numbers = rest
    return found


def sieves():
    found = primes(500)
    assert found == [n for n in range(2, 501) if all(n % d for d in range(2, n))]
    print(f"{len(found)} primes by a chain of as many sieves, the last is {found[-1]}")


def walk(tree, out):
    """Recursive, and sends from any depth."""
    if isinstance(tree, list):
        for child in tree:
            walk(child, out)
    else:
        out.send(tree)


def lines():
    """Lines of words, words of letters, counted: three stages, each a function that loops over what comes."""

    def source(out):
        walk([["the quick", ["brown fox"]], "jumps over", [[["the lazy dog"]], "the end"]], out)
        end(out)

    def split(lines, out):
        for line in lines:
            out.send_sequence(line.split())
        end(out)

    counts, said, words = {}, channel(), channel()
    tasklet(source)(said)
    tasklet(split)(said, words)
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    assert counts.pop("the") == 3 and set(counts.values()) == {1} and len(counts) == 8
    print("words of a tree of lines, through three stages")


def workers():
    """Three consumers of one queue, one place for what they find, and an error that arrives where the result was asked for."""
    jobs, results = channel(), channel()
    done = []

    def work(name):
        count = 0
        for job in jobs:
            try:
                results.send((job, 840 // job))
            except ZeroDivisionError as error:
                results.send_exception(ZeroDivisionError, *error.args, job)
            count += 1
            stackless.schedule()  # the next job may be another one's
        done.append((name, count))

    def produce():
        jobs.send_sequence([*range(1, 61), 0])
        for _ in "abc":
            end(jobs)

    for name in "abc":
        tasklet(work)(name)
    tasklet(produce)()
    found, failed = {}, []
    for _ in range(61):
        try:
            job, result = results.receive()
            found[job] = result
        except ZeroDivisionError as error:
            failed.append(error.args[-1])
    stackless.run()
    assert found == {n: 840 // n for n in range(1, 61)} and failed == [0]
    assert sorted(name for name, _ in done) == ["a", "b", "c"] and sum(count for _, count in done) == 61
    print("61 jobs by three workers: " + ", ".join(f"{name} did {count}" for name, count in sorted(done)))


def many():
    """A ring of tasklets, each of which waits for the one before, and a number that goes around."""
    size, rounds = 10_000, 3
    first = channel()
    before = first

    def pass_on(source, target):
        for number in source:
            target.send(number + 1)
        end(target)

    for _ in range(size):
        after = channel()
        tasklet(pass_on)(before, after)
        before = after
    number = 0
    for _ in range(rounds):
        first.send(number)
        number = before.receive()
    assert number == size * rounds
    end(first)
    assert list(before) == []
    stackless.run()
    assert stackless.getruncount() == 1
    print(f"a number through {size} tasklets, {rounds} times around: {number}")


def deadlock():
    never = channel()
    try:
        never.receive()
    except RuntimeError as error:
        print(f"a deadlock is an error: {error}")
    else:
        raise AssertionError("nobody has sent anything")
    assert never.balance == 0


def main():
    file = sys.argv[2] if sys.argv[1:2] == ["--timeline"] and len(sys.argv) == 3 else None
    recorded = nullcontext()
    if file:
        from greenlet.timeline import Timeline

        recorded = Timeline(file)
    sieves()
    with recorded:
        lines()
        workers()
    many()
    deadlock()
    print("all of them were right")


if __name__ == "__main__":
    main()
