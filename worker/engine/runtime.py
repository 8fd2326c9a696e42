"""onnxruntime sessions: the only place that opens, runs and bounds them."""

import errno
import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any, Literal

import onnx
import onnxruntime

from worker.engine.errors import EngineError, PassError, ResourceError, UnsupportedModelError
from worker.engine.model_files import needs_external_data, serialize, write
from worker.engine.samples import Array, Feeds

ExecutionProvider = Literal["cpu", "cuda"]

Session = Any
"""An `onnxruntime.InferenceSession`, which ships no types."""

PROVIDERS: dict[ExecutionProvider, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
}
FATAL_MESSAGES_ONLY = 4
MESSAGE_LENGTH = 400
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Faults of the disk, which say nothing of a model."""
PROBE_BYTES = 1 << 20

onnxruntime.set_default_logger_severity(FATAL_MESSAGES_ONLY)


@dataclass(frozen=True)
class OperationLimit:
    """Seconds that one operation may take, and who hears its name when it starts."""

    seconds: float
    announce: Callable[[str], None]


_limit: ContextVar[OperationLimit | None] = ContextVar("operation_limit", default=None)
_current: ContextVar[str | None] = ContextVar("current_operation", default=None)


def set_operation_limit(
    seconds: float | None, announce: Callable[[str], None] = lambda _: None
) -> None:
    """Let the kernel end this process with SIGALRM when one operation takes longer than this.

    For the sandbox's child only: a call that is stuck in native code cannot be interrupted any
    other way. `announce` is called with each operation's name before it starts, so that a parent
    can say which one it was. None lifts the limit.
    """
    _limit.set(None if seconds is None else OperationLimit(seconds, announce))


@contextmanager
def bounded(what: str, failure: type[EngineError] | None = None) -> Iterator[None]:
    """Run one operation, named as in "loading the model", within the operation limit.

    An operation inside another runs on the outer one's time. A shortage of memory becomes a
    `ResourceError`; one of room on the disk passes through; any other exception becomes a
    `failure`, where one is given, with the words that matter to a user.
    """
    limit = _limit.get() if _current.get() is None else None
    token = _current.set(what)
    if limit is not None:
        limit.announce(what)
        signal.setitimer(signal.ITIMER_REAL, limit.seconds)
    try:
        yield
    except EngineError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            message = f"{what} needs more memory than is available"
            raise ResourceError(message, code="out_of_memory") from error
        if failure is None or (isinstance(error, OSError) and error.errno in NO_ROOM):
            raise
        raise failure(f"{what} failed: {readable(error)}") from error
    finally:
        if limit is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
        _current.reset(token)


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an exception means that memory ran out, in whichever library."""
    words = ("bad_alloc", "Failed to allocate memory", "CUDA out of memory")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def readable(error: Exception) -> str:
    """Return the part of a library's message that helps a user: no source lines, no paths."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    if isinstance(error, UnicodeDecodeError):
        return "a name in the model is not valid UTF-8"
    text = str(error).split("==> Context")[0].strip() or type(error).__name__
    text = re.sub(r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ", "", text)
    text = re.sub(r"Load model from .*? failed:\s*", "", text)
    text = re.sub(r"\S*\.(cc|h|cpp|hpp|cuh?):\d+:?( \S+ .*?\) (?=\S))?", "", text)
    text = re.sub(
        r"(?<![\w.:])/(?:tmp|home|root|var|work|private|opt|usr|mnt)/\S+", "the file", text
    )
    text = " ".join(text.split()).rstrip(".")
    return text if len(text) <= MESSAGE_LENGTH else text[: MESSAGE_LENGTH - 3] + "..."


def available_providers() -> list[ExecutionProvider]:
    """Return the execution providers that this onnxruntime offers."""
    offered = onnxruntime.get_available_providers()
    return [name for name, provider in PROVIDERS.items() if provider in offered]


def provider_in_use(session: Session) -> ExecutionProvider:
    """Return the provider that a session's nodes are placed on first."""
    first = session.get_providers()[0]
    return next(name for name, provider in PROVIDERS.items() if provider == first)


