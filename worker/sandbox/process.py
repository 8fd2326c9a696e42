"""The sandbox: one engine call in a fresh, limited child process.

The parent never trusts the child's word more than it must, never waits for it longer than the
limits say, and always takes back its processes and descriptors.
"""

import json
import time
from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

import structlog
from pydantic import BaseModel

from worker.engine import errors
from worker.sandbox.confinement import landlock_abi
from worker.sandbox.conversation import Conversation, OnProgress, ShouldStop
from worker.sandbox.errors import ChildFailedError, StoppedError
from worker.sandbox.limits import Limits
from worker.sandbox.spawner import Spawner

if TYPE_CHECKING:
    # At run time the parent does without: the requests import onnxruntime.
    from worker.engine.requests import Operation

__all__ = ["ChildFailedError", "JsonObject", "Limits", "Sandbox", "StoppedError", "landlock_abi"]

Answer = TypeVar("Answer", bound=BaseModel)
JsonObject = dict[str, Any]

logger = structlog.get_logger()


class Sandbox:
    """Runs engine calls in child processes, of which `spares` wait with their imports done.

    It has a thread of its own, so make it after a fork. Calls from several threads are fine.
    `entry_point` is the `module:function` that the child calls with the request, validated by the
    function's annotation, and a progress callback.
    """

    def __init__(
        self, *, spares: int = 1, entry_point: str = "worker.engine.operations:run"
    ) -> None:
        self._spawner = Spawner(entry_point, spares)

    def run(
        self,
        request: "Operation[Answer]",
        limits: Limits,
        *,
        on_progress: OnProgress | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Answer:
        """Return the engine's answer to a request.

        Raises:
            EngineError: the engine's own, of the class it was raised as.
            ChildFailedError: the child ran out of memory or time, or crashed.
            StoppedError: `should_stop` became true.
        """
        answer = self.run_json(
            request.model_dump(mode="json"),
            limits,
            on_progress=on_progress,
            should_stop=should_stop,
        )
        return cast("Answer", request.answer_type.model_validate(answer))

    def run_json(
        self,
        request: JsonObject,
        limits: Limits,
        *,
        on_progress: OnProgress | None = None,
        should_stop: ShouldStop | None = None,
    ) -> JsonObject:
        """Do as `run`, for a process that keeps clear of the engine's imports."""
        started = time.monotonic()
        child = self._spawner.take()
        conversation = Conversation(child, limits, on_progress, should_stop)
        try:
            child.send(json.dumps({"limits": asdict(limits), "request": request}).encode() + b"\n")
            event = conversation.last_event()
        finally:
            status = child.end()
        logger.debug("sandbox.ended", pid=child.pid, seconds=time.monotonic() - started)
        if event is None:
            raise conversation.failure(status)
        return _result(event, conversation)

    def close(self) -> None:
        """End every child."""
        self._spawner.close()

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _result(event: JsonObject, conversation: Conversation) -> JsonObject:
    """Return the answer of a child's last event, or raise what it says."""
    if "answer" in event:
        return cast("JsonObject", event["answer"])
    if "error" in event:
        told = event["error"]
        raise _engine_error(told["type"])(told["message"], code=told["code"])
    match event["failure"]["code"]:
        case "out_of_memory":
            raise conversation.out_of_memory()
        case "disk_full":
            raise conversation.disk_full()
        case "file_too_large":
            raise conversation.file_too_large()
        case _:
            raise conversation.internal_error(event["failure"]["traceback"])


def _engine_error(name: str) -> type[errors.EngineError]:
    """Return the engine's error class of that name, or their base."""
    found = getattr(errors, name, None)
    if isinstance(found, type) and issubclass(found, errors.EngineError):
        return found
    return errors.EngineError
