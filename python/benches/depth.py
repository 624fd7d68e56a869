#!/usr/bin/env python3
"""A loop of calls at every depth from 1 to 60 inside a greenlet: does one of them pay for memory each time?

    depth.py OURS PEER [OURS PEER ...]

From 3.11 on Python frames live in chunks of memory that are mapped as they fill. A loop whose call crosses the end of a chunk
may map and unmap one for each call, which costs a hundred times what the call does. Where the ends are depends on who makes the first
chunk, so each depth is tried, with frames of several sizes. Prints, for each size, the worst depth of ours and of the
reference, in ns a call, and their ratio; a greenlet that has never run before, and one whose function has run in a greenlet before.
"""

import subprocess
import sys

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

def worst(run):
    found = []
    for depth in range(1, 61):
        found.append((run(depth), depth))
    return max(found)

def fresh(depth):
    # A function of its own, which no greenlet has run before.
    return greenlet(lambda: down(depth)).switch()

kept = lambda depth: down(depth)
print(*worst(fresh), *worst(lambda depth: greenlet(kept).switch(depth)))
sys.stdout.flush()
os._exit(0)
"""


def run(python, size):
    text = PROGRAM.replace("{locals}", str(size))
    done = subprocess.run([python, "-c", text], check=True, capture_output=True, text=True)
    words = done.stdout.split()
    return (float(words[0]), int(words[1])), (float(words[2]), int(words[3]))


def main():
    pythons = sys.argv[1:]
    if not pythons or len(pythons) % 2:
        sys.exit(__doc__)
    print("| CPython | locals a frame | new function: worst ns, at depth | reference | ratio | known function | reference | ratio |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for ours, peer in zip(pythons[::2], pythons[1::2]):
        asked = "import sys; print('.'.join(map(str, sys.version_info[:3])))"
        version = subprocess.run([ours, "-c", asked], check=True, capture_output=True, text=True).stdout.strip()
        for size in (1, 8, 30):
            # The least of three runs: what else the machine does only adds.
            mine = [run(ours, size) for _ in range(3)]
            theirs = [run(peer, size) for _ in range(3)]
            cells = []
            for kind in (0, 1):
                (a, at), (b, where) = min(m[kind] for m in mine), min(t[kind] for t in theirs)
                cells += [f"{a:.0f} at {at}", f"{b:.0f} at {where}", f"{a / b:.2f}"]
            print("| " + " | ".join([version, str(size), *cells]) + " |", flush=True)


if __name__ == "__main__":
    main()
