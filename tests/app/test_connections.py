import socket
import threading
from contextlib import closing

import anyio
import pytest
import uvicorn

from app.connections import ImpatientProtocol
from tests.running_service import wait_for


class Hasty(ImpatientProtocol):
    head_seconds = 0.3


async def answer(scope, receive, send):
    """Answer every request, but not at once."""
    if scope["type"] == "http":
        await anyio.sleep(2 * Hasty.head_seconds)
        length = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": b"ok"})


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
