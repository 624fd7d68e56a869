"""The programs in ``python/examples``: each ends well, and says that what it has checked itself was right."""

import os
import signal
import socket
import subprocess
import sys

import pytest

FOLDER = os.path.join(os.path.dirname(__file__), "..", "examples")
# By the arguments with which they are run.
PROGRAMS = {"chat": ["2000"], "generators": [], "pipeline": []}
# What they share.
MODULES = {"blocking"}


def command(program, *arguments):
    return [sys.executable, "-X", "faulthandler", os.path.join(FOLDER, program + ".py"), *arguments]


def test_every_program_is_run():
    here = {name[:-3] for name in os.listdir(FOLDER) if name.endswith(".py")}
    assert here == set(PROGRAMS) | MODULES


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(program):
    run = subprocess.run(command(program, *PROGRAMS[program]), capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.splitlines()[-1].endswith("were right"), run.stdout + run.stderr


@pytest.fixture
def chat():
    """The chat server as a program of its own, and how to talk to it with sockets that block."""
    with subprocess.Popen(command("chat", "serve", "127.0.0.1", "0"), stdout=subprocess.PIPE, text=True) as server:
        host, _, port = server.stdout.readline().removeprefix("listening on ").partition(":")
        people = []

        def person(name):
            people.append(socket.create_connection((host, int(port))))
            people[-1].sendall(f"{name}\n".encode())
            return people[-1].makefile("rw", encoding="utf-8", newline="\n")

        def say(who, line):
            who.write(line + "\n")
            who.flush()

        yield server, person, say
        server.kill()
        for sock in people:
            sock.close()


def test_a_room_hears_who_comes_speaks_and_goes(chat):
    server, person, say = chat
    ada, bob = person("ada"), person("bob")
    for who, name in ((ada, "ada"), (bob, "bob")):
        assert who.readline() == f"* welcome, {name}\n"
    say(ada, "hello?")
    assert ada.readline() == "* /join a room first\n"
    say(ada, "/join engines")
    assert ada.readline() == "* ada joins engines (1 here)\n"
    say(bob, "/join engines")
    assert ada.readline() == bob.readline() == "* bob joins engines (2 here)\n"
    say(ada, "note G \u03bb")
    assert ada.readline() == bob.readline() == "ada: note G \u03bb\n"
    say(bob, "/quit")
    assert bob.readline() == "* bye\n" and bob.readline() == ""
    assert ada.readline() == "* bob leaves engines (1 here)\n"
    other = person("ada")
    assert other.readline() == "* that name is taken\n"
    say(ada, "x" * 20_000)
    assert ada.readline() == "* a line has at most 8192 bytes\n" and ada.readline() == ""
    say(other, "ada")
    assert other.readline() == "* welcome, ada\n"

    server.send_signal(signal.SIGINT)
    assert other.readline() == "* the server stops\n" and other.readline() == ""
    assert server.wait() == 0
    assert server.stdout.read() == "served 3 connections on one thread, 3 of them at once\n"


def test_more_connections_than_the_process_may_have_are_refused_with_a_sentence():
    limited = ["sh", "-c", 'ulimit -n 100; exec "$@"', "sh", *command("chat", "1000")]
    run = subprocess.run(limited, capture_output=True, text=True)
    assert run.returncode == 1
    start = "chat: 2000 connections need 2032 file descriptors, and this process may have 100: "
    assert run.stderr.startswith(start), run.stderr
