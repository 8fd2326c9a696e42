import numpy as np
import pytest

from worker.engine.scoring.average_precision import BoxMap
from worker.engine.scoring.base import Answer, MisfitError

FIRST, SECOND, ELSEWHERE = [0, 0, 10, 10], [20, 20, 30, 30], [50, 50, 60, 60]
FILL = [0, 0, 0, 0, -1]


def scored(metric, *images):
    tally = metric.start()
    for found, labelled in images:
        tally.add(Answer(np.array([found], float), np.array([labelled], float)))
    return tally.finish()


def test_perfect_boxes_score_one():
    found = scored(
        BoxMap(layout="end_to_end", iou="0.5:0.95"),
        ([[*FIRST, 0.9, 0], [*SECOND, 0.8, 1]], [[*FIRST, 0], [*SECOND, 1], FILL]),
    )

    assert found.score(np.ones(1)) == pytest.approx(1)


def test_is_the_mean_precision_at_101_recalls():
    found = scored(
        BoxMap(layout="end_to_end"),
        ([[*FIRST, 0.9, 0], [*ELSEWHERE, 0.8, 0], [*SECOND, 0.7, 0]], [[*FIRST, 0], [*SECOND, 0]]),
    )

    # recall 1/2 at precision 1 (recalls 0 to 0.5: 51 of them), then 2/3 up to recall 1 (50)
    assert found.score(np.ones(1)) == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)


def test_a_second_box_on_the_same_thing_is_wrong():
    found = scored(
        BoxMap(layout="end_to_end"),
        ([[*FIRST, 0.9, 0], [*FIRST, 0.8, 0]], [[*FIRST, 0], [*SECOND, 0]]),
    )

    assert found.score(np.ones(1)) == pytest.approx(51 / 101)


def test_a_looser_box_counts_at_the_overlaps_it_reaches():
    # 10 x 8 of 10 x 10: an overlap of 0.8, which reaches 7 of the 10 from 0.5 to 0.95
    loose = [[0, 0, 10, 8, 0.9, 0]]

    found = scored(BoxMap(layout="end_to_end", iou="0.5:0.95"), (loose, [[*FIRST, 0]]))

    assert found.score(np.ones(1)) == pytest.approx(0.7)


def test_averages_over_the_classes_that_have_labels():
    found = scored(
        BoxMap(layout="end_to_end"),
        ([[*FIRST, 0.9, 0], [*ELSEWHERE, 0.9, 2]], [[*FIRST, 0], [*SECOND, 1]]),
    )

    assert found.score(np.ones(1)) == pytest.approx(0.5)


def test_images_may_be_left_out():
    found = scored(
        BoxMap(layout="end_to_end"),
        ([[*FIRST, 0.9, 0]], [[*FIRST, 0]]),
        ([[*ELSEWHERE, 0.95, 0]], [[*SECOND, 0]]),
    )

    assert found.samples == 2
    assert found.score(np.array([2.0, 0.0])) == pytest.approx(1)
    assert found.score(np.array([0.0, 1.0])) == 0
    # the wrong box comes first: 1 of 2 found, at a precision of 1/2
    assert found.score(np.ones(2)) == pytest.approx(51 * 0.5 / 101)


def test_is_undefined_without_labelled_boxes():
    found = scored(BoxMap(layout="end_to_end"), ([[*FIRST, 0.9, 0]], [FILL]))

    assert np.isnan(found.score(np.ones(1)))


def test_a_detector_that_finds_nothing_scores_zero():
    found = scored(BoxMap(layout="end_to_end"), ([[*FIRST, 0.0, 0]], [[*FIRST, 0]]))

    assert found.score(np.ones(1)) == 0


@pytest.mark.parametrize(
    ("layout", "output"), [("yolov5", np.zeros((1, 3, 7))), ("yolov8", np.zeros((1, 6, 3)))]
)
def test_refuses_classes_that_the_output_has_not(layout, output):
    tally = BoxMap(layout=layout).start()

    tally.add(Answer(output, np.array([[[*FIRST, 1], FILL]])))
    with pytest.raises(MisfitError, match="the labels hold class 2"):
        tally.add(Answer(output, np.array([[[*FIRST, 2], FILL]])))


@pytest.mark.parametrize(
    ("labels", "reason"),
    [(np.zeros((1, 2, 4)), r"not \(samples, boxes, 5\)"), (np.zeros((2, 1, 5)), "1 images and")],
)
def test_says_why_labels_do_not_fit(labels, reason):
    tally = BoxMap(layout="end_to_end").start()

    with pytest.raises(MisfitError, match=reason):
        tally.add(Answer(np.zeros((1, 3, 6)), labels))
