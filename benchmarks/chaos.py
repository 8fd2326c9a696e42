"""The kill test: real jobs on a real worker and broker, which random `kill -9`s interrupt.

Run `python -m benchmarks.chaos --jobs 200 --kills 100`. A trigger in the database counts how often
each job reached a terminal state, so that "none lost, none ended twice" is the database's word.
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sqlalchemy import text

from app import processes
from app.broker import Broker
from app.db import create_session_factory, database_now, new_id
from app.migrations import migrate
from app.queue import Queue
from app.repositories import jobs, models
from app.settings import Settings
from app.storage import Storage, blob_key
from app.tables import ModelRow

WORKER = [
    sys.executable, "-m", "celery", "-A", "worker.main", "worker", "--without-gossip",
    "--without-mingle", "--loglevel", "warning",
]  # fmt: skip
KINDS = ("child", "pool process", "worker", "broker")
SPEC = {
    "version": 1,
    "passes": [{"method": "dynamic_quantization"}],
    "evaluation": {"latency": {"runs": 30}},
}
COUNT_ENDINGS = """
    CREATE TRIGGER count_endings AFTER UPDATE OF state ON jobs
    WHEN OLD.state <> NEW.state AND (
        NEW.state IN ('succeeded', 'failed', 'cancelled')
        OR OLD.state IN ('succeeded', 'failed', 'cancelled'))
    BEGIN INSERT INTO endings VALUES (NEW.id, NEW.state); END
"""


@dataclass(frozen=True)
class Outcome:
    """What became of the jobs."""

    jobs: int
    states: Counter[str]
    ended_twice: int
    attempts: int
    kills: Counter[str]
    codes: Counter[str]
    left_in_spool: list[str]
    seconds: float

    @property
    def lost(self) -> int:
        """Jobs that never reached a terminal state."""
        return self.jobs - sum(self.states[it] for it in ("succeeded", "failed", "cancelled"))


class Stage:
    """One broker and one worker on a data folder, whose processes can be killed and come back."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self._broker = Broker(folder)
        self.settings = Settings(
            data_dir=folder,
            redis_url=self._broker.url,
            lease_seconds=2,
            heartbeat_seconds=0.3,
            reaper_seconds=0.5,
            resend_seconds=5,
            max_crashes=1000,
            max_attempts=1000,
            worker_concurrency=2,
            shutdown_seconds=0,
        )
        self.log_path = folder / "worker.log"
        self._log = self.log_path.open("ab")
        migrate(self.settings.resolved_database_url)
        self.session_factory = create_session_factory(self.settings.resolved_database_url)
        self.storage = Storage(self.settings)
        with self.session_factory.begin() as session:
            session.execute(text("CREATE TABLE endings (id TEXT, state TEXT)"))
            session.execute(text(COUNT_ENDINGS))
        self.broker = self._start_broker()
        self.worker = self._start_worker()
        self.queue = Queue(self.settings)

    def close(self) -> None:
        """End everything."""
        self.queue.close()
        processes.stop(self.worker, grace_seconds=5)
        processes.stop(self.broker, grace_seconds=5)
        self.session_factory.kw["bind"].dispose()
        self._log.close()

    def submit(self, count: int) -> list[str]:
        """Upload a model and submit jobs for it, as the API does."""
        path = self.storage.spool() / "upload"
        path.write_bytes(_model())
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        size_bytes = path.stat().st_size
        self.storage.put(path, blob_key(sha256))
        with self.session_factory.begin() as session:
            row = ModelRow(
                id=new_id("model"),
                workspace="default",
                name="chaos.onnx",
                sha256=sha256,
                size_bytes=size_bytes,
                storage_key=blob_key(sha256),
                info={"size_bytes": size_bytes},
                created_at=database_now(session),
            )
            model_id = models.add(session, row).id
        return [self._submit_one(model_id) for _ in range(count)]

    def kill(self, kind: str) -> bool:
        """Kill a process of that kind while a job runs; start it again where nobody else does.

        False when the jobs have ended meanwhile.
        """
        self.tend()
        while not (self._count("state = 'running'") and self._pids(kind)):
            if not self.unfinished():
                return False
            self.tend()
        time.sleep(self._random.uniform(0, 1))
        with suppress(ProcessLookupError, IndexError):
            os.kill(self._random.choice(self._pids(kind)), signal.SIGKILL)
        return True

    def tend(self) -> None:
        """Start a worker or broker that has ended again, as every supervisor does.

        The worker also ends itself, when a process of its pool is killed while it starts.
        """
        if self.broker.poll() is not None:
            processes.kill(self.broker)
            self.broker = self._start_broker()
        if self.worker.poll() is not None:
            processes.kill(self.worker)
            self.worker = self._start_worker()
        time.sleep(0.02)

    def victims(self) -> Iterator[str]:
        """Yield kinds of processes for ever: all of them in random order, and again."""
        while True:
            yield from self._random.sample(KINDS, len(KINDS))

    def unfinished(self) -> int:
        """Return how many jobs are not terminal."""
        return self._count("finished_at IS NULL")

    def outcome(self, kills: Counter[str], seconds: float) -> Outcome:
        """Ask the database what became of the jobs."""
        with self.session_factory() as session:
            rows = session.execute(text("SELECT state, attempt, error ->> 'code' FROM jobs")).all()
            endings = session.execute(text("SELECT id FROM endings")).scalars().all()
        return Outcome(
            jobs=len(rows),
            states=Counter(state for state, _, _ in rows),
            ended_twice=sum(count > 1 for count in Counter(endings).values()),
            attempts=sum(attempt for _, attempt, _ in rows),
            kills=kills,
            codes=Counter(code for _, _, code in rows if code),
            left_in_spool=[path.name for path in self.storage.spool().iterdir()],
            seconds=seconds,
        )

    def _submit_one(self, model_id: str) -> str:
        new_job = jobs.NewJob("default", model_id, SPEC)
        with self.session_factory.begin() as session:
            job_id = jobs.add(session, new_job, resend_seconds=self.settings.resend_seconds).id
        self.queue.send_job(job_id)
        return job_id

    def _count(self, condition: str) -> int:
        query = text(f"SELECT count(*) FROM jobs WHERE {condition}")  # noqa: S608 - ours
        with self.session_factory() as session:
            return int(session.execute(query).scalar_one())

    def _pids(self, kind: str) -> list[int]:
        pool = _children(self.worker.pid)
        match kind:
            case "child":
                return [child for process in pool for child in _children(process)]
            case "pool process":
                return pool
            case "worker":
                return [self.worker.pid]
            case _:
                return [self.broker.pid]

    def _start_broker(self) -> subprocess.Popen[bytes]:
        self._broker.prepare()
        return processes.spawn(
            self._broker.command, environment=os.environ, output=self._log.fileno()
        )

    def _start_worker(self) -> subprocess.Popen[bytes]:
        given = self.settings.model_dump(mode="json", exclude_none=True)
        settings = {f"ONNXPRESS_{name.upper()}": str(value) for name, value in given.items()}
        environment = os.environ | settings | {"REMAP_SIGTERM": "SIGQUIT"}
        return processes.spawn(WORKER, environment=environment, output=self._log.fileno())


