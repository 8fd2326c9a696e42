"""Yes or no at a threshold: F1, precision, recall, and the overlap of masks."""

from typing import ClassVar, Literal

import numpy as np
from typing_extensions import override

from worker.engine.scoring.alignment import ValueMetric
from worker.engine.scoring.base import Answer, Floats, SummedMetric, ratio


class DecisionMetric(SummedMetric, ValueMetric):
    """Decisions over all samples together; a value above the threshold is a yes."""

    threshold: float = 0.5
    """Values above it count as yes."""

    undefined: ClassVar[str] = "no label is 1, so that there is nothing to find"

    @override
    def sums(self, answer: Answer) -> Floats:
        """Return each sample's right yeses, wrong yeses and missed ones."""
        aligned = self.values(answer)
        truth = aligned.truth
        said = (aligned.values > self.threshold) & aligned.counted
        counts = [said & truth, said & ~truth, ~said & truth]
        return np.stack([np.sum(count, axis=1, dtype=np.float64) for count in counts], axis=1)


class F1(DecisionMetric):
    """2 TP / (2 TP + FP + FN) over all samples: the harmonic mean of precision and recall."""

    metric: Literal["f1"] = "f1"

    @override
    def total(self, sums: Floats) -> float:
        """Return F1; NaN where there was nothing to find."""
        right, wrong, missed = sums
        return ratio(2 * right, 2 * right + wrong + missed) if right + missed else float("nan")


class Precision(DecisionMetric):
    """TP / (TP + FP): the share of yeses that are right."""

    metric: Literal["precision"] = "precision"

    @override
    def total(self, sums: Floats) -> float:
        """Return precision; 0 where nothing was found, NaN where there was nothing to find."""
        right, wrong, missed = sums
        if right + missed == 0:
            return float("nan")
        return ratio(right, right + wrong) if right + wrong else 0.0


class Recall(DecisionMetric):
    """TP / (TP + FN): the share of what there was to find that was found."""

    metric: Literal["recall"] = "recall"

    @override
    def total(self, sums: Floats) -> float:
        """Return recall; NaN where there was nothing to find."""
        right, _, missed = sums
        return ratio(right, right + missed)


class MaskIoU(DecisionMetric):
    """TP / (TP + FP + FN) of the pixels of all samples: intersection over union of masks."""

    metric: Literal["mask_iou"] = "mask_iou"

    @override
    def total(self, sums: Floats) -> float:
        """Return the overlap; 1 where both masks are empty."""
        right, union = float(sums[0]), float(np.sum(sums))
        return right / union if union else 1.0
