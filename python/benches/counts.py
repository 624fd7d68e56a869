#!/usr/bin/env python3
"""Instructions of the extension's own code on its hot paths, and a guard against their growth.

    counts.py PYTHON            what each function of ours costs, per round of each workload (a table)
    counts.py PYTHON --check    compares with counts.json; status 1 if a path has grown by more than 3 %
    counts.py PYTHON --record   writes what is measured there

PYTHON is an interpreter that has our wheel. Counted are only instructions in the extension's own file (callgrind), those
of twice as many rounds less those of as many: so neither time nor the interpreter's start is in it, and the same build gives
the same number again. Counts belong to a version of CPython, a machine (x86_64) and a compiler; where counts.json has none for
the version there is nothing to check, and it says so.
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
ROUNDS = 500
GROWTH = 1.03
ENVIRONMENT = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "PATH": "/usr/local/bin:/usr/bin:/bin"}

PROGRAM = """
import os, sys
sys.path.insert(0, {here!r})
import workloads
rounds = workloads.BY_NAME[{name!r}]()
rounds(50)
rounds({rounds})
os._exit(0)
"""


def profile(python, name, rounds):
    """Instructions by (object file, function), without what they call."""
    program = PROGRAM.format(here=str(HERE), name=name, rounds=rounds)
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


def measure(python, name):
    """Instructions a round by (file, function)."""
    few, many = profile(python, name, ROUNDS), profile(python, name, 2 * ROUNDS)
    return {key: (many[key] - few[key]) / ROUNDS for key in many if many[key] != few[key]}


def ours(costs):
    return round(sum(cost for (file, _), cost in costs.items() if "/greenlet/_greenlet." in file), 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--compiler", help="what built the wheel, where there is none: `rustc 1.96`")
    arguments = parser.parse_args()
    asked = "import sys, platform; print('%d.%d' % sys.version_info[:2], platform.machine())"
    version = subprocess.run([arguments.python, "-c", asked], check=True, capture_output=True, text=True).stdout.strip()
    compiler = arguments.compiler
    if not compiler:
        rustc = subprocess.run(["rustc", "-V"], check=True, capture_output=True, text=True).stdout.split()[1]
        compiler = "rustc " + ".".join(rustc.split(".")[:2])
    recorded = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    if arguments.check and (recorded.get("compiler") != compiler or version not in recorded):
        print(f"no counts are recorded for {version} and {compiler}: nothing to check")
        return 0
    measured, grown = {}, []
    for name in PATHS:
        costs = measure(arguments.python, name)
        measured[name] = ours(costs)
        if arguments.check:
            before = recorded[version][name]
            good = measured[name] <= before * GROWTH
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
        if recorded.get("compiler") != compiler:
            recorded = {"compiler": compiler}  # another compiler's say nothing about this one's
        recorded[version] = measured
        RECORD.write_text(json.dumps(recorded, indent=2, sort_keys=True) + "\n")
    if grown:
        print(f"grown by more than 3 %: {', '.join(grown)}. If that is meant, `--record` it and say why in the commit.")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