def run(folder: Path, job_count: int, kill_count: int, seed: int, patience: float) -> Outcome:
    """Submit the jobs, kill that often while they run, wait for the last of them."""
    stage = Stage(folder, seed)
    kills: Counter[str] = Counter()
    started = time.monotonic()
    try:
        stage.submit(job_count)
        for kind in islice(stage.victims(), kill_count):
            kills[kind] += stage.kill(kind)
        deadline = time.monotonic() + patience
        while stage.unfinished() and time.monotonic() < deadline:
            stage.tend()
        seconds = time.monotonic() - started
        # the reaper's last look, and time to end something twice
        time.sleep(2 * stage.settings.reaper_seconds)
        return stage.outcome(kills, seconds)
    finally:
        stage.close()


def main() -> None:
    """Run the test by the command line's numbers and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patience", type=float, default=300, help="seconds after the last kill")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(Path(folder), given.jobs, given.kills, given.seed, given.patience)
    kills = ", ".join(f"{count} {kind}" for kind, count in sorted(outcome.kills.items()))
    sys.stdout.write(
        f"jobs           {outcome.jobs}\n"
        f"kills          {sum(outcome.kills.values())} ({kills})\n"
        f"states         {dict(outcome.states)} {dict(outcome.codes)}\n"
        f"lost           {outcome.lost}\n"
        f"ended twice    {outcome.ended_twice}\n"
        f"attempts       {outcome.attempts}\n"
        f"left in spool  {len(outcome.left_in_spool)}\n"
        f"wall           {outcome.seconds:.0f} s, seed {given.seed}\n"
    )


def _children(pid: int) -> list[int]:
    """Return a process's children, whichever of its threads started them."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    with suppress(OSError):
        return [int(child) for children in lists for child in children.read_text().split()]
    return []


def _model() -> bytes:
    """Return a small model that dynamic quantization takes."""
    weight = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "chaos",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 64])],
        [numpy_helper.from_array(weight, "w")],
    )
    opsets = [helper.make_opsetid("", 17)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return model.SerializeToString()


if __name__ == "__main__":
    main()
