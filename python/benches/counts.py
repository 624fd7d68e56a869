#!/usr/bin/env python3
"""Instructions of the extension's own code on its hot paths, and a guard against their growth.

    counts.py PYTHON            what each function of ours costs, per round of each workload (a table)
    counts.py PYTHON --check    compares with counts.json; status 1 if a path has grown by more than 3 %
    counts.py PYTHON --record   writes what is measured there

PYTHON is an interpreter that has our wheel. Counted are only instructions in the extension's own file (callgrind), those
of twice as many rounds of a path less those of as many: so neither time nor the interpreter's start is in it, and the same build gives
the same number again. Counts belong to a compiler, a version of CPython and a machine (x86_64); where counts.json has none there
is nothing to check, and it says so. Another build of the same version may have larger frames; what it costs to copy
those is allowed for, by the size of a small greenlet's slice.
"""

import argparse
import collections
import json
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
RECORD = HERE / "counts.json"
PATHS = ["switch_noarg", "switch_value", "switch_peers", "switch_deep", "throw", "create", "generator"]
ROUNDS = 200
GROWTH = 1.03
COPY = 0.3  # instructions that it takes at most to copy a byte out and in again
ENVIRONMENT = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "PATH": "/usr/local/bin:/usr/bin:/bin"}

PROGRAM = """
import os, sys
sys.path.insert(0, {here!r})
import workloads
for name, n in {rounds!r}.items():
    rounds = workloads.BY_NAME[name]()
    rounds(50)
    rounds(n)
os._exit(0)
"""

ABOUT = """
import platform, sys
from greenlet import getcurrent, greenlet
g = greenlet(lambda main=getcurrent(): main.switch())
g.switch()
print('%d.%d' % sys.version_info[:2], platform.machine())
print(sys.version.split()[0], '[' + platform.python_compiler() + ']')
print(g._stack_saved)
"""


def profile(python, longer=None):
    """Instructions by (object file, function), without what they call, of all paths in one process: most of what such a run
    takes is the interpreter's start. One path may be run twice as long."""
    rounds = {name: ROUNDS * (2 if name == longer else 1) for name in PATHS}
    program = PROGRAM.format(here=str(HERE), rounds=rounds)
    with tempfile.NamedTemporaryFile() as out:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out.name}", python, "-c", program]
        subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT)
        return self_costs(pathlib.Path(out.name).read_text())


def self_costs(text):
    """Adds up a callgrind file: names are given once and then by number, and the line after `calls=` is what was called."""
    names = {"ob": {}, "fn": {}}
    at = {"ob": "?", "fn": "?"}
    costs = collections.Counter()
    called = False
    for line in text.splitlines():
        if match := re.match(r"c?(ob|fn)=\((\d+)\)(?: (.*))?", line):
            kind, number, name = match.groups()
            if name:
                names[kind][number] = name
            if not line.startswith("c"):
                at[kind] = names[kind][number]
        elif line.startswith("calls="):
            called = True
        elif line[:1] in tuple("0123456789+-*"):
            if called:
                called = False
            else:
                costs[at["ob"], re.sub(r"'\d+$", "", at["fn"])] += int(line.split()[1])
    return costs


def measure(python):
    """For each path instructions a round by (file, function)."""
    base = profile(python)
    for name in PATHS:
        more = profile(python, name)
        yield name, {key: (more[key] - base[key]) / ROUNDS for key in more if more[key] != base[key]}


def ours(costs):
    return round(sum(cost for (file, _), cost in costs.items() if "/greenlet/_greenlet." in file), 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--compiler", help="what built the wheel, where there is none: `rustc 1.96`")
    arguments = parser.parse_args()
    about = subprocess.run([arguments.python, "-c", ABOUT], check=True, capture_output=True, text=True).stdout
    version, build, slice_size = about.splitlines()
    compiler = arguments.compiler
    if not compiler:
        rustc = subprocess.run(["rustc", "-V"], check=True, capture_output=True, text=True).stdout.split()[1]
        compiler = "rustc " + ".".join(rustc.split(".")[:2])
    recorded = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    entry = recorded.get(compiler, {}).get(version)
    allowed = 0
    if arguments.check:
        if not entry:
            print(f"{RECORD.name} has nothing for CPython {version} and {compiler}")
            return 0
        if build != entry["build"]:
            allowed = max(0, int(slice_size) - entry["slice"]) * COPY
            print(f"recorded with CPython {entry['build']}, this is {build}: {allowed:.0f} more are allowed for its frames")
    measured, grown = {}, []
    for name, costs in measure(arguments.python):
        measured[name] = ours(costs)
        if arguments.check:
            before = entry["paths"][name]
            good = measured[name] <= before * GROWTH + allowed
            print(f"{name:14} {measured[name]:10,.1f}  recorded {before:10,.1f}  {'ok' if good else 'GROWN'}", flush=True)
            if not good:
                grown.append(name)
        else:
            total = sum(costs.values())
            print(f"{name}: {measured[name]:,.1f} of ours, {total:,.1f} in all", flush=True)
            for (file, function), cost in sorted(costs.items(), key=lambda item: -item[1]):
                if cost >= 1:
                    print(f"  {cost:10,.1f}  {function}  ({pathlib.Path(file).name.split('.')[0]})")
    if arguments.record:
        recorded.setdefault(compiler, {})[version] = {"build": build, "slice": int(slice_size), "paths": measured}
        RECORD.write_text(json.dumps(recorded, indent=2, sort_keys=True) + "\n")
    if grown:
        print(f"grown by more than 3 %: {', '.join(grown)}. If that is meant, `--record` it and say why in the commit.")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
