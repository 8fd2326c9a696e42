"""Whether a result is fit to be returned: it loads, keeps its interface, and is not ruined."""

from collections.abc import Sequence
from pathlib import Path

from worker.engine.errors import EngineError, ResourceError, VerificationError
from worker.engine.gates import sqnr_of
from worker.engine.model_io import LoadedModel, load
from worker.engine.report import OutputFidelity
from worker.engine.requests import UnpackLimits
from worker.engine.runtime import ExecutionProvider, Session, open_session

NEGLIGIBLE_ERROR = 1e-6
"""Of an output that the original leaves at zero, where no error is small against the signal."""


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


def refuse_ruined(fidelity: Sequence[OutputFidelity], ruin_below_sqnr_db: float | None) -> None:
    """Refuse a result whose answers have little to do with the original's.

    Raises:
        VerificationError: an output is below the limit, or has new NaN or infinite values
            (`ruined_result`).
    """
    if ruin_below_sqnr_db is None:
        return
    reasons = []
    for output in fidelity:
        sqnr = sqnr_of(output)
        if output.non_finite:
            reasons.append(f'"{output.output}" has {output.non_finite} NaN or infinite values')
        elif sqnr is not None and sqnr < ruin_below_sqnr_db and _is_comparable(output):
            reasons.append(f'"{output.output}" keeps {sqnr:.1f} dB SQNR')
    if reasons:
        data = "synthetic samples" if fidelity[0].data == "synthetic" else "held-out samples"
        raise VerificationError(
            f"the compressed model's answers are ruined on {fidelity[0].samples} {data}:"
            f" {'; '.join(reasons)} (limit {ruin_below_sqnr_db:g} dB). Try weight_quantization, a"
            " lower sparsity where weights are pruned, more real samples where ranges are"
            " calibrated, or nodes_to_exclude; evaluation.ruin_below_sqnr_db: null returns it all"
            " the same",
            code="ruined_result",
        )


def _is_comparable(output: OutputFidelity) -> bool:
    """Return whether the figures are over values that belong together, and the error matters."""
    return output.shape_mismatches == 0 and (output.max_abs_error or 0) > NEGLIGIBLE_ERROR


def _unloadable(error: EngineError) -> VerificationError:
    return VerificationError(
        f"the compressed model does not load: {error}. Leave the node it names out by"
        " nodes_to_exclude, or try another method such as weight_quantization",
        code="unloadable_result",
    )
