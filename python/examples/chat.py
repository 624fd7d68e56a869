"""``chat.py [CONNECTIONS] [--timeline FILE]``: a chat server and so many clients, in blocking style, on one thread each.

The server has two greenlets for each connection. The clients check every line: who is in a room gets what is said there, complete,
unchanged, and in the order in which all others get it. ``chat.py serve HOST PORT`` is the server alone, until SIGINT or SIGTERM.
"""

import argparse
import random
import resource
import signal
import socket
import sys
import threading
import time
from collections import deque
from contextlib import nullcontext

from blocking import READ, Loop, Stream, Wait

LINE = 8 << 10  # bytes in a line
OUTBOX = 1 << 20  # bytes that may wait for one that does not read
IDLE = 60  # seconds that one may say nothing
LONG = 3600  # the same, where the clients are as slow as the machine is busy
GRACE = 5  # seconds for all to leave when the server stops
ROOM, MESSAGES = 10, 3  # what the clients do


class Outbox:
    """Lines on their way to one connection. Who puts one in never waits; the greenlet that writes them waits for the next."""

    def __init__(self, loop):
        self.loop, self.lines, self.bytes, self.closed, self.writer = loop, deque(), 0, False, None

    def push(self, line):
        """False if so much is waiting already that the other side does not seem to read."""
        if self.closed:
            return True
        self.lines.append(line)
        self.bytes += len(line)
        self._ring()
        return self.bytes <= OUTBOX

    def close(self):
        self.closed = True
        self._ring()

    def _ring(self):
        if self.writer is not None:
            self.loop.wake(self.writer)

    def take(self):
        """Waits for something. Empty if that was all."""
        while not self.lines and not self.closed:
            self.writer = Wait()
            self.loop.pause(self.writer)
            self.writer = None
        batch = b"".join(self.lines)
        self.lines.clear()
        self.bytes = 0
        return batch


class Member:
    def __init__(self, name, stream):
        self.name, self.stream, self.outbox, self.room = name, stream, Outbox(stream.loop), None


class Server:
    def __init__(self, loop, listener, stop, idle):
        self.loop, self.listener, self.stop, self.idle = loop, listener, stop, idle
        self.members, self.rooms, self.streams = {}, {}, set()
        self.stopping, self.connections, self.most, self.delivered = False, 0, 0, 0
        listener.setblocking(False)
        stop.setblocking(False)
        self.acceptor = loop.spawn(self.accept)
        loop.spawn(self.wait_for_stop)

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except BlockingIOError:
                self.loop.until_ready(self.listener, READ, None)
            except ConnectionAbortedError:
                pass
            except OSError as error:  # no descriptor is left: those in line are served when others have left
                print(f"chat: cannot accept now: {error}", file=sys.stderr)
                self.loop.sleep(0.1)
            else:
                self.loop.spawn(self.attend, Stream(self.loop, sock))

    def attend(self, stream):
        """One connection, from the first line to the last."""
        self.streams.add(stream)
        self.connections += 1
        self.most = max(self.most, len(self.streams))
        stream.timeout = self.idle
        try:
            if not self.stopping:
                self.talk(stream)
        except OSError:
            pass  # it went wrong with this one only
        finally:
            self.streams.discard(stream)
            stream.close()

    def talk(self, stream):
        while True:
            name = stream.readline(LINE)
            if name is None:
                return
            if not name.isidentifier():
                stream.sendall(b"* a name is a word\n")
            elif name in self.members:
                stream.sendall(b"* that name is taken\n")
            else:
                break
        member = self.members[name] = Member(name, stream)
        written = Wait()
        self.loop.spawn(self.write, member, written)
        try:
            self.tell(member, f"* welcome, {name}\n".encode())
            self.listen(member)
        except TimeoutError:
            self.tell(member, b"* you have said nothing for too long\n")
        except ValueError as error:  # too long, or no text
            self.tell(member, f"* {error}\n".encode())
        finally:
            self.leave(member)
            del self.members[name]
            member.outbox.close()
            if not written.over:
                self.loop.pause(written)
            # The other side reads what was sent last only if nothing that it has sent is thrown away unread.
            stream.timeout = 1
            while stream.recv(4096):
                pass

    def listen(self, member):
        while (line := member.stream.readline(LINE)) is not None:
            command, _, argument = line.partition(" ")
            if command == "/join" and argument:
                self.join(member, argument)
            elif command == "/who":
                here = ", ".join(other.name for other in self.rooms.get(member.room, ()))
                self.tell(member, f"* here: {here}\n".encode())
            elif command == "/quit":
                self.tell(member, b"* bye\n")
                return
            elif command.startswith("/"):
                self.tell(member, b"* /join ROOM, /who or /quit\n")
            elif member.room is None:
                self.tell(member, b"* /join a room first\n")
            else:
                self.tell_room(member.room, f"{member.name}: {line}\n")

    def write(self, member, written):
        """What is in the outbox, until that is closed."""
        try:
            while batch := member.outbox.take():
                member.stream.sendall(batch)
            member.stream.shutdown(socket.SHUT_WR)
        except OSError:
            member.stream.shutdown(socket.SHUT_RDWR)
        self.loop.wake(written)
        written.over = True

    def tell(self, member, line):
        self.delivered += 1
        if not member.outbox.push(line):
            # Its greenlets find that the connection is over. Memory for one that does not read has an end.
            member.outbox.close()
            member.outbox.lines.clear()
            member.stream.shutdown(socket.SHUT_RDWR)

    def tell_room(self, room, text):
        line = text.encode()
        for member in self.rooms.get(room, ()):
            self.tell(member, line)

    def join(self, member, room):
        self.leave(member)
        member.room = room
        here = self.rooms.setdefault(room, [])
        here.append(member)
        self.tell_room(room, f"* {member.name} joins {room} ({len(here)} here)\n")

    def leave(self, member):
        room, member.room = member.room, None
        if room is not None:
            here = self.rooms[room]
            here.remove(member)
            if not here:
                del self.rooms[room]
            elif not self.stopping:
                self.tell_room(room, f"* {member.name} leaves {room} ({len(here)} here)\n")

    def wait_for_stop(self):
        self.loop.until_ready(self.stop, READ, None)
        self.stopping = True
        self.loop.kill(self.acceptor)
        self.listener.close()
        for member in list(self.members.values()):
            self.tell(member, b"* the server stops\n")
        for stream in list(self.streams):
            stream.shutdown(socket.SHUT_RD)  # who reads finds the end, and leaves
        end = time.monotonic() + GRACE
        while self.streams and time.monotonic() < end:
            self.loop.sleep(0.01)
        for stream in list(self.streams):
            stream.shutdown(socket.SHUT_RDWR)


