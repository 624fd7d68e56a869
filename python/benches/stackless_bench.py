#!/usr/bin/env python3
"""One send and one receive between two tasklets: `greenlet.stackless`, against the same API in Python on the reference.

    stackless_bench.py OURS PEER [--callgrind]

OURS is an interpreter that has our wheel, PEER one of the same version that has the reference (greenlet 3.5.6), which runs
`stackless_python.py`. Each is timed five times, in turn, and the best of each counts. With --callgrind instructions of the whole
process are counted instead, those of twice as many rounds less those of as many. Status 1 if ours is not three times as good.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
WANTED = 3.0

PROGRAM = """
import sys, time
sys.path.insert(0, {here!r})
{imports}

def rounds(n):
    c = stackless.channel()
    def sender():
        send = c.send
        for i in range(n):
            send(i)
    def receiver():
        receive = c.receive
        total = 0
        for i in range(n):
            total += receive()
        sums.append(total)
    sums = []
    stackless.tasklet(sender)()
    stackless.tasklet(receiver)()
    begin = time.perf_counter()
    stackless.run()
    took = time.perf_counter() - begin
    assert sums == [n * (n - 1) // 2]
    return took

rounds(1000)
print(rounds({rounds}) / {rounds})
"""
IMPORTS = {
    "ours": "from greenlet import stackless",
    "peer": "import greenlet, stackless_python as stackless; assert greenlet.__version__ == '3.5.6'",
}


def program(side, rounds):
    return PROGRAM.format(here=str(HERE), imports=IMPORTS[side], rounds=rounds)


def seconds(side, python):
    out = subprocess.run([python, "-c", program(side, 300_000)], check=True, capture_output=True, text=True).stdout
    return float(out)


def instructions(side, python):
    def total(rounds):
        with tempfile.NamedTemporaryFile() as out:
            tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out.name}"]
            subprocess.run([*tool, python, "-c", program(side, rounds)], check=True, capture_output=True)
            return int(re.search(r"^summary: (\d+)", pathlib.Path(out.name).read_text(), re.MULTILINE)[1])

    return (total(4000) - total(2000)) / 2000


def main():
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    if len(words) != 2:
        sys.exit(__doc__)
    pythons = dict(zip(("ours", "peer"), words))
    if "--callgrind" in sys.argv:
        found = {side: instructions(side, python) for side, python in pythons.items()}
        unit = "instructions"
    else:
        runs = {side: [] for side in pythons}
        for _ in range(5):
            for side, python in pythons.items():
                runs[side].append(seconds(side, python) * 1e9)
        found, unit = {side: min(times) for side, times in runs.items()}, "ns"
    ratio = found["peer"] / found["ours"]
    for side, number in found.items():
        print(f"{side:5} {number:9.0f} {unit} per send + receive")
    print(f"ratio {ratio:9.1f}  {'ok' if ratio >= WANTED else 'TOO LITTLE'}")
    sys.exit(ratio < WANTED)


if __name__ == "__main__":
    main()
