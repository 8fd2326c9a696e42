import numpy as np
import pytest

from worker.engine.scoring.base import Answer, MisfitError
from worker.engine.scoring.decisions import F1, MaskIoU, Precision, Recall

# above 0.5: yes yes no no yes; right: yes no yes no yes -> TP 2, FP 1, FN 1
CHANCES = np.array([[0.9], [0.6], [0.5], [0.1], [0.7]], np.float32)
LABELS = np.array([1, 0, 1, 0, 1])


def score(metric, output=CHANCES, labels=LABELS):
    tally = metric.start()
    tally.add(Answer(output, labels))
    scored = tally.finish()
    return scored.score(np.ones(scored.samples))


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (F1(), 2 * 2 / (2 * 2 + 1 + 1)),
        (Precision(), 2 / (2 + 1)),
        (Recall(), 2 / (2 + 1)),
        (MaskIoU(), 2 / (2 + 1 + 1)),
        # yes yes no no no: one right, one wrong, two missed, where 0.7 is the least yes
        (Recall(threshold=0.7), 1 / 3),
        (F1(threshold=0.95), 0),
    ],
)
def test_counts_decisions_over_all_samples(metric, expected):
    assert score(metric) == pytest.approx(expected)


def test_masks_may_have_another_rank_than_their_labels():
    output = np.zeros((1, 1, 2, 2), np.float32)
    output[0, 0, 0] = 1
    mask = np.array([[[1, 0], [1, 0]]], np.uint8)

    # one pixel in both, three in either
    assert score(MaskIoU(), output, mask) == pytest.approx(1 / 3)


def test_empty_masks_agree():
    assert score(MaskIoU(), np.zeros((1, 4)), np.zeros((1, 4), int)) == 1


@pytest.mark.parametrize("metric", [F1(), Precision(), Recall()])
def test_without_a_yes_among_the_labels_there_is_nothing_to_score(metric):
    assert np.isnan(score(metric, labels=np.zeros(5, int)))


def test_takes_one_entry_of_an_axis():
    both = np.concatenate([1 - CHANCES, CHANCES], axis=1)

    assert score(F1(index=1), both) == score(F1())


def test_takes_the_highest_value_of_a_sample():
    maps = np.zeros((2, 1, 2, 2), np.float32)
    maps[0, 0, 1, 1] = 0.8

    assert score(Recall(reduce="max"), maps, np.array([1, 1])) == 0.5


def test_ignored_labels_are_not_scored():
    assert score(Precision(ignore=255), CHANCES, np.array([1, 255, 1, 0, 1])) == 1


@pytest.mark.parametrize(
    ("metric", "labels", "reason"),
    [
        (F1(), np.array([0, 1]), "5 values for 2 labels; `index` and `reduce`"),
        (F1(), np.array([0, 1, 2, 0, 1]), "not all 0 or 1"),
        (F1(index=7), LABELS, "no entry 7"),
        (F1(index=0, axis=4), LABELS, "no axis 4"),
        (F1(reduce="max"), np.array([0, 1]), "5 values are not those of 2 samples"),
    ],
)
def test_says_why_labels_do_not_fit(metric, labels, reason):
    with pytest.raises(MisfitError, match=reason):
        score(metric, CHANCES, labels)


def test_a_value_that_is_not_finite_is_a_no():
    assert score(Recall(), np.array([[np.nan], [np.inf]]), np.array([1, 1])) == 0
