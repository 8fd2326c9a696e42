"""The metrics that a spec can name, and those it can declare with options."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag, TypeAdapter

from worker.engine.scoring.average_precision import BoxMap
from worker.engine.scoring.base import Metric
from worker.engine.scoring.classes import Top1, Top5
from worker.engine.scoring.correlation import Pearson, Spearman
from worker.engine.scoring.decisions import F1, MaskIoU, Precision, Recall
from worker.engine.scoring.differences import MeanAbsoluteError, MeanCosine, MeanSquaredError
from worker.engine.scoring.ranking import AreaUnderCurve
from worker.engine.scoring.retrieval import NearestLabel
from worker.engine.scoring.sequences import CtcErrorRate, SequenceErrorRate

AnyMetric = Annotated[
    Top1
    | Top5
    | F1
    | Precision
    | Recall
    | AreaUnderCurve
    | MeanSquaredError
    | MeanAbsoluteError
    | Spearman
    | Pearson
    | MeanCosine
    | CtcErrorRate
    | SequenceErrorRate
    | MaskIoU
    | BoxMap
    | NearestLabel,
    Discriminator("metric"),
]
"""Every metric; a new one is named here."""

MetricName = Literal[
    "top1",
    "top5",
    "f1",
    "precision",
    "recall",
    "auc",
    "mean_squared_error",
    "mean_absolute_error",
    "spearman",
    "pearson",
    "cosine",
    "ctc_error_rate",
    "sequence_error_rate",
    "mask_iou",
    "nearest_label",
]
"""Those whose options all have defaults, for which the name alone is enough."""


def _form(value: object) -> str:
    return "name" if isinstance(value, str) else "options"


AskedMetric = Annotated[
    Annotated[MetricName, Tag("name")] | Annotated[AnyMetric, Tag("options")], Discriminator(_form)
]

_METRICS: TypeAdapter[Metric] = TypeAdapter(AnyMetric)


def declare(asked: Metric | str, output: str | None = None) -> Metric:
    """Return a metric with its options; `output` is the one to score where none is declared."""
    metric = asked if isinstance(asked, Metric) else _METRICS.validate_python({"metric": asked})
    if metric.output is None and output is not None:
        changes: dict[str, Any] = {"output": output}
        return metric.model_copy(update=changes)
    return metric
