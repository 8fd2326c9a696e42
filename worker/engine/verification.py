"""Whether a result can be used: its file loads, and has the original's inputs and outputs."""

from pathlib import Path

from worker.engine.errors import EngineError, ResourceError, VerificationError
from worker.engine.model_io import LoadedModel, load
from worker.engine.requests import UnpackLimits
from worker.engine.runtime import ExecutionProvider, Session, open_session


def verify_file(artifact: Path, workdir: Path) -> LoadedModel:
    """Load an artifact back from its file, with every check that an upload must pass.

    Raises:
        VerificationError: the checker or onnxruntime refuses it (`unloadable_result`).
    """
    # Our own archive of our own files: as large as it has to be.
    limits = UnpackLimits(max_unpacked_bytes=2**62, max_unpacked_ratio=2.0**31)
    try:
        return load(artifact, workdir, limits)
    except ResourceError:
        raise
    except EngineError as error:
        raise _unloadable(error) from error


def open_result(
    path: Path, original: Session, threads: int, execution_provider: ExecutionProvider
) -> Session:
    """Open the compressed model, which must have the original's inputs and outputs.

    Raises:
        VerificationError: it does not load, or has others (`unloadable_result`).
    """
    try:
        session = open_session(path, threads=threads, execution_provider=execution_provider)
    except ResourceError:
        raise
    except EngineError as error:
        raise _unloadable(error) from error
    for kind, have, want in (
        ("inputs", session.get_inputs(), original.get_inputs()),
        ("outputs", session.get_outputs(), original.get_outputs()),
    ):
        have_names = [(value.name, value.type) for value in have]
        want_names = [(value.name, value.type) for value in want]
        if have_names != want_names:
            raise VerificationError(
                f"the compressed model's {kind} are {have_names} instead of {want_names}: try"
                " another method",
                code="unloadable_result",
            )
    return session


def _unloadable(error: EngineError) -> VerificationError:
    return VerificationError(
        f"the compressed model does not load: {error}. Leave the node it names out by"
        " nodes_to_exclude, or try another method such as weight_quantization",
        code="unloadable_result",
    )
