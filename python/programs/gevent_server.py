"""A gevent server that answers real requests under load: clients and server in one process, every answer checked."""

import hashlib
import http.client
import random
import socket

import gevent
import gevent.event
import gevent.local
import gevent.monkey
import gevent.pool
import gevent.queue
import gevent.timeout
from gevent.pywsgi import WSGIServer

CLIENTS = 60
REQUESTS = 25

local = gevent.local.local()


def application(environ, start_response):
    """Answers the digest of what was posted, in pieces, with waits at every point where one can wait."""
    local.path = environ["PATH_INFO"]
    digest = hashlib.sha256()
    source = environ["wsgi.input"]
    while piece := source.read(1000):
        digest.update(piece)
        if len(piece) % 7 == 0:
            gevent.sleep(0)
    if local.path.endswith("/slow"):
        gevent.sleep(0.002)
    if local.path.endswith("/pool"):
        extra = gevent.get_hub().threadpool.apply(sum, [range(1000)])
        assert extra == 499500
    if local.path.endswith("/error"):
        raise KeyError("asked for")
    # Nobody else's request may be seen here, after all those waits.
    assert local.path == environ["PATH_INFO"]
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Path", local.path)])
    text = digest.hexdigest().encode()
    yield text[:32]
    gevent.sleep(0)
    yield text[32:]


def client(port, number):
    """How many answers were right; of one connection that is kept."""
    chance = random.Random(number)
    connection = http.client.HTTPConnection("127.0.0.1", port)
    right = 0
    for i in range(REQUESTS):
        body = chance.randbytes(chance.choice([0, 10, 999, 5000, 40000]))
        kind = chance.choice(["fast", "slow", "pool", "error"])
        path = f"/{number}/{i}/{kind}"
        connection.request("POST", path, body)
        answer = connection.getresponse()
        got = answer.read()
        if kind == "error":
            assert answer.status == 500
            connection.close()
        else:
            assert answer.status == 200 and answer.headers["X-Path"] == path
            assert got.decode() == hashlib.sha256(body).hexdigest()
        right += 1
    connection.close()
    return right


def serve():
    server = WSGIServer(("127.0.0.1", 0), application, log=None, error_log=None)
    server.start()
    pool = gevent.pool.Pool(CLIENTS)
    answers = pool.imap_unordered(lambda number: client(server.server_port, number), range(CLIENTS))
    right = sum(answers)
    server.stop()
    assert right == CLIENTS * REQUESTS
    return right


def kill_and_time_out():
    """Greenlets that are killed while they wait, and waits that are too long."""
    ended = []

    def wait():
        try:
            gevent.event.Event().wait()
        finally:
            ended.append(gevent.getcurrent())

    waiting = [gevent.spawn(wait) for _ in range(500)]
    gevent.sleep(0)
    gevent.killall(waiting)
    assert set(ended) == set(waiting) and all(isinstance(g.value, gevent.GreenletExit) for g in waiting)
    for _ in range(50):
        try:
            with gevent.Timeout(0.001):
                gevent.sleep(10)
        except gevent.Timeout:
            ended.append("timeout")
    assert ended.count("timeout") == 50


def hand_round():
    """A ring through which every number goes."""
    queues = [gevent.queue.Queue(1) for _ in range(50)]

    def pass_on(source, sink):
        for number in source:
            sink.put(number + 1)
        sink.put(StopIteration)

    ring = [gevent.spawn(pass_on, a, b) for a, b in zip(queues, queues[1:])]
    feeder = gevent.spawn(lambda: [queues[0].put(n) for n in [*range(100), StopIteration]])
    assert list(queues[-1]) == [n + 49 for n in range(100)]
    gevent.joinall([feeder, *ring], raise_error=True)


def in_native_threads():
    """A hub for each native thread, all at once."""
    results = []

    def work(number):
        jobs = [gevent.spawn(lambda i=i: gevent.sleep(0.001) or i) for i in range(100)]
        gevent.joinall(jobs, raise_error=True)
        results.append((number, sum(job.value for job in jobs)))
        gevent.get_hub().destroy(destroy_loop=True)

    start = gevent.monkey.get_original("_thread", "start_new_thread")
    for number in range(4):
        start(work, (number,))
    while len(results) < 4:
        gevent.sleep(0.01)
    assert sorted(results) == [(number, 4950) for number in range(4)]


if __name__ == "__main__":
    gevent.monkey.patch_all()
    assert socket.socket is not gevent.monkey.get_original("socket", "socket")
    right = serve()
    kill_and_time_out()
    hand_round()
    in_native_threads()
    print(f"{right} answers were right")
