"""An eventlet server and its clients in one process: every answer checked."""

import eventlet

eventlet.monkey_patch()

import http.client  # noqa: E402
import json  # noqa: E402
import queue  # noqa: E402
import threading  # noqa: E402

import eventlet.wsgi  # noqa: E402
from eventlet.green import socket  # noqa: E402

CLIENTS = 40
REQUESTS = 15


def application(environ, start_response):
    asked = json.loads(environ["wsgi.input"].read())
    eventlet.sleep(asked["wait"])
    total = sum(asked["numbers"])
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"total": total, "client": asked["client"]}).encode()]


def client(port, number):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for i in range(REQUESTS):
        numbers = list(range(number, number + 50 * i))
        asked = {"client": number, "numbers": numbers, "wait": 0.001 * (i % 3)}
        connection.request("POST", "/", json.dumps(asked))
        answer = json.loads(connection.getresponse().read())
        assert answer == {"total": sum(numbers), "client": number}
    connection.close()
    return REQUESTS


def serve():
    listener = eventlet.listen(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = eventlet.spawn(eventlet.wsgi.server, listener, application, log_output=False)
    pool = eventlet.GreenPool(CLIENTS)
    right = sum(pool.imap(lambda number: client(port, number), range(CLIENTS)))
    server.kill()
    assert right == CLIENTS * REQUESTS
    return right


def threads_and_queues():
    """The standard library's threads and queues are green ones after the monkey patch."""
    jobs, results = queue.Queue(), queue.Queue()

    def work():
        while (job := jobs.get()) is not None:
            eventlet.sleep(0)
            results.put(job * job)

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for i in range(200):
        jobs.put(i)
    for worker in workers:
        jobs.put(None)
    for worker in workers:
        worker.join()
    assert sorted(results.get() for _ in range(200)) == [i * i for i in range(200)]


def echo_and_time_out():
    """Sockets, and a wait that is too long."""
    here, there = socket.socketpair()

    def echo():
        while data := there.recv(100):
            there.sendall(data.upper())

    echoing = eventlet.spawn(echo)
    for i in range(100):
        here.sendall(f"line {i}".encode())
        assert here.recv(100) == f"LINE {i}".encode()
    try:
        with eventlet.Timeout(0.01):
            here.recv(1)
        raise AssertionError("no timeout")
    except eventlet.Timeout:
        pass
    here.close()
    echoing.wait()
    there.close()


if __name__ == "__main__":
    right = serve()
    threads_and_queues()
    echo_and_time_out()
    print(f"{right} answers were right")
