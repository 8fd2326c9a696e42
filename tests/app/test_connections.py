import socket
import threading
import time
from contextlib import closing, suppress

import anyio
import pytest
import uvicorn

from app.connections import ImpatientProtocol
from tests.running_service import wait_for


class Hasty(ImpatientProtocol):
    head_seconds = 0.3
    stall_seconds = 1.0


LARGE_BYTES = 12 * 2**20
"""More than the buffers between server and client hold."""


async def answer(scope, receive, send):
    """Answer every request, but not at once; at `/large` with much."""
    await anyio.sleep(2 * Hasty.head_seconds)
    body = bytes(LARGE_BYTES) if scope["path"] == "/large" else b"ok"
    length = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def address():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(answer, http=Hasty, lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        wait_for(lambda: server.started)
        yield listener.getsockname()
        server.should_exit = True
        thread.join()


@pytest.fixture
def connection(address):
    with closing(socket.create_connection(address, timeout=30)) as connection:
        yield connection


REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("head", [b"", b"GET / HTTP/1.1\r\nHost:"])
def test_closes_a_connection_whose_request_does_not_come(connection, head):
    connection.sendall(head)

    assert connection.recv(1000) == b""


def test_waits_for_the_answer_however_long_it_takes(connection):
    connection.sendall(REQUEST)

    assert connection.recv(1000).startswith(b"HTTP/1.1 200")


def test_closes_a_connection_whose_next_request_does_not_come(connection):
    connection.sendall(REQUEST)
    received = connection.recv(1000)
    while not received.endswith(b"ok"):
        received += connection.recv(1000)
    connection.sendall(REQUEST[:-2])

    assert connection.recv(1000) == b""


def received(connection, pause_seconds=0.0):
    """Return how many bytes come until the connection ends."""
    count = 0
    with suppress(ConnectionResetError):
        while piece := connection.recv(2**16):
            count += len(piece)
            time.sleep(pause_seconds)
    return count


def test_closes_a_connection_whose_client_takes_nothing(connection):
    connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    time.sleep(4 * Hasty.stall_seconds)

    assert received(connection) < LARGE_BYTES


def test_keeps_a_connection_whose_client_is_slow(connection):
    connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert received(connection, pause_seconds=0.015) > LARGE_BYTES
