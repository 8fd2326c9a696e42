import numpy as np
import pytest

from worker.engine.scoring.base import MisfitError
from worker.engine.scoring.detections import intersection_over_union, read_detections


def test_overlap_is_the_share_of_the_union():
    boxes = np.array([[0.0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6], [4, 4, 4, 4]])

    # 2 of 4 + 4 - 2
    assert intersection_over_union(boxes[:1], boxes).tolist() == [[1, 2 / 6, 0, 0]]


def test_reads_boxes_with_objectness():
    # centre (2, 2), size (2, 4), objectness 0.5, chances 0.4 and 0.8
    [found] = read_detections(np.array([[[2.0, 2, 2, 4, 0.5, 0.4, 0.8]]]), "yolov5", 0.1, 0.5)

    assert found.boxes.tolist() == [[1, 0, 3, 4]]
    assert (found.scores.tolist(), found.classes.tolist()) == ([0.4], [1])


def test_reads_boxes_that_lie_in_columns():
    rows = np.array([[[2.0, 2, 2, 4, 0.4, 0.8], [9, 9, 2, 2, 0.9, 0.1]]])

    [found] = read_detections(np.swapaxes(rows, 1, 2), "yolov8", 0.1, 0.5)

    assert found.boxes.tolist() == [[8, 8, 10, 10], [1, 0, 3, 4]]
    assert (found.scores.tolist(), found.classes.tolist()) == ([0.9, 0.8], [0, 1])


def test_removes_overlapping_boxes_of_the_same_class():
    same = [[2.0, 2, 4, 4, 1, 0.9, 0], [2.1, 2, 4, 4, 1, 0.8, 0], [2, 2, 4, 4, 1, 0, 0.7]]

    [found] = read_detections(np.array([same]), "yolov5", 0.1, 0.5)

    assert (found.scores.tolist(), found.classes.tolist()) == ([0.9, 0.7], [0, 1])


def test_takes_final_boxes_as_they_are_but_those_that_score_too_little():
    rows = np.array([[0.0, 0, 2, 2, 0.3, 5], [0, 0, 2, 2, 0.9, 5], [0, 0, 2, 2, 0.01, 5]])

    [found] = read_detections(rows, "end_to_end", 0.1, 0.5)

    assert (found.scores.tolist(), found.classes.tolist()) == ([0.9, 0.3], [5, 5])


@pytest.mark.parametrize(
    ("shape", "layout"),
    [((1, 3, 7), "end_to_end"), ((1, 3, 4), "yolov5"), ((1, 4, 9), "yolov8"), ((6,), "yolov5")],
)
def test_refuses_shapes_of_other_layouts(shape, layout):
    with pytest.raises(MisfitError, match="not that of the layout"):
        read_detections(np.zeros(shape), layout, 0.1, 0.5)
