"""The queue: Celery on Valkey or Redis; a message is only a doorbell, the job row is the truth."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from app.errors import UnavailableError
from app.settings import Settings

QUEUE_NAME = "onnxpress"
RUN_JOB = "onnxpress.run_job"
KEY_PREFIX = "onnxpress:"
"""Keeps other applications on the same server, and their visibility timeout, off our messages."""

_SHORTEST_VISIBILITY_TIMEOUT_SECONDS = 86_400
_ANSWER_SECONDS = 0.8


def celery_settings(settings: Settings) -> dict[str, Any]:
    """Return the Celery settings that API and worker share.

    A message is acknowledged after its job, and requeued at once when a worker process dies.
    What is lost all the same (a whole host, a broker) the reaper sends again, so the visibility
    timeout is long: one shorter than the longest job would run that job twice.

    Raises:
        UnavailableError: no broker is configured, or one of an unknown kind.
    """
    if settings.redis_url is None:
        raise UnavailableError(
            "no broker: set ONNXPRESS_REDIS_URL, or use `onnxpress up`, which starts one"
        )
    if urlsplit(settings.redis_url).scheme not in {"redis", "rediss", "redis+socket"}:
        raise UnavailableError(
            "ONNXPRESS_REDIS_URL must start with `redis://`, `rediss://` or `redis+socket://`"
        )
    longest_job = int(settings.job_time_limit_seconds)
    return {
        "broker_url": settings.redis_url,
        "broker_transport_options": _transport_options(settings.redis_url, longest_job),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "task_default_queue": QUEUE_NAME,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_acks_on_failure_or_timeout": True,
        "task_soft_time_limit": longest_job + 60,
        "task_time_limit": longest_job + 120,
        "worker_concurrency": settings.worker_concurrency,
        "worker_prefetch_multiplier": 1,
        # On Redis, cancelling costs a whole visibility timeout before the job may run again.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_soft_shutdown_timeout": settings.shutdown_seconds,
        "worker_max_tasks_per_child": 20,
        "worker_max_memory_per_child": 400_000,
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,
    }


class Queue:
    """Sends jobs to the workers, by the task's name."""

    def __init__(self, settings: Settings) -> None:
        options = celery_settings(settings)
        # A call of the API waits here, so it fails early; the worker's connection is patient.
        options["broker_transport_options"] |= {
            "max_retries": 0,
            "socket_timeout": _ANSWER_SECONDS,
            "socket_connect_timeout": _ANSWER_SECONDS,
        }
        self._app = Celery("onnxpress", set_as_current=False)
        self._app.conf.update(options)
        # Celery's own connections try four times, with pauses; this one tells sooner.
        self._client = Redis.from_url(
            _client_url(options["broker_url"]),
            socket_timeout=_ANSWER_SECONDS,
            socket_connect_timeout=_ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )

    def send_job(self, job_id: str) -> bool:
        """Send a job; False when the broker does not answer within two seconds."""
        if not self.ping():
            return False
        try:
            self._app.send_task(RUN_JOB, args=(job_id,), retry=False)
        except (OperationalError, RedisError, OSError):
            return False
        return True

    def ping(self) -> bool:
        """Return whether the broker answers within two seconds."""
        try:
            return bool(self._client.ping())
        except (RedisError, OSError):
            return False

    def close(self) -> None:
        """Close the connections to the broker."""
        self._client.close()
        self._app.close()


def _client_url(broker_url: str) -> str:
    """Return kombu's broker URL as redis-py spells it; they differ on sockets only."""
    parts = urlsplit(broker_url)
    if parts.scheme != "redis+socket":
        return broker_url
    database = parse_qs(parts.query).get("virtual_host", ["0"])[0]
    return f"unix://{parts.netloc}{parts.path}?db={database}"


def _transport_options(redis_url: str, longest_job_seconds: int) -> dict[str, Any]:
    """Return kombu's options; the default restore sweep looks only every hundred seconds."""
    options: dict[str, Any] = {
        "global_keyprefix": KEY_PREFIX,
        "visibility_timeout": max(_SHORTEST_VISIBILITY_TIMEOUT_SECONDS, longest_job_seconds + 3600),
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
    }
    if not redis_url.startswith("redis+socket"):
        # Without these a publish on a half-open TCP connection waits for ever.
        options |= {"socket_timeout": 30, "socket_connect_timeout": 5, "health_check_interval": 25}
    return options
