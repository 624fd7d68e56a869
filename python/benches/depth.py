#!/usr/bin/env python3
"""A loop of calls at every depth from 1 to 60 inside a greenlet: does one of them pay for memory each time?

    depth.py OURS PEER [OURS PEER ...] [--runs N] [--json FILE]

From 3.11 on Python frames live in chunks of memory that are mapped as they fill. A loop whose call crosses the end of a chunk
may map and unmap one for each call, which costs a hundred times what the call does. Where the ends are depends on who makes the first
chunk, so each depth is tried, with frames of several sizes. Prints, for each size, the worst depth of ours and of the
reference, in ns a call, and their ratio; a greenlet that has never run before, and one whose function has run in a greenlet before.
"""

import argparse
import json
import pathlib
import subprocess

PROGRAM = """
import os, sys, time
from greenlet import greenlet

LOCALS = {locals}
text = "def leaf(): " + "".join("v%d = " % i for i in range(LOCALS)) + "0\\n"
text += "def down(depth):\\n  if depth: return down(depth - 1)\\n  " + "".join("v%d = " % i for i in range(LOCALS)) + "0\\n  return measure()\\n"
exec(text)
clock = time.perf_counter

def measure():
    best = 1e9
    for _ in range(25):
        begin = clock()
        for _ in range(100):
            leaf()
        best = min(best, clock() - begin)
    return best * 1e7

def all_depths(run):
    return [run(depth) for depth in range(1, 61)]

def fresh(depth):
    # A function of its own, which no greenlet has run before.
    return greenlet(lambda: down(depth)).switch()

kept = lambda depth: down(depth)
print(*all_depths(fresh))
print(*all_depths(lambda depth: greenlet(kept).switch(depth)))
sys.stdout.flush()
os._exit(0)
"""


def run(python, size):
    """Two lists: a new function, a known one; ns by depth."""
    text = PROGRAM.replace("{locals}", str(size))
    done = subprocess.run([python, "-c", text], check=True, capture_output=True, text=True)
    return [[float(word) for word in line.split()] for line in done.stdout.splitlines()]


def worst(runs):
    """The worst depth, and where that is. For each depth the least of the runs counts: what else the machine does only adds."""
    least = [min(at) for at in zip(*runs)]
    return max((ns, depth) for depth, ns in enumerate(least, 1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs="+", metavar="PYTHON")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", help="a file for the numbers")
    arguments = parser.parse_args()
    results = []
    print("| CPython | locals a frame | new function: worst ns, at depth | reference | ratio | known function | reference | ratio |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for ours, peer in zip(arguments.pythons[::2], arguments.pythons[1::2], strict=True):
        asked = "import sys; print('.'.join(map(str, sys.version_info[:3])))"
        version = subprocess.run([ours, "-c", asked], check=True, capture_output=True, text=True).stdout.strip()
        for size in (1, 8, 30):
            pairs = [(run(ours, size), run(peer, size)) for _ in range(arguments.runs)]
            cells = []
            for kind, name in enumerate(("new", "known")):
                (a, at), (b, where) = (worst([pair[side][kind] for pair in pairs]) for side in (0, 1))
                cells += [f"{a:.0f} at {at}", f"{b:.0f} at {where}", f"{a / b:.2f}"]
                results.append({"version": version, "locals": size, "function": name, "ours": a, "reference": b, "ratio": a / b})
            print("| " + " | ".join([version, str(size), *cells]) + " |", flush=True)
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