def message(who, which):
    """What somebody says: any reader can tell what it has to be."""
    dice = random.Random(who * 1000 + which)
    length = 3000 if dice.random() < 0.05 else dice.randrange(100)
    return f"{which} " + "".join(dice.choices("abcdefghij \u03bb", k=length)) + "."


class Clients:
    """All are connected before the first one says something."""

    def __init__(self, loop, address, connections):
        self.loop, self.address, self.connections = loop, address, connections
        self.gate, self.open, self.orders, self.checked = [], False, {}, 0
        loop.spawn(self.begin)

    def begin(self):
        for number in range(self.connections):
            self.loop.spawn(self.talk, number, Stream.connect(self.loop, self.address, LONG))
        self.open = True
        for wait in self.gate:
            self.loop.wake(wait)

    def talk(self, number, stream):
        room = number // ROOM
        company = min(ROOM, self.connections - room * ROOM)

        def say(text):
            stream.sendall(f"{text}\n".encode())

        def hear():
            line = stream.readline(4 * LINE)
            assert line is not None, f"c{number}: the end"
            return line

        say(f"c{number}")
        assert hear() == f"* welcome, c{number}"
        if not self.open:
            self.gate.append(Wait())
            self.loop.pause(self.gate[-1])
        say(f"/join r{room}")
        while not (line := hear()).endswith(f" joins r{room} ({company} here)"):
            assert line.startswith("* c") and " joins " in line, line

        order, got, of = self.orders.setdefault(room, []), 0, [0] * ROOM

        def check():
            nonlocal got
            line = hear()
            who, _, text = line.partition(": ")
            who = int(who.removeprefix("c"))
            assert who // ROOM == room, line
            which = of[who % ROOM]
            assert text == message(who, which), line
            if got == len(order):
                order.append((who, which))
            assert order[got] == (who, which), f"c{number} hears c{who} where others heard c{order[got][0]}"
            of[who % ROOM] += 1
            got += 1

        for which in range(MESSAGES):
            say(message(number, which))
            while of[number % ROOM] <= which:
                check()
        while got < company * MESSAGES:
            check()
        say("/quit")
        while (line := hear()) != "* bye":
            assert " leaves " in line, line
        assert stream.readline(LINE) is None
        stream.close()
        self.checked += got


def allow(connections):
    """Raises the limit of descriptors for that many connections, if it has to be raised."""
    need = connections + 32
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < need:
        if hard != resource.RLIM_INFINITY and hard < need:
            raise SystemExit(
                f"chat: {connections} connections need {need} file descriptors, and this process may have {hard}: "
                f"ask for fewer connections, or raise the hard limit (`ulimit -Hn {need}`, as root)"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))


def serve(listener, stop, served, idle, timeline=None):
    with timeline or nullcontext():
        loop = Loop()
        server = Server(loop, listener, stop, idle)
        if timeline:
            timeline.name(server.acceptor, "acceptor")
        loop.run()
    served.append(server)


def both(connections, file):
    allow(2 * connections)
    timeline = None
    if file:
        from greenlet.timeline import Timeline

        timeline = Timeline()
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    stop, stopped = socket.socketpair()
    served = []
    thread = threading.Thread(target=serve, args=(listener, stopped, served, LONG, timeline), name="server")
    thread.start()
    begin = time.monotonic()
    try:
        with timeline or nullcontext():
            loop = Loop()
            clients = Clients(loop, listener.getsockname(), connections)
            loop.run()
    finally:
        stop.close()
        thread.join()
    took = time.monotonic() - begin
    if timeline:
        timeline.save(file)
        print(f"the timeline is in {file}")
    (server,) = served
    print(f"served {server.connections} connections on one thread, {server.most} of them at once")
    full, last = divmod(connections, ROOM)
    expected = (full * ROOM * ROOM + last * last) * MESSAGES
    assert server.most == connections and not server.members and not server.rooms and not server.streams
    assert clients.checked == expected, f"{clients.checked} lines instead of {expected}"
    print(f"{clients.checked} lines on {connections} connections in {took:.1f} s: all of them were right")


def alone(host, port):
    allow(10_000)
    signalled, stop = socket.socketpair()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: signalled.send(b"."))
    listener = socket.create_server((host, int(port)), backlog=1024)
    print("listening on {}:{}".format(*listener.getsockname()), flush=True)
    served = []
    serve(listener, stop, served, IDLE)
    print(f"served {served[0].connections} connections on one thread, {served[0].most} of them at once")


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"] and len(sys.argv) == 4:
        alone(*sys.argv[2:])
    else:
        parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("connections", nargs="?", type=int, default=2000)
        parser.add_argument("--timeline", metavar="FILE")
        options = parser.parse_args()
        both(options.connections, options.timeline)
