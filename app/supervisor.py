"""The embedded service: broker, worker and API as processes under one supervisor."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType

import httpx

from app.broker import Broker
from app.embedded import browsable_url
from app.parts import Part, PartError, Program
from app.settings import Settings

START_SECONDS = 60
STOP_SECONDS = 10
"""How long a part may take to end in good order before it is killed."""
SHUTDOWN_SECONDS = 2
"""Of those, what a running job gets to finish; then it is handed back for the next start."""
POLL_SECONDS = 0.1
# -P, and our module first: a folder named `app` or `worker` where the user stands is not ours
PYTHON = [sys.executable, "-P"]
CELERY = [*PYTHON, "-c", "import worker.main; from celery.__main__ import main; main()"]
WORKER = [*CELERY, "-A", "worker.main", "worker", "--without-gossip", "--without-mingle"]
# SIGTERM hands the running job back soon; Celery's own default waits for its end
WORKER_ENVIRONMENT = {"REMAP_SIGTERM": "SIGQUIT"}


class Supervisor:
    """Runs one data folder's service until it is told to stop.

    The listening socket is held here: the port is known to be free before anything starts, and
    callers wait in its backlog while the API is started again.
    """

    def __init__(self, settings: Settings, listener: socket.socket, *, echo: bool) -> None:
        self._settings = settings
        self._listener = listener
        self._echo = echo
        self._broker = Broker(settings.data_dir) if settings.redis_url is None else None
        self._parts: list[Part] = []
        self._stop_requests = 0

    def run(self, on_ready: Callable[[], None]) -> None:
        """Start everything, call `on_ready` once it answers, stay until SIGINT or SIGTERM.

        Raises:
            PartError: a part does not start, or keeps dying.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        try:
            self._start()
            self._wait_until_ready()
            if not self._stop_requests:
                on_ready()
            while not self._stop_requests:
                self._tend()
        finally:
            self._stop()

    def _start(self) -> None:
        environment = os.environ | {
            "ONNXPRESS_DATA_DIR": str(self._settings.data_dir),
            "ONNXPRESS_AUTH": self._settings.auth,
            "ONNXPRESS_SHUTDOWN_SECONDS": str(SHUTDOWN_SECONDS),
            "PYTHONUNBUFFERED": "1",
        }
        if self._broker is not None:
            environment["ONNXPRESS_REDIS_URL"] = self._broker.url
            self._start_broker(self._broker, environment)
        self._add(Program("worker", WORKER, environment | WORKER_ENVIRONMENT))
        descriptor = self._listener.fileno()
        api = [*PYTHON, "-m", "app.cli", "api", "--descriptor", str(descriptor)]
        self._add(Program("api", api, environment, inherited=[descriptor]))

    def _start_broker(self, broker: Broker, environment: dict[str, str]) -> None:
        """Start the broker; a queue it cannot read is set aside.

        Nothing but doorbells is lost then: jobs are rows, and the worker's reaper sends them again.
        """
        part = self._add(Program("broker", broker.command, environment, prepare=broker.prepare))
        deadline = time.monotonic() + START_SECONDS
        while not broker.answers() and not self._stop_requests:
            part.collect_output()
            if not part.is_running:
                part.kill()
                if broker.set_queue_aside() is None:
                    raise PartError(f"the broker does not start; {part.last_words()}")
                part.start()
            if time.monotonic() > deadline:
                raise PartError(f"the broker does not answer; {part.last_words()}")
            time.sleep(0.01)

    def _add(self, program: Program) -> Part:
        log_folder = self._settings.data_dir / "logs"
        log_folder.mkdir(exist_ok=True)
        part = Part(program, log_folder, echo=self._echo)
        self._parts.append(part)
        part.start()
        return part

    def _wait_until_ready(self) -> None:
        url = f"{browsable_url(self._listener)}/readyz"
        deadline = time.monotonic() + START_SECONDS
        while not self._stop_requests and not _is_ready(url):
            self._tend()
            if time.monotonic() > deadline:
                words = self._parts[-1].last_words()
                raise PartError(f"{url} is not ready after {START_SECONDS} s; {words}")

    def _tend(self) -> None:
        for part in self._parts:
            part.tend()
        time.sleep(POLL_SECONDS)

    def _stop(self) -> None:
        """End the parts in reverse order; at a second signal, at once."""
        self._stop_requests = max(self._stop_requests, 1)
        for part in reversed(self._parts):
            part.request_stop()
            deadline = time.monotonic() + STOP_SECONDS
            while part.is_running and time.monotonic() < deadline and self._stop_requests < 2:
                part.collect_output()
                time.sleep(0.02)
            part.close()
        if self._broker is not None:
            self._broker.clean_up()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_requests += 1


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