def open_session(
    model: Path | bytes | onnx.ModelProto,
    *,
    threads: int = 1,
    execution_provider: ExecutionProvider = "cpu",
    optimize: bool = True,
    failure: type[EngineError] = UnsupportedModelError,
    optimized_path: Path | None = None,
) -> Session:
    """Load a model into onnxruntime; CUDA falls back to the CPU where it is not offered.

    `optimized_path` is where to write the graph as onnxruntime rewrote it, to see what it did.

    Raises:
        failure: onnxruntime refuses the model.
        ResourceError: it does not fit the memory.
    """
    options = _options(threads)
    if optimized_path is not None:
        options.optimized_model_filepath = str(optimized_path)
    if not optimize:
        level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = level
    with bounded("loading the model", failure), _loadable(model) as source, _room(optimized_path):
        return onnxruntime.InferenceSession(
            source,
            options,
            providers=[PROVIDERS[name] for name in _preference(execution_provider)],
            # Its fallback prints to stdout and retries what has just failed.
            enable_fallback=0,
        )


def open_profiled_session(
    model: Path | onnx.ModelProto, prefix: Path, optimized_path: Path | None = None
) -> Session:
    """Load a model whose `end_profiling()` returns a file, at `prefix`, of each kernel's time.

    It runs on one thread of the CPU; `optimized_path` is as in `open_session`.
    """
    options = _options(1)
    if optimized_path is not None:
        options.optimized_model_filepath = str(optimized_path)
    options.enable_profiling = True
    options.profile_file_prefix = str(prefix)
    with bounded("loading the model", PassError), _loadable(model) as source, _room(optimized_path):
        return onnxruntime.InferenceSession(
            source, options, providers=[PROVIDERS["cpu"]], enable_fallback=0
        )


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL_MESSAGES_ONLY
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return options


@contextmanager
def _loadable(model: Path | bytes | onnx.ModelProto) -> Iterator[Path | bytes]:
    """Yield a model in a form that onnxruntime takes; over 2 GiB only files with external data."""
    if not isinstance(model, onnx.ModelProto):
        yield model
    elif not needs_external_data(model):
        yield serialize(model)
    else:
        with TemporaryDirectory() as folder:
            yield write(model, Path(folder))


@contextmanager
def _room(written: Path | None) -> Iterator[None]:
    """Raise an `OSError` where onnxruntime could not write its file: it blames the model for it."""
    try:
        yield
    except Exception:
        if written is not None:
            with TemporaryFile(dir=written.parent) as probe:
                probe.write(bytes(PROBE_BYTES))
                probe.flush()
        raise


def _preference(wanted: ExecutionProvider) -> list[ExecutionProvider]:
    """Return the providers to ask for, the best first."""
    if wanted == "cuda" and "cuda" in available_providers():
        return ["cuda", "cpu"]
    return ["cpu"]


def run(
    session: Session,
    feeds: Feeds,
    outputs: Sequence[str] | None = None,
    *,
    failure: type[EngineError] = PassError,
) -> list[Array]:
    """Run a model once and return its outputs, all of them or those named, in order.

    Raises:
        failure: onnxruntime refuses these feeds or fails on them.
        ResourceError: the run does not fit the memory.
    """
    with bounded("running the model", failure):
        results: list[Array] = session.run(outputs, feeds)
    return results


def run_within(
    session: Session, feeds: Feeds, seconds: float, *, failure: type[EngineError] = PassError
) -> list[Array] | None:
    """Run a model once; None where it was stopped because it took longer than this.

    onnxruntime stops between two nodes only.

    Raises:
        failure: onnxruntime refuses these feeds or fails on them.
        ResourceError: the run does not fit the memory.
    """
    options = onnxruntime.RunOptions()
    timer = threading.Timer(max(0.0, seconds), lambda: setattr(options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        with bounded("running the model", failure):
            results: list[Array] = session.run(None, feeds, options)
    except EngineError:
        if options.terminate:
            return None
        raise
    finally:
        timer.cancel()
    return results
