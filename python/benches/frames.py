#!/usr/bin/env python3
"""How much memory for Python frames the greenlets of real programs use: what root chunks (`python/src/root.rs`) are judged by.

    frames.py PYTHON [PROGRAM ...]

PYTHON is an interpreter (3.11 or newer) that has what the programs need; the programs are those of `python/programs`, or files.
Each runs as it is, with a profiling function that adds up, at each call of a Python function in a greenlet other than
main, the frames on the data stack there (those of generators and coroutines lie elsewhere). Prints for each program, in bytes: the first
frame, the most that one greenlet ever used, and what it still used while it was suspended; as the median, the ninth decile and the
most of all greenlets; and how many greenlets would have fitted into root chunks of several sizes.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
SIZES = (512, 768, 1024, 2048, 4096, 8192, 16384)

PROGRAM = """
import atexit, json, os, runpy, sys, threading, weakref
import greenlet

WORD = 8
SPECIALS = 10 if sys.version_info >= (3, 14) else 9
ELSEWHERE = 0x20 | 0x80 | 0x200  # generators, coroutines, asynchronous generators
sizes, records, of = {{}}, [], weakref.WeakKeyDictionary()

def size_of(code):
    size = sizes.get(code)
    if size is None:
        cells = sum(name not in code.co_varnames for name in code.co_cellvars)
        slots = len(code.co_varnames) + cells + len(code.co_freevars) + code.co_stacksize + SPECIALS
        size = sizes[code] = 0 if code.co_flags & ELSEWHERE else slots * WORD
    return size

def used(frame):
    total = first = 0
    while frame is not None:
        first = size_of(frame.f_code)
        total += first
        frame = frame.f_back
    return total, first

def record_of(which):
    record = of.get(which)
    if record is None:
        record = of[which] = [0, 0, 0]
        records.append(record)
    return record

def profile(frame, event, argument):
    if event == "call":
        current = greenlet.getcurrent()
        if current.parent is not None:
            total, first = used(frame)
            record = record_of(current)
            record[0] = first
            record[1] = max(record[1], total)

def switched(event, who):
    origin, target = who
    if origin.parent is not None and (frame := origin.gr_frame) is not None:
        record = record_of(origin)
        record[2] = max(record[2], used(frame)[0])

def report():
    sys.setprofile(None)
    with open({out!r}, "w") as file:
        json.dump([record for record in records if record[1]], file)

atexit.register(report)
sys.argv = [{path!r}]
sys.path.insert(0, os.path.dirname({path!r}))
greenlet.settrace(switched)
threading.setprofile(profile)
sys.setprofile(profile)
runpy.run_path({path!r}, run_name="__main__")
"""


def sample(python, path):
    with tempfile.NamedTemporaryFile() as out:
        text = PROGRAM.format(path=str(path), out=out.name)
        subprocess.run([python, "-c", text], check=True, capture_output=True)
        return json.loads(pathlib.Path(out.name).read_text())


def spread(numbers):
    numbers = sorted(numbers)
    return " / ".join(f"{numbers[round(part * (len(numbers) - 1))]:,}" for part in (0.5, 0.9, 1))


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    python, *paths = sys.argv[1:]
    paths = paths or sorted(path for path in (HERE.parent / "programs").glob("*.py") if not path.name.startswith("test_"))
    print("| bytes: median / ninth decile / most | greenlets | first frame | most in use | suspended | " + " | ".join(f"fit {size:,}" for size in SIZES) + " |")
    print("| --- |" + " ---: |" * (4 + len(SIZES)))
    for path in map(pathlib.Path, paths):
        records = sample(python, path.resolve())
        if not records:
            sys.exit(f"{path}: no greenlet ran a Python function")
        first, most, suspended = zip(*records)
        fit = [f"{100 * sum(at <= size - 40 for at in most) / len(most):.0f} %" for size in SIZES]
        cells = [path.stem, f"{len(records):,}", spread(first), spread(most), spread([at for at in suspended if at] or [0]), *fit]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
