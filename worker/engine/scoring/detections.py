"""What a detector's single output says: boxes, scores and classes in the common layouts."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from worker.engine.scoring.base import Floats, MisfitError

Layout = Literal["yolov5", "yolov8", "end_to_end"]
MAX_CANDIDATES = 3000
"""Of one image, the best; comparing boxes takes time in the square of their number."""


@dataclass(frozen=True)
class Detections:
    """The boxes of one image, the best score first."""

    boxes: Floats
    """(boxes, 4): x1, y1, x2, y2."""
    scores: Floats
    classes: Floats

    def best(self, chosen: npt.NDArray[np.intp]) -> "Detections":
        """Return some of the boxes, by their places."""
        return Detections(self.boxes[chosen], self.scores[chosen], self.classes[chosen])


def read_detections(
    output: Floats, layout: Layout, lowest_score: float, overlap: float
) -> list[Detections]:
    """Return each image's boxes that score above the lowest, overlapping ones of a class removed.

    `output` is `(batch, ...)` or a single image's; `end_to_end` has its overlaps removed already.

    Raises:
        MisfitError: its shape is not of that layout.
    """
    images = output[np.newaxis] if output.ndim == 2 else output
    if images.ndim != 3:
        raise MisfitError(f"its shape {output.shape} is not that of the layout {layout}")
    rows = np.swapaxes(images, 1, 2) if layout == "yolov8" else images
    smallest = {"yolov5": 6, "yolov8": 5, "end_to_end": 6}[layout]
    if rows.shape[2] < smallest or (layout == "end_to_end" and rows.shape[2] != smallest):
        raise MisfitError(f"its shape {output.shape} is not that of the layout {layout}")
    found = [_decode(image, layout) for image in rows]
    kept = [_above(each, lowest_score) for each in found]
    if layout == "end_to_end":
        return kept
    return [suppress(each, overlap) for each in kept]


def class_count(output: Floats, layout: Layout) -> int | None:
    """Return how many classes an output tells apart, None where it holds their numbers."""
    if layout == "end_to_end":
        return None
    return int(output.shape[-1] - 5 if layout == "yolov5" else output.shape[-2] - 4)


def suppress(detections: Detections, overlap: float) -> Detections:
    """Return the boxes that no better one of their class overlaps by more than this IoU.

    Greedy non-maximum suppression, class by class.
    """
    kept: list[int] = []
    left = np.arange(len(detections.scores))
    while left.size:
        best, others = left[0], left[1:]
        kept.append(int(best))
        overlaps = intersection_over_union(detections.boxes[[best]], detections.boxes[others])[0]
        same = detections.classes[others] == detections.classes[best]
        left = others[~(same & (overlaps > overlap))]
    return detections.best(np.array(kept, np.intp))


def intersection_over_union(left: Floats, right: Floats) -> Floats:
    """Return the overlap of each box of one with each of the other, (left, right)."""
    corners = np.maximum(left[:, np.newaxis, :2], right[np.newaxis, :, :2])
    opposite = np.minimum(left[:, np.newaxis, 2:], right[np.newaxis, :, 2:])
    inside = np.prod(np.clip(opposite - corners, 0, None), axis=2)
    union = _areas(left)[:, np.newaxis] + _areas(right)[np.newaxis] - inside
    return np.asarray(np.divide(inside, union, out=np.zeros_like(inside), where=union > 0))


def _decode(rows: Floats, layout: Layout) -> Detections:
    """Return all boxes of one image, each with its best class."""
    if layout == "end_to_end":
        return Detections(rows[:, :4], rows[:, 4], rows[:, 5])
    chances = rows[:, 5:] * rows[:, 4:5] if layout == "yolov5" else rows[:, 4:]
    centres, sizes = rows[:, :2], rows[:, 2:4]
    boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)
    return Detections(boxes, chances.max(axis=1), chances.argmax(axis=1).astype(np.float64))


def _above(detections: Detections, lowest_score: float) -> Detections:
    order = np.argsort(-detections.scores, kind="stable")
    order = order[detections.scores[order] > lowest_score]
    return detections.best(order[:MAX_CANDIDATES])


def _areas(boxes: Floats) -> Floats:
    return np.asarray(np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1))
