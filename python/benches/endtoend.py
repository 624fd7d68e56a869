#!/usr/bin/env python3
"""Programs on gevent, eventlet and SQLAlchemy, with our package and with the reference: the table of benches/README.md.

    endtoend.py OURS PEER [--turns N] [--json FILE]

OURS and PEER are interpreters of virtual environments that have gevent, eventlet, sqlalchemy and aiosqlite; one has our
wheel, the other `greenlet==3.5.6`. A number is the shortest of many stretches, in microseconds an operation; the two take turns.
"""

import argparse
import json
import pathlib
import statistics
import subprocess

TURNS = 5

PRELUDE = """
import os, sys, time
clock = time.perf_counter
def report(rounds, n, seconds=0.7):
    rounds(n)
    best, end = 1e9, clock() + seconds
    while clock() < end:
        begin = clock()
        rounds(n)
        best = min(best, clock() - begin)
    print(best / n * 1e6)
    sys.stdout.flush()
"""

PROGRAMS = {
    "gevent: two greenlets take turns by sleep(0)": """
import gevent
def rounds(n):
    def turns():
        for _ in range(n // 2):
            gevent.sleep(0)
    gevent.joinall([gevent.spawn(turns), gevent.spawn(turns)])
report(rounds, 200)
os._exit(0)
""",
    "gevent: spawn(f).join()": """
import gevent
def f(): pass
def rounds(n):
    for _ in range(n):
        gevent.spawn(f).join()
report(rounds, 50)
os._exit(0)
""",
    "gevent: Pool.map of an empty function": """
from gevent.pool import Pool
pool = Pool(10)
def f(x): pass
report(lambda n: pool.map(f, range(n)), 100)
os._exit(0)
""",
    "gevent: a Queue between two greenlets": """
import gevent
from gevent.queue import Queue
def rounds(n):
    queue = Queue(1)
    def produce():
        for i in range(n):
            queue.put(i)
    def consume():
        for i in range(n):
            queue.get()
    gevent.joinall([gevent.spawn(produce), gevent.spawn(consume)])
report(rounds, 200)
os._exit(0)
""",
    "eventlet: spawn(f).wait()": """
import eventlet
def f(): pass
def rounds(n):
    for _ in range(n):
        eventlet.spawn(f).wait()
report(rounds, 50)
os._exit(0)
""",
    "SQLAlchemy: a query by the asyncio engine, aiosqlite": """
import asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
# aiosqlite has a thread: on one processor the time is not that of waking up another one.
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
async def main():
    engine = create_async_engine("sqlite+aiosqlite://")
    query = text("select 1")
    async with engine.connect() as connection:
        best, end = 1e9, clock() + 2
        while clock() < end:
            begin = clock()
            for _ in range(20):
                (await connection.execute(query)).scalar()
            best = min(best, clock() - begin)
    print(best / 20 * 1e6)
    sys.stdout.flush()
    os._exit(0)
asyncio.run(main())
""",
    "SQLAlchemy: greenlet_spawn and await_only alone": """
import asyncio
from sqlalchemy.util.concurrency import await_only, greenlet_spawn
async def nothing(): pass
def inside(): await_only(nothing())
async def main():
    best, end = 1e9, clock() + 0.7
    while clock() < end:
        begin = clock()
        for _ in range(50):
            await greenlet_spawn(inside)
        best = min(best, clock() - begin)
    print(best / 50 * 1e6)
    sys.stdout.flush()
    os._exit(0)
asyncio.run(main())
""",
}


def run(python, text):
    done = subprocess.run([python, "-W", "ignore", "-c", PRELUDE + text], check=True, capture_output=True, text=True)
    return float(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours")
    parser.add_argument("peer")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--json", help="a file for the numbers")
    arguments = parser.parse_args()
    asked = "import sys; print('.'.join(map(str, sys.version_info[:3])))"
    version = subprocess.run([arguments.ours, "-c", asked], check=True, capture_output=True, text=True).stdout.strip()
    results = []
    print("| µs | ours | reference | ratio |")
    print("| --- | ---: | ---: | ---: |")
    for name, text in PROGRAMS.items():
        pairs = [(run(arguments.ours, text), run(arguments.peer, text)) for _ in range(arguments.turns)]
        mine, theirs = (min(side) for side in zip(*pairs))
        ratio = statistics.median(a / b for a, b in pairs)
        print(f"| {name} | {mine:.2f} | {theirs:.2f} | {ratio:.2f} |", flush=True)
        results.append({"version": version, "name": name, "unit": "µs", "ours": mine, "reference": theirs, "ratio": ratio})
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
