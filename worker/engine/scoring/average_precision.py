"""Mean average precision of a detector's boxes."""

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field
from typing_extensions import override

from worker.engine.samples import Array
from worker.engine.scoring.base import (
    MAX_KEPT_VALUES,
    Answer,
    Floats,
    Metric,
    MisfitError,
    Scored,
    Tally,
    finite,
)
from worker.engine.scoring.detections import (
    Detections,
    Layout,
    class_count,
    intersection_over_union,
    read_detections,
)

RECALLS = np.linspace(0, 1, 101)
"""Where COCO reads the curve."""
MAX_LABELLED_BOXES = 2000
Share = Annotated[float, Field(ge=0, le=1)]


class BoxMap(Metric):
    """Mean average precision of boxes, read at 101 recalls as COCO does, over classes with labels.

    Labels are (samples, boxes, 5): x1, y1, x2, y2 in the output's own units, and the class; rows
    whose class is `padding` fill up. A box counts for its best class.
    """

    metric: Literal["box_map"] = "box_map"
    layout: Layout
    """`yolov5`: (batch, boxes, 5 + classes), centre, size, objectness, chances; `yolov8`: (batch,
    4 + classes, boxes); `end_to_end`: (batch, boxes, 6), x1 y1 x2 y2 score class, overlaps removed.
    """
    iou: Literal["0.5", "0.5:0.95"] = "0.5"
    """The overlap at which a box is found: one, or the mean over ten from 0.5 to 0.95."""
    lowest_score: Share = 0.001
    """Boxes that score less are left out."""
    overlap: Share = 0.6
    """Non-maximum suppression removes boxes that overlap a better one of their class by more."""
    max_detections: Annotated[int, Field(ge=1, le=1000)] = 300
    """The best boxes of each image that count."""
    padding: int = -1
    """The class of rows that only fill up."""

    undefined: ClassVar[str] = "the labels hold no boxes"

    @override
    def start(self) -> "DetectionTally":
        """Return a tally without runs."""
        return DetectionTally(self)

    def overlaps(self) -> Floats:
        """Return the overlaps at which the precision is taken."""
        return np.array([0.5]) if self.iou == "0.5" else np.linspace(0.5, 0.95, 10)


class DetectionTally(Tally):
    """Each detection's image, class and score, and at which overlaps it is right."""

    def __init__(self, metric: BoxMap) -> None:
        self._metric = metric
        self._found: list[Floats] = []
        self._labelled: list[Floats] = []
        self._images = self._kept = 0

    @override
    def add(self, answer: Answer) -> None:
        """Take in one run."""
        metric = self._metric
        labels = finite(answer.labels)
        labels = labels[np.newaxis] if labels.ndim == 2 else labels
        if labels.ndim != 3 or labels.shape[2] != 5:
            raise MisfitError(f"labels of shape {answer.labels.shape} are not (samples, boxes, 5)")
        output = finite(answer.output)
        found = read_detections(output, metric.layout, metric.lowest_score, metric.overlap)
        if len(found) != len(labels):
            raise MisfitError(f"it has boxes for {len(found)} images and labels for {len(labels)}")
        self._check_classes(labels, class_count(output, metric.layout))
        for detections, boxes in zip(found, labels, strict=True):
            self._add_image(detections, boxes[boxes[:, 4] != metric.padding])

    @override
    def finish(self) -> "DetectionScored":
        """Return the detections of all images."""
        width = 3 + len(self._metric.overlaps())
        found = np.concatenate([np.zeros((0, width)), *self._found])
        return DetectionScored(
            self._images, found, np.concatenate([np.zeros((0, 2)), *self._labelled])
        )

    def _check_classes(self, labels: Floats, count: int | None) -> None:
        found = labels[..., 4]
        wrong = found[
            (found != self._metric.padding) & ((found < 0) | (found >= (count or np.inf)))
        ]
        if wrong.size:
            raise MisfitError(
                f"the labels hold class {wrong[0]:g}, which is neither one of the output's nor"
                f" `padding` ({self._metric.padding})"
            )

    def _add_image(self, detections: Detections, labelled: Floats) -> None:
        if len(labelled) > MAX_LABELLED_BOXES:
            raise MisfitError(f"an image has over {MAX_LABELLED_BOXES} labelled boxes")
        best = detections.best(np.arange(min(self._metric.max_detections, len(detections.scores))))
        right = _match(best, labelled, self._metric.overlaps())
        images = np.full(len(best.scores), self._images)
        self._found.append(np.column_stack([images, best.classes, best.scores, right]))
        owners = np.full(len(labelled), self._images)
        self._labelled.append(np.column_stack([owners, labelled[:, 4]]))
        self._images += 1
        self._kept += self._found[-1].size
        if self._kept > MAX_KEPT_VALUES:
            raise MisfitError("too many boxes to keep: use `max_samples` or a `lowest_score`")


class DetectionScored(Scored):
    """The detections of each class, the best first, and how many there are to find."""

    def __init__(self, images: int, found: Floats, labelled: Floats) -> None:
        self.samples = images
        found = found[np.argsort(-found[:, 2], kind="stable")]
        self._classes = [
            (found[found[:, 1] == number], labelled[labelled[:, 1] == number, 0].astype(np.intp))
            for number in np.unique(labelled[:, 1])
        ]

    @property
    @override
    def cost(self) -> int:
        """How many numbers one call of `score` looks at."""
        return sum(8 * found.size + 1000 for found, _ in self._classes)

    @override
    def score(self, weights: Floats) -> float:
        """Return the mean over classes and overlaps of the average precision."""
        precisions = [
            np.mean([_average_precision(each * right, each, wanted) for right in found[:, 3:].T])
            for found, owners in self._classes
            if (wanted := float(weights[owners].sum())) > 0
            for each in [weights[found[:, 0].astype(np.intp)]]
        ]
        return float(np.mean(precisions)) if precisions else float("nan")


def _match(detections: Detections, labelled: Floats, overlaps: Floats) -> Array:
    """Return at which overlaps each detection is right: (detections, overlaps).

    As COCO does, the best detection first takes the labelled box of its class that it overlaps
    most, of those that no better one has taken.
    """
    right = np.zeros((len(detections.scores), len(overlaps)), bool)
    shares = intersection_over_union(detections.boxes, labelled[:, :4])
    same = detections.classes[:, np.newaxis] == labelled[np.newaxis, :, 4]
    shares = np.where(same, shares, -1.0)
    for column, overlap in enumerate(overlaps):
        free = np.ones(len(labelled), bool)
        for row in np.flatnonzero(shares.max(axis=1, initial=-1.0) >= overlap):
            open_shares = np.where(free, shares[row], -1.0)
            best = int(open_shares.argmax())
            if open_shares[best] >= overlap:
                free[best] = False
                right[row, column] = True
    return right


def _average_precision(hits: Floats, weights: Floats, wanted: float) -> float:
    """Return the mean precision at 101 recalls, each the best at that recall or a higher one."""
    if hits.size == 0:
        return 0.0
    found, said = np.cumsum(hits), np.cumsum(weights)
    precision = np.divide(found, said, out=np.zeros_like(found), where=said > 0)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(found / wanted, RECALLS - 1e-12, side="left")
    return float(np.mean(np.append(precision, 0.0)[places]))
