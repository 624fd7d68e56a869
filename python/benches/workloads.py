"""What the benchmarks of the CPython package do, over and over: each makes a function of a number of rounds.

Imports whatever `greenlet` the interpreter that runs it has. Nothing here may know how it is measured.
"""

from greenlet import getcurrent, greenlet


def repeat(switch):
    def rounds(n):
        for _ in range(n):
            switch()

    return rounds


def switch_noarg():
    """Main and a greenlet in turns, no argument: two switches a round."""
    main = getcurrent()

    def body():
        switch = main.switch
        while True:
            switch()

    g = greenlet(body)
    g.switch()
    return repeat(g.switch)


def switch_value():
    """The same with an argument each way."""
    main = getcurrent()

    def body(x):
        switch = main.switch
        while True:
            x = switch(x)

    g = greenlet(body)
    g.switch(0)

    def rounds(n):
        switch = g.switch
        for i in range(n):
            switch(i)

    return rounds


def switch_peers():
    """Two greenlets that are not main, in turns."""
    main = getcurrent()

    def first(n):
        switch = b.switch
        while True:
            for _ in range(n):
                switch()
            n = main.switch()

    def second():
        switch = a.switch
        while True:
            switch()

    a = greenlet(first)
    b = greenlet(second)
    return a.switch


def switch_deep():
    """Main and a greenlet that is 50 calls of C, and 100 of Python, deep."""
    main = getcurrent()

    def nest(depth):
        if depth == 0:
            switch = main.switch
            while True:
                switch()
        return max([0], key=lambda _: nest(depth - 1))

    g = greenlet(nest)
    g.switch(50)
    return repeat(g.switch)


def throw():
    """An exception is thrown in and caught there, which then switches back."""
    main = getcurrent()

    def body():
        switch = main.switch
        while True:
            try:
                switch()
            except KeyError:
                pass

    g = greenlet(body)
    g.switch()

    def rounds(n):
        for _ in range(n):
            g.throw(KeyError)

    return rounds


def create():
    """A greenlet is made, runs an empty function and ends."""

    def body():
        pass

    def rounds(n):
        for _ in range(n):
            greenlet(body).switch()

    return rounds


def generator():
    """A generator ten calls deep: a value a round."""
    main = getcurrent()

    def produce(depth):
        if depth:
            return produce(depth - 1)
        i = 0
        while True:
            main.switch(i)
            i += 1

    g = greenlet(produce)
    g.switch(10)
    return repeat(g.switch)


ALL = [switch_noarg, switch_value, switch_peers, switch_deep, throw, create, generator]
BY_NAME = {work.__name__: work for work in ALL}
