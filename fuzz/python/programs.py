"""What `fuzz/targets/python.rs` calls: bytes are a program of greenlets or of tasklets, which is carried out and compared with the
models of `python/tests`. What it raises ends the fuzzer.

It must never know what a step means.
"""

import gc

import model_greenlets
import model_tasklets
import greenlet

assert "+rs." in greenlet.__version__, greenlet.__version__

MOST = 120
STEPS = ["send", "receive"] * 3 + ["schedule", "schedule", "pause", "insert", "remove", "run", "kill", "kill later"]
# What is there now is never garbage, and need not be looked at by each collection.
gc.collect()
gc.freeze()
gc.disable()
runs = 0


def one(data):
    global runs
    runs += 1
    if runs % 500 == 0:
        gc.collect()  # what tasklets leave in circles
    first = data[0] if data else 0
    if first % 4 == 3:
        tasklets(data)
    else:
        greenlets(data, first % 4)


def greenlets(data, begun):
    """Three bytes a step. So many greenlets are there at the start that a short program is one."""
    steps = [("create", name, name - 1, 0) for name in range(1, 2 + 2 * begun)]
    for i in range(1, min(len(data), 3 * MOST) - 2, 3):
        kind, names, how = data[i : i + 3]
        kind = model_greenlets.KINDS[kind % len(model_greenlets.KINDS)]
        a, b = names % 16 % model_greenlets.NAMES, names // 16 % model_greenlets.NAMES
        steps.append((kind, a, b, how % model_greenlets.HOWS))
    model_greenlets.compare(steps)


def tasklets(data):
    """A byte for each channel; then one a step: the task it belongs to, and what it is."""
    channels = [(each % 3 - 1, each % 4 == 3) for each in data[1 : 1 + model_tasklets.CHANNELS]]
    while len(channels) < model_tasklets.CHANNELS:
        channels.append((-1, False))
    scripts = [[] for _ in range(model_tasklets.TASKS)]
    rest = data[1 + model_tasklets.CHANNELS :][: 2 * MOST]
    for what, which in zip(rest[::2], rest[1::2]):
        kind = STEPS[what % len(STEPS)]
        script = scripts[which % model_tasklets.TASKS]
        which //= model_tasklets.TASKS
        if kind in ("send", "receive"):
            script.append((kind, which % model_tasklets.CHANNELS))
        elif kind in ("schedule", "pause"):
            script.append((kind,))
        else:
            script.append((kind, which % model_tasklets.TASKS))
    model_tasklets.compare((scripts, channels))
