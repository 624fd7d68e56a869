"""Programs of tasklets, and a model of their scheduler: who runs next, who gets what and who is in which queue is always the same.

`test_stackless_model.py` makes programs with hypothesis, `fuzz/targets/python.rs` out of bytes.
"""

from greenlet import stackless

CHANNELS = 2
TASKS = 5

class Model:
    """The rules of the scheduler, said once more, in the plainest way: lists, the current one first."""

    def __init__(self, scripts, channels):
        self.scripts = [list(script) for script in scripts]
        self.channels = channels
        self.waiting = [[] for _ in channels]  # (task, "send" or "receive")
        self.message = [None] * TASKS  # what a task has to send, or gets
        self.ring = list(range(TASKS))
        self.begun, self.dead, self.killed = set(), set(), set()
        self.then = [None] * TASKS  # what is noted when a task goes on
        self.log = []

    def where(self, t):
        if t in self.dead:
            return "dead"
        if t in self.ring:
            return "ring"
        return "blocked" if any(t == other for queue in self.waiting for other, _ in queue) else "paused"

    def jump(self, t):
        at = self.ring.index(t)
        self.ring = self.ring[at:] + self.ring[:at]

    def leave(self, t):
        """Out of a channel's queue, or of the ring if it is not the current one."""
        for queue in self.waiting:
            queue[:] = [entry for entry in queue if entry[0] != t]

    def run(self):
        while self.ring:
            me = self.ring[0]
            if me in self.killed:
                if me in self.begun:
                    self.log.append((me, "killed"))
                self.end(me)
                continue
            self.begun.add(me)
            if self.then[me]:
                step, self.then[me] = self.then[me], None
                self.log.append((me, step, self.message[me]))
                self.message[me] = None
            if not self.scripts[me]:
                self.log.append((me, "end"))
                self.end(me)
                continue
            self.do(me, self.scripts[me].pop(0))
        return self.log

    def end(self, me):
        self.ring.pop(0)
        self.dead.add(me)

    def do(self, me, step):
        self.then[me] = step[0]
        self.message[me] = None
        kind = step[0]
        if kind == "schedule":
            self.ring.append(self.ring.pop(0))
        elif kind == "pause":
            self.ring.pop(0)
        elif kind in ("send", "receive"):
            self.meet(me, kind, step[1])
        else:
            self.other(me, kind, step[1])

    def meet(self, me, kind, number):
        queue = self.waiting[number]
        preference, schedule_all = self.channels[number]
        value = (me, len(self.scripts[me])) if kind == "send" else None
        if not queue or queue[0][1] == kind:
            self.message[me] = value
            self.ring.pop(0)
            queue.append((me, kind))
            return
        other, _ = queue.pop(0)
        if kind == "send":
            self.message[other] = value
        else:
            self.message[me], self.message[other] = self.message[other], None
        if schedule_all:
            self.ring.append(other)
            self.ring.append(self.ring.pop(0))
        elif preference == (-1 if kind == "send" else 1):
            self.ring.insert(1, other)
            self.ring.append(self.ring.pop(0))
        else:
            self.ring.append(other)

    def other(self, me, kind, t):
        place = self.where(t)
        refused = (
            place == "dead"
            if kind.startswith("kill")
            else place in ("dead", "blocked") or (kind == "remove" and t == me)
        )
        if kind == "remove" and place == "dead":
            refused = False
        if refused:
            # A kill of one that has ended does nothing; all else is an error.
            self.message[me] = None if kind.startswith("kill") else "refused"
            return
        if kind == "insert":
            if place == "paused":
                self.ring.append(t)
        elif kind == "remove":
            if place == "ring":
                self.ring.remove(t)
        elif kind == "run":
            if place == "paused":
                self.ring.append(t)
            self.jump(t)
        elif t == me:
            self.killed.add(t)
        elif kind == "kill" and t not in self.begun:
            if place == "ring":
                self.ring.remove(t)
            self.dead.add(t)
        else:
            self.killed.add(t)
            self.leave(t)
            if t not in self.ring:
                self.ring.append(t)
            if kind == "kill":
                self.jump(t)


def really(scripts, channels):
    log = []
    made = [stackless.channel() for _ in channels]
    for c, (preference, schedule_all) in zip(made, channels):
        c.preference, c.schedule_all = preference, schedule_all

    def work(me, script):
        script = list(script)
        try:
            while script:
                step = script.pop(0)
                log.append((me, step[0], perform(me, step, len(script))))
            log.append((me, "end"))
        except stackless.TaskletExit:
            log.append((me, "killed"))
            raise

    def perform(me, step, left):
        kind = step[0]
        if kind == "schedule":
            stackless.schedule(None)
        elif kind == "pause":
            stackless.schedule_remove(None)
        elif kind == "send":
            made[step[1]].send((me, left))
        elif kind == "receive":
            return made[step[1]].receive()
        else:
            target = tasks[step[1]]
            if kind.startswith("kill"):
                target.kill(pending=kind == "kill later")
            else:
                try:
                    getattr(target, kind)()
                except RuntimeError:
                    return "refused"

    tasks = [stackless.tasklet(work)(i, script) for i, script in enumerate(scripts)]
    stackless.run()
    state = [
        "dead" if not t.alive else "blocked" if t.blocked else "paused" if t.paused else "scheduled" for t in tasks
    ]
    queues = []
    for c in made:
        queue, at = [], c.queue
        while at is not None:
            queue.append(tasks.index(at))
            at = at.next
        queues.append((c.balance, queue))
    # Nothing is left of them.
    for t in tasks:
        t.kill()
        assert not t.alive
    assert stackless.getruncount() == 1 and all(c.balance == 0 for c in made)
    return log, state, queues


def compare(program):
    scripts, channels = program
    model = Model(scripts, channels)
    model.run()
    log, state, queues = really(scripts, channels)
    assert log[: len(model.log)] == model.log
    # What follows in the real log is the clean-up.
    assert state == [model.where(t) for t in range(TASKS)]
    expected = [
        (sum(1 if kind == "send" else -1 for _, kind in queue), [t for t, _ in queue]) for queue in model.waiting
    ]
    assert queues == expected
