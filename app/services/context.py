"""What the services work with; the app's lifespan makes one."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from app.db import SessionFactory
from app.queue import Queue
from app.services.storage_health import StorageHealth
from app.settings import Settings
from app.storage import Storage
from worker.sandbox.process import Sandbox


@dataclass(frozen=True)
class ServiceContext:
    """The settings and the open connections of one process."""

    settings: Settings
    session_factory: SessionFactory
    storage: Storage
    queue: Queue
    sandbox: Sandbox

    @cached_property
    def storage_health(self) -> StorageHealth:
        """Whether the storage takes files."""
        return StorageHealth(self.storage)

    def expiry(self, now: datetime) -> datetime | None:
        """Return how long something from now is kept; None for ever."""
        retention = self.settings.retention
        return None if retention is None else now + retention
