"""What a model is made of and what the passes did to it."""

from typing import Any

from worker.engine.report.base import ReportPart

ABOUT_BIASES = (
    "A bias that makes up for the rounding of a weight is moved on purpose: that is no noise."
)
"""Said wherever the errors of stored weights are shown, biases among them."""


class ModelMeasures(ReportPart):
    """One model's size and content. Byte counts include external data."""

    size_bytes: int
    deflated_bytes: int
    zstd_bytes: int
    parameter_count: int
    zero_fraction: float
    op_counts: dict[str, int]
    macs: int | None
    """Multiply-accumulates of one sample; null where shapes are not known."""


class PassReport(ReportPart):
    """What one pass did."""

    method: str
    options: dict[str, Any]
    duration_seconds: float
    changed_nodes: list[str]
    notes: list[str]


class LayerError(ReportPart):
    """What compressing one node did to its weight: SQNR of the stored against the original."""

    node: str
    op_type: str
    weight: str
    sqnr_db: float | None
