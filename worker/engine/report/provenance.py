"""What it takes to reproduce a result."""

from worker.engine.report.base import ReportPart
from worker.engine.spec import Spec


class Manifest(ReportPart):
    """What it takes to reproduce the artifact."""

    model_sha256: str
    artifact_sha256: str
    spec_sha256: str
    resolved_spec: Spec | None
    """The spec with every choice that was measured written out: on any machine, with the same
    files, it gives the same artifact. Null where that is the model itself."""
    calibration_sha256: str | None
    calibration_transform: str | None = None
    """How images became arrays, as JSON, where that was not in the dataset itself."""
    evaluation_sha256: str | None
    evaluation_transform: str | None = None
    seed: int
    versions: dict[str, str]
    cpu: str
    cpu_flags: list[str]
    platform: str
    execution_provider: str
