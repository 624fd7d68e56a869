"""The soak, for a moment: all is flat; and a leak that is made on purpose is told."""

import os
import subprocess
import sys

SOAK = os.path.join(os.path.dirname(__file__), "..", "soak", "gevent_soak.py")


def soak(*options):
    command = [sys.executable, "-X", "faulthandler", SOAK, "--share", "0.6", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_nothing_grows():
    done = soak("--seconds", "20", "--samples", "20")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "GROWS" not in done.stdout and done.stdout.count("flat") >= 6, done.stdout


def test_a_leak_is_told():
    done = soak("--seconds", "10", "--samples", "10", "--leak", "20")
    assert done.returncode == 1, done.stdout + done.stderr
    lines = {line.split("  ")[0]: line for line in done.stdout.splitlines()}
    assert lines["greenlets"].endswith("GROWS"), done.stdout
    assert lines["open handles"].endswith("flat"), done.stdout
