"""What it takes to reproduce a result."""

from worker.engine.report.base import ReportPart


class Manifest(ReportPart):
    """What it takes to reproduce the artifact."""

    model_sha256: str
    artifact_sha256: str
    spec_sha256: str
    calibration_sha256: str | None
    evaluation_sha256: str | None
    seed: int
    versions: dict[str, str]
    cpu: str
    cpu_flags: list[str]
    platform: str
    execution_provider: str
