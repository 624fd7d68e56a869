#!/usr/bin/env python3
"""Compares the package with the reference, on any number of CPython versions, and prints a table.

    compare.py OURS PEER [OURS PEER ...] [--instructions] [--only NAME,NAME] [--turns N] [--json FILE]

OURS and PEER are interpreters (of virtual environments) of the same version: one with our wheel, the other with
`greenlet==3.5.6`. A time is the shortest of many short stretches of rounds, which what else the machine does hardly
touches; the two take turns in processes of their own, and of the ratios of the turns the median counts.
`memory` is the bytes that a suspended greenlet keeps resident, of 100,000. `--instructions` counts with callgrind in place of time, the
same every time.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
TURNS = 7
ROUNDS = 2000

TIME = """
import os, sys, time
sys.path.insert(0, {here!r})
import workloads
rounds = workloads.BY_NAME[{name!r}]()
rounds(200)
clock = time.perf_counter
best = 1e9
end = clock() + 0.4
while True:
    begin = clock()
    rounds(30)
    now = clock()
    best = min(best, now - begin)
    if now > end:
        break
print(best / 30 * 1e9)
sys.stdout.flush()
os._exit(0)  # what is suspended is not part of it
"""

MEMORY = """
import os, sys
from greenlet import getcurrent, greenlet
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
main = getcurrent()
def body():
    main.switch()
kept, before = [], resident()
for _ in range(100_000):
    g = greenlet(body)
    g.switch()
    kept.append(g)
print((resident() - before) / 100_000)
sys.stdout.flush()
os._exit(0)
"""

COUNT = """
import os, sys
sys.path.insert(0, {here!r})
import workloads
workloads.BY_NAME[{name!r}]()({rounds})
os._exit(0)
"""


def time_of(python, name):
    text = MEMORY if name == "memory" else TIME.format(here=str(HERE), name=name)
    return float(subprocess.run([python, "-c", text], check=True, capture_output=True, text=True).stdout)


def count(python, name, rounds):
    text = COUNT.format(here=str(HERE), name=name, rounds=rounds)
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", python, "-c", text]
    # The same dictionaries in every run: what two runs have in common falls out only if they have it in common.
    same = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=same)
    return int(re.search(r"Collected : (\d+)", done.stderr).group(1))


def instructions_of(python, name):
    """Instructions a round: those of twice as many rounds less those of as many."""
    return (count(python, name, 2 * ROUNDS) - count(python, name, ROUNDS)) / ROUNDS


def compare(ours, peer, name, instructions, turns):
    """Both numbers and their ratio."""
    if instructions:
        pair = instructions_of(ours, name), instructions_of(peer, name)
        return *pair, pair[0] / pair[1]
    pairs = [(time_of(ours, name), time_of(peer, name)) for _ in range(turns if name != "memory" else 1)]
    mine, theirs = (min(side) for side in zip(*pairs))
    return mine, theirs, statistics.median(a / b for a, b in pairs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs="+", metavar="PYTHON")
    parser.add_argument("--instructions", action="store_true")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--json", help="a file for the numbers")
    parser.add_argument("--only", help="workloads, separated by commas")
    arguments = parser.parse_args()
    pairs = list(zip(arguments.pythons[::2], arguments.pythons[1::2], strict=True))
    sys.path.insert(0, str(HERE))
    source = (HERE / "workloads.py").read_text()
    names = re.findall(r"\w+", re.search(r"^ALL = \[(.*)\]$", source, re.M).group(1))
    if not arguments.instructions:
        names.append("memory")
    if arguments.only:
        names = [name for name in names if name in arguments.only.split(",")]
    version = "import sys; print('.'.join(map(str, sys.version_info[:3])))"
    versions = [subprocess.run([ours, "-c", version], check=True, capture_output=True, text=True).stdout.strip() for ours, _ in pairs]
    print("| " + " | ".join(["instructions a round" if arguments.instructions else "ns a round", *versions]) + " |")
    print("| --- |" + " ---: |" * len(pairs))
    results = []
    for name in names:
        cells = []
        for (ours, peer), version in zip(pairs, versions):
            mine, theirs, ratio = compare(ours, peer, name, arguments.instructions, arguments.turns)
            unit = "instructions" if arguments.instructions else "bytes" if name == "memory" else "ns"
            results.append({"version": version, "name": name, "unit": unit, "ours": mine, "reference": theirs, "ratio": ratio})
            cells.append(f"{mine:,.0f} / {theirs:,.0f} = {ratio:.2f}")
        print("| " + " | ".join([name, *cells]) + " |", flush=True)
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
