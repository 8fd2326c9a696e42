"""The samples of one job: which calibrate, and which show how well the result does."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import onnx

from worker.engine.datasets.fitting import FittedSamples
from worker.engine.datasets.opening import open_dataset
from worker.engine.datasets.splitting import at_most, hold_out
from worker.engine.datasets.synthetic import synthesize
from worker.engine.requests import CompressModel, TensorInfo
from worker.engine.runtime import Session
from worker.engine.samples import SampleSource

FEW_SAMPLES = 16
SYNTHETIC_WARNING = (
    "no data was given: inputs are synthetic, and every figure that comes from them says little"
    " about real data"
)


@dataclass(frozen=True)
class JobSamples:
    """Samples for calibration and for evaluation, and what a user should know about them."""

    calibration: SampleSource
    evaluation: SampleSource
    warnings: list[str] = field(default_factory=list)


def choose_samples(
    request: CompressModel, inputs: Sequence[TensorInfo], session: Session, model: onnx.ModelProto
) -> JobSamples:
    """Return a job's samples: its datasets where given, parts of one where not, else synthetic.

    Raises:
        InvalidDatasetError: a dataset is malformed or does not fit the model.
        CalibrationError: there is none, and the model does not run on made-up inputs.
    """
    given = _Given(request, inputs)
    if given.calibration is not None and given.evaluation is not None:
        calibration: SampleSource = given.calibration
        evaluation: SampleSource = given.evaluation
        warnings = given.calibration.notes + given.evaluation.notes
    elif given.calibration is not None:
        calibration, evaluation, warnings = _split_calibration(request, given.calibration)
    elif given.evaluation is not None:
        evaluation, calibration, warnings = _split_evaluation(request, given.evaluation)
    else:
        synthetic = synthesize(session, model, inputs, request.spec.seed)
        calibration, evaluation = hold_out(synthetic)
        warnings = [SYNTHETIC_WARNING]
    if _needs_samples(request) and calibration.origin == "dataset":
        warnings += _too_few(calibration)
    evaluation = at_most(evaluation, request.spec.evaluation.max_samples)
    return JobSamples(calibration, evaluation, warnings)


class _Given:
    """The datasets of a request, opened and fitted."""

    def __init__(self, request: CompressModel, inputs: Sequence[TensorInfo]) -> None:
        self.calibration: FittedSamples | None = None
        self.evaluation: FittedSamples | None = None
        if request.calibration_path is not None:
            self.calibration = FittedSamples(
                open_dataset(
                    request.calibration_path, request.limits, request.calibration_transform
                ),
                inputs,
            )
        if request.evaluation_path is not None:
            self.evaluation = FittedSamples(
                open_dataset(request.evaluation_path, request.limits, request.evaluation_transform),
                inputs,
            )


def _split_calibration(
    request: CompressModel, given: FittedSamples
) -> tuple[SampleSource, SampleSource, list[str]]:
    """Return the rest for calibration and every fifth sample for evaluation."""
    if not _needs_samples(request):
        return given, given, given.notes
    calibration, evaluation = hold_out(given)
    return calibration, evaluation, given.notes + _same_sample(given)


def _split_evaluation(
    request: CompressModel, given: FittedSamples
) -> tuple[SampleSource, SampleSource, list[str]]:
    """Return the rest for evaluation and every fifth sample for calibration."""
    if not _needs_samples(request):
        return given, given, given.notes
    evaluation, calibration = hold_out(given)
    note = "no calibration data was given: every fifth evaluation sample calibrates instead"
    return evaluation, calibration, [*given.notes, note, *_same_sample(given)]


def _needs_samples(request: CompressModel) -> bool:
    if request.spec.goal is not None:
        return True
    return any(step.needs_samples for step in request.spec.passes or [])


def _same_sample(given: FittedSamples) -> list[str]:
    if len(given) > 1:
        return []
    return ["the only sample both calibrates and evaluates: give more samples"]


def _too_few(calibration: SampleSource) -> list[str]:
    if len(calibration) >= FEW_SAMPLES:
        return []
    return [f"only {len(calibration)} samples calibrate; 64 or more give better ranges"]
