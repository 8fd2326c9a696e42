import numpy as np
import pytest

from worker.engine.scoring.base import Answer, MisfitError
from worker.engine.scoring.classes import Top1, Top5

LOGITS = np.array([[0.1, 0.9, 0.0], [0.8, 0.1, 0.3]], np.float32)


def score(metric, output, labels):
    tally = metric.start()
    tally.add(Answer(output, labels))
    scored = tally.finish()
    return scored.score(np.ones(scored.samples))


@pytest.mark.parametrize(
    "labels",
    [
        np.array([1, 2]),
        np.array([[1], [2]]),
        np.array([[0, 1, 0], [0, 0, 1]]),
        np.array([[0, 1, 0], [0, 0, 1]], np.float32),
    ],
)
def test_top1_takes_classes_in_each_common_form(labels):
    assert score(Top1(), LOGITS, labels) == 0.5


def test_top5_takes_a_class_among_the_five_best():
    scores = np.array([[6, 5, 4, 3, 2, 1]], np.float32)

    assert score(Top5(), scores, np.array([4])) == 1
    assert score(Top5(), scores, np.array([5])) == 0


def test_an_output_of_classes_is_compared_as_it_is():
    assert score(Top1(), np.array([3, 3]), np.array([3, 4])) == 0.5


def test_an_output_of_text_is_compared_as_it_is():
    said, right = np.array(["cat", "cat"], object), np.array(["cat", "dog"], object)

    assert score(Top1(), said, right) == 0.5


def test_labels_may_be_one_class_for_each_position():
    logits = np.zeros((1, 2, 3), np.float32)
    logits[0, 0, 1] = logits[0, 1, 2] = 1

    assert score(Top1(), logits, np.array([[1, 0]])) == 0.5


def test_classes_may_lie_on_another_axis():
    logits = np.zeros((1, 3, 2, 2), np.float32)
    logits[0, 1, :, 0] = logits[0, 2, :, 1] = 1

    # three of four pixels
    assert score(Top1(axis=1), logits, np.array([[[1, 2], [1, 0]]])) == 0.75


def test_ignored_labels_are_not_scored():
    logits = np.zeros((2, 2, 3), np.float32)
    logits[..., 1] = 1
    labels = np.array([[1, -100], [-100, -100]])

    # one decision counts, and it is right; the second sample has none
    assert score(Top1(ignore=-100), logits, labels) == 1


@pytest.mark.parametrize(
    ("metric", "output", "labels", "reason"),
    [
        (Top1(), LOGITS, np.arange(5), "not one class for each"),
        (Top1(), LOGITS, np.array([1, 3]), "label 3 is none of its 3 classes, which count from 0"),
        (Top1(), LOGITS, np.array([1, -100]), "label -100 is none .* `ignore` leaves out"),
        (Top1(), LOGITS, np.array([[0, 1, 0], [0, 0, 0]]), "the same for every class"),
        (Top5(), LOGITS, np.array([1, 2]), "3 classes, each of them among the 5 best"),
        (Top1(), np.array(["a"], object), np.array([1]), "one is text and one is numbers"),
    ],
)
def test_says_why_labels_do_not_fit(metric, output, labels, reason):
    with pytest.raises(MisfitError, match=reason):
        score(metric, output, labels)
