"""What `onnxpress up` checks and claims before its supervisor starts."""

import fcntl
import ipaddress
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from app.db import create_session_factory
from app.repositories import keys
from app.settings import Settings

READY = "onnxpress is ready at "
"""How `onnxpress up` begins the line that names its URL."""


class SetupError(Exception):
    """The service cannot start as asked; the message says what to do."""


@contextmanager
def claimed_data_folder(data_dir: Path) -> Iterator[TextIO]:
    """Make the folder and hold its lock; write into it what another `up` should say.

    Raises:
        SetupError: another service holds it, or it cannot be written.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (data_dir / "lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise SetupError(f"cannot use the data folder {data_dir}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            holder = lock.read().strip() or "starting"
            raise SetupError(
                f"another onnxpress uses the data folder {data_dir} ({holder}): "
                "use that one, stop it, or choose another folder with --data-dir"
            ) from error
        lock.truncate(0)
        yield lock


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one.

    Raises:
        SetupError: the address is in use or is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise SetupError(
            f"cannot listen on {host} port {port}: {os.strerror(error.errno or 0)}; "
            "change --port or --host"
        ) from error


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address.

    Raises:
        SetupError: the name has no address.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise SetupError(f"the host {host!r} has no address; use 127.0.0.1 or 0.0.0.0") from error
    return all(ipaddress.ip_address(address[0]).is_loopback for *_, address in found)


def require_keys_where_public(host: str, settings: Settings) -> None:
    """Refuse to serve other machines without API keys.

    Raises:
        SetupError: the address is public and keys are off.
    """
    if settings.auth != "keys" and not is_loopback(host):
        raise SetupError(
            f"{host} can be reached from other machines, and API keys are off: set "
            "ONNXPRESS_AUTH=keys, and make a key with `onnxpress keys create --name NAME`"
        )


def require_a_key(host: str, settings: Settings) -> None:
    """Refuse to serve other machines while nobody has a key.

    Raises:
        SetupError: the address is public and there is no API key.
    """
    if is_loopback(host):
        return
    with create_session_factory(settings.resolved_database_url)() as session:
        if not any(row.revoked_at is None for row in keys.list(session)):
            raise SetupError(
                "there is no API key yet: run `onnxpress keys create --name NAME`, with the same "
                "--data-dir where you give one"
            )


def browsable_url(listener: socket.socket) -> str:
    """Return the URL of a listener as this machine reaches it."""
    host, port, *_ = listener.getsockname()
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - a comparison
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def write_holder(lock: TextIO, url: str) -> None:
    """Say in the lock file who holds it."""
    lock.write(f"process {os.getpid()} at {url}\n")
    lock.flush()
