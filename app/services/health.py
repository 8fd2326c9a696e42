"""How the service is: what it needs to work, and what waits in it."""

from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.db import reading
from app.migrations import is_current
from app.repositories import reaping
from app.services.context import ServiceContext
from app.tables import JobState
from worker.sandbox.process import landlock_abi

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True)
class Health:
    """Each part's state, `ok` or what is wrong, and what does not stop the service."""

    checks: dict[str, str]
    warnings: list[str]

    @property
    def is_ready(self) -> bool:
        """Whether every part works."""
        return all(state == "ok" for state in self.checks.values())


@dataclass(frozen=True)
class JobCounts:
    """How many jobs are in each state, and how long the oldest queued one has waited."""

    by_state: Mapping[JobState, int]
    oldest_queued_age_seconds: float


def check(context: ServiceContext) -> Health:
    """Look at database, migrations and storage; a silent broker delays jobs and loses none."""
    warnings = []
    if not context.queue.ping():
        warnings.append("the broker does not answer: jobs are accepted and wait")
    if landlock_abi() == 0:
        warnings.append("the kernel has no Landlock: sandboxed work is confined less")
    checks = {"database": _check_database(context), "storage": context.storage_health.look()}
    return Health(checks, warnings + _warn_of_little_space(context))


def count_jobs(context: ServiceContext) -> JobCounts:
    """Return how many jobs there are, of all workspaces."""
    with reading(context.session_factory) as session:
        by_state = reaping.count_by_state(session)
        return JobCounts(by_state, reaping.oldest_queued_age_seconds(session))


def _check_database(context: ServiceContext) -> str:
    try:
        with reading(context.session_factory) as session:
            is_migrated = is_current(session.connection())
    except SQLAlchemyError:
        log.exception("readiness.database")
        return "unreachable"
    return "ok" if is_migrated else "not migrated: run `onnxpress migrate`"


def _warn_of_little_space(context: ServiceContext) -> list[str]:
    free, largest = context.storage.free_bytes(), context.settings.max_upload_bytes
    if free >= largest:
        return []
    return [f"the disk has {free} bytes free, less than the largest upload ({largest} bytes)"]
