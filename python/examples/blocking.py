"""Sockets whose operations wait as blocking ones do, except that only the greenlet waits: a loop on ``selectors``.

The thread's main greenlet is the hub. It asks the kernel which sockets are ready, and switches to who waits for them; who has
to wait switches back to it. It must never know what is sent.
"""

import heapq
import itertools
import selectors
import socket
import time
from collections import deque

from greenlet import getcurrent, greenlet

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
# So many operations in a row may succeed at once before the others have their turn.
IN_A_ROW = 32


class Wait:
    """One greenlet that waits once."""

    __slots__ = ("greenlet", "deadline", "over", "timed_out")

    def __init__(self, deadline=None):
        self.greenlet = getcurrent()
        self.deadline = deadline
        self.over = self.timed_out = False


class Loop:
    def __init__(self):
        self.hub = getcurrent()
        self._selector = selectors.DefaultSelector()
        self._ready = deque()
        self._sleeping = []  # a heap: when, a number to tell apart what is over at the same time, and the wait
        self._timers = 0  # how many of those are not over
        self._numbers = itertools.count()

    def spawn(self, function, *args):
        """A greenlet that will run ``function``. What it raises, ``run`` raises."""
        made = greenlet(function, self.hub)  # whoever spawns: it goes to the hub when it is over
        self._ready.append((made, args))
        return made

    def kill(self, other):
        """Ends a greenlet that waits: its ``finally`` blocks are run now."""
        other.parent = getcurrent()  # else it would go to the hub at its end, and nobody would come back here
        other.throw()

    def turn(self):
        """Lets all others that are ready run."""
        self._ready.append((getcurrent(), ()))
        self.hub.switch()

    def pause(self, wait):
        """Suspends the current greenlet until somebody calls ``wake`` with this. False if its time was over before."""
        if wait.deadline is not None:
            self._timers += 1
            heapq.heappush(self._sleeping, (wait.deadline, next(self._numbers), wait))
        try:
            self.hub.switch()
        finally:
            wait.over = True  # it may have been killed
            if wait.deadline is not None:
                self._timers -= 1
        return not wait.timed_out

    def wake(self, wait):
        if not wait.over:
            wait.over = True
            self._ready.append((wait.greenlet, ()))

    def sleep(self, seconds):
        self.pause(Wait(time.monotonic() + seconds))

    def until_ready(self, sock, event, timeout):
        """Suspends the current greenlet until ``sock`` may be ready."""
        wait = Wait(None if timeout is None else time.monotonic() + timeout)
        try:
            waits = self._selector.get_key(sock).data
            waits[event] = wait
            self._selector.modify(sock, READ | WRITE, waits)
        except KeyError:
            waits = {event: wait}
            self._selector.register(sock, event, waits)
        try:
            in_time = self.pause(wait)
        finally:
            del waits[event]
            if not waits:
                self._selector.unregister(sock)
            else:
                self._selector.modify(sock, *waits, waits)
        if not in_time:
            raise TimeoutError("the other side took too long")

    def run(self):
        """Lets greenlets run as long as one is ready, sleeps, or waits for a socket. To be called in the hub."""
        while True:
            for _ in range(len(self._ready)):
                next_one, args = self._ready.popleft()
                if not next_one.dead:
                    next_one.switch(*args)
            if not (self._ready or self._timers or self._selector.get_map()):
                return
            for key, events in self._selector.select(self._timeout()):
                for event, wait in key.data.items():
                    if events & event:
                        self.wake(wait)
            while self._sleeping and (self._sleeping[0][2].over or self._sleeping[0][0] <= time.monotonic()):
                wait = heapq.heappop(self._sleeping)[2]
                wait.timed_out = not wait.over
                self.wake(wait)
            if len(self._sleeping) > 2 * self._timers + 1000:  # most were woken before their time
                self._sleeping = [entry for entry in self._sleeping if not entry[2].over]
                heapq.heapify(self._sleeping)

    def _timeout(self):
        if self._ready:
            return 0
        return max(0, self._sleeping[0][0] - time.monotonic()) if self._sleeping else None


class Stream:
    """A connection. One greenlet may read while another one writes."""

    def __init__(self, loop, sock):
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.loop, self.sock, self.timeout = loop, sock, None
        self._buffer = bytearray()
        self._in_a_row = 0

    @classmethod
    def connect(cls, loop, address, timeout):
        stream = cls(loop, socket.socket())
        stream.timeout = timeout
        try:
            stream.sock.connect(address)
        except BlockingIOError:
            loop.until_ready(stream.sock, WRITE, timeout)
            error = stream.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, "cannot connect") from None
        return stream

    def _when_ready(self, event, operation, argument):
        while True:
            try:
                result = operation(argument)
            except BlockingIOError:
                self._in_a_row = 0
                self.loop.until_ready(self.sock, event, self.timeout)
            else:
                self._in_a_row += 1
                if self._in_a_row == IN_A_ROW:
                    self._in_a_row = 0
                    self.loop.turn()
                return result

    def recv(self, most):
        return self._when_ready(READ, self.sock.recv, most)

    def readline(self, most):
        """The next line, without its end. ``None`` where there is none: what is not complete does not count."""
        begin = 0
        while (end := self._buffer.find(b"\n", begin)) < 0:
            if len(self._buffer) > most:
                raise ValueError(f"a line has at most {most} bytes")
            begin = len(self._buffer)
            received = self.recv(4096)
            if not received:
                return None
            self._buffer += received
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.decode()

    def sendall(self, data):
        view = memoryview(data)
        while view:
            view = view[self._when_ready(WRITE, self.sock.send, view) :]

    def shutdown(self, how):
        try:
            self.sock.shutdown(how)
        except OSError:
            pass  # the other side was faster

    def close(self):
        self.sock.close()
