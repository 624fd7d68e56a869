"""Generators without ``yield``: any function that calls back, at any depth, becomes an iterator; and those drive each other.

A plain generator would need a ``yield from`` in every function on the way, and could not cross the ones that are written in C.
"""

import functools
import re
from html.parser import HTMLParser

from greenlet import getcurrent, greenlet


class Iterator(greenlet):
    """What ``body`` gives to its argument, one at a time. Whoever asks for the next one is the consumer."""

    def __init__(self, body):
        super().__init__(parent=getcurrent())
        self._body = body

    def run(self):
        self._body(self._give)
        return self  # nothing else can be it: the end

    def _give(self, value):
        # The consumer may be another one each time. It was made the parent, so an exception of the body arrives there as well.
        self.parent.switch(value)

    def __iter__(self):
        return self

    def __next__(self):
        if self.dead:
            raise StopIteration
        self.parent = getcurrent()
        value = self.switch()
        if value is self:
            raise StopIteration
        return value


def iterator(function):
    """A decorator: the last argument of ``function`` is what it gives its values to."""

    @functools.wraps(function)
    def made(*args):
        return Iterator(lambda give: function(*args, give))

    return made


# A tree, walked by recursion.


def walk(tree, give):
    if isinstance(tree, tuple):
        for child in tree:
            walk(child, give)
    else:
        give(tree)


leaves = iterator(walk)


def grown(first, last, lean):
    """A tree with the leaves from ``first`` up to ``last``, whose shape depends on ``lean``."""
    if last - first == 1:
        return first
    middle = min(max(first + (last - first) * lean // 100, first + 1), last - 1)
    return grown(first, middle, lean), grown(middle, last, lean)


def same_fringe():
    left, right = grown(0, 5000, 80), grown(0, 5000, 20)
    assert left != right and all(a == b for a, b in zip(leaves(left), leaves(right), strict=True))
    other = ((0, 1), (2, (7, (4, 5))))
    first = next((a, b) for a, b in zip(leaves(left), leaves(other)) if a != b)
    assert first == (3, 7)
    print("two trees of 5000 leaves have the same, one leaning to the left, one to the right; another one differs at 3")


# Nested: one that is made of others of its kind.


@iterator
def permutations(items, give):
    if not items:
        give(())
    for index, item in enumerate(items):
        for rest in permutations(items[:index] + items[index + 1 :]):
            give((item, *rest))


@iterator
def merged(left, right, give):
    """Two ascending streams as one."""
    end = object()
    a, b = next(left, end), next(right, end)
    while a is not end or b is not end:
        if b is end or (a is not end and a <= b):
            give(a)
            a = next(left, end)
        else:
            give(b)
            b = next(right, end)


def nested():
    found = list(permutations(tuple(range(6))))
    assert len(set(found)) == 720 and found == sorted(found)
    streams = [iterator(lambda give, n=n: [give(n + 16 * i) for i in range(200)])() for n in range(16)]
    while len(streams) > 1:
        streams = [merged(left, right) for left, right in zip(streams[::2], streams[1::2])]
    assert list(streams[0]) == list(range(3200))
    print("720 permutations from generators in generators; 16 streams merged by a tree of 15")


# Through code that knows nothing of it: the standard library calls back, from Python and from C.


class Links(HTMLParser):
    def __init__(self, give):
        super().__init__()
        self.give = give

    def handle_starttag(self, tag, attributes):
        if tag == "a":
            self.give(dict(attributes)["href"])


def libraries():
    page = "".join(f'<p>see <a href="page{n}.html">{n}</a>' for n in range(1000))
    links = Iterator(lambda give: Links(give).feed(page))
    first = [next(links) for _ in range(3)]
    assert first == ["page0.html", "page1.html", "page2.html"]
    links.throw()  # enough: the parser is unwound, and never sees the other 997
    assert links.dead and list(links) == []

    words = Iterator(lambda give: re.sub(r"\w+", lambda match: give(match[0]) or "", "two words, or three"))
    compared = Iterator(lambda give: [3, 1, 2].sort(key=functools.cmp_to_key(lambda a, b: give((a, b)) or a - b)))
    assert list(words) == ["two", "words", "or", "three"]
    assert (1, 3) in set(compared) | {pair[::-1] for pair in compared}
    print("links as a parser finds them, words as re.sub meets them, what list.sort compares")


def errors():
    def fails(give):
        give(1)
        raise LookupError("below")

    numbers = Iterator(fails)
    assert next(numbers) == 1
    try:
        next(numbers)
    except LookupError as error:
        assert error.args == ("below",)
    else:
        raise AssertionError("it has to arrive where the next value was asked for")
    assert list(numbers) == []
    print("an exception arrives where the next value was asked for")


if __name__ == "__main__":
    same_fringe()
    nested()
    libraries()
    errors()
    print("all of them were right")
