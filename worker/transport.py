"""The worker's end of the broker, which outlives whatever is written into its queue.

kombu takes a message off the queue before it looks at it, and lets one that is no JSON, or no
message of Celery's, end the worker; others end it by a time limit or a date that is none, and come
back to end the next one. A message is only a doorbell, so all that is believed of it is the job's
id. What has none is dropped: the reaper rings again for every job that waits.
"""

import base64
import json
from typing import Annotated, Any, Literal

import structlog
from kombu.transport import TRANSPORT_ALIASES, redis
from pydantic import BaseModel, Field, StringConstraints, TypeAdapter, ValidationError
from typing_extensions import override

from app.queue import QUEUE_NAME, RUN_JOB

Name = Annotated[str, StringConstraints(strict=True, pattern=r"^[\w.:-]{1,200}$")]
"""An id; one of a job that is not there is dropped by the runner."""

logger = structlog.get_logger()


class _Headers(BaseModel):
    task: Literal["onnxpress.run_job"]
    id: Name


class _Properties(BaseModel):
    delivery_tag: Name
    body_encoding: Literal["base64"]


class _Doorbell(BaseModel):
    body: str
    content_type: Literal["application/json"] = Field(alias="content-type")
    headers: _Headers
    properties: _Properties


_BODY = TypeAdapter(tuple[tuple[Name], dict[str, Any], dict[str, Any]])


def read_doorbell(message: object) -> dict[str, Any]:
    """Return the message that the queue would send, with nothing of this one's but its ids.

    Raises:
        ValueError: it does not ring for a job.
    """
    bell = _Doorbell.model_validate(message)
    (job_id,), _, _ = _BODY.validate_json(base64.b64decode(bell.body, validate=True))
    body = json.dumps([[job_id], {}, {}]).encode()
    return {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "utf-8",
        "content-type": bell.content_type,
        "headers": {"lang": "py", "task": RUN_JOB, "id": bell.headers.id},
        "properties": {
            "delivery_tag": bell.properties.delivery_tag,
            "delivery_info": {"exchange": "", "routing_key": QUEUE_NAME},
            "body_encoding": bell.properties.body_encoding,
        },
    }


class QoS(redis.QoS):
    """The messages under work, also those of workers that are gone."""

    @override
    def restore_by_tag(self, tag: Any, *args: Any, **kwargs: Any) -> None:
        """Put a message back, unless it is none."""
        try:
            super().restore_by_tag(tag, *args, **kwargs)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            _note_dropped(error)
            self.reject(tag)


class Channel(redis.Channel):
    """A channel that drops what is no JSON."""

    QoS = QoS

    def _brpop_read(self, **options: object) -> object:
        """Read a message and hand it over; the stubs leave kombu's own out."""
        try:
            return super()._brpop_read(**options)  # type: ignore[misc] # not in the stubs
        except (ValueError, RecursionError) as error:
            _note_dropped(error)
            return True


class Transport(redis.Transport):
    """Valkey and Redis, by such channels; only doorbells pass."""

    Channel = Channel

    @override
    def _deliver(self, message: Any, queue: str | None) -> None:
        """Hand a message to the queue's consumer."""
        if queue == QUEUE_NAME:
            message = read_doorbell(message)
        super()._deliver(message, queue)


def register() -> None:
    """Have all connections of this process use this transport; a URL cannot name it."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{Transport.__name__}"


def _note_dropped(error: Exception) -> None:
    """Log what is wrong, and nothing of the message: it may be long, and hold anything."""
    reason = f"{type(error).__name__}: {error}"
    if isinstance(error, ValidationError):
        places = [".".join(map(str, it["loc"])) or "all of it" for it in error.errors()]
        reason = f"not a message of the queue's in {', '.join(places)}"
    logger.warning("message.dropped", reason=reason[:200])
