import numpy as np
import pytest

from worker.engine.accuracy import make_scorers
from worker.engine.errors import InvalidDatasetError

LOGITS = np.array([[0.1, 0.9, 0.0], [0.8, 0.1, 0.3]], np.float32)
WORSE = np.array([[0.9, 0.1, 0.0], [0.8, 0.1, 0.3]], np.float32)


def scored(labels, before=LOGITS, after=WORSE, metrics=None, output=None):
    [scorer] = make_scorers(metrics, output, {"y": before}, labels)
    scorer.add([before], [after], labels)
    return scorer.result()


@pytest.mark.parametrize(
    "labels",
    [
        np.array([1, 0]),
        np.array([[1], [0]]),
        np.array([[0, 1, 0], [1, 0, 0]]),
        np.array([[0, 1, 0], [1, 0, 0]], np.float32),
    ],
)
def test_top1_takes_classes_in_each_common_form(labels):
    score = scored(labels)

    assert (score.metric, score.before, score.after, score.samples) == ("top1", 1.0, 0.5, 2)


def test_top5_takes_a_class_among_the_five_best():
    scores = np.array([[6, 5, 4, 3, 2, 1]], np.float32)

    hit = scored(np.array([4]), scores, scores, ["top5"])
    miss = scored(np.array([5]), scores, scores, ["top5"])

    assert (hit.before, miss.before) == (1.0, 0.0)


def test_float_labels_are_scored_by_their_squared_error():
    score = scored(np.array([1.0, 2.0]), np.array([[1.0], [2.0]]), np.array([[2.0], [2.0]]))

    # ((2 - 1)² + 0) / 2
    assert (score.metric, score.before, score.after) == ("mean_squared_error", 0.0, 0.5)
    assert not score.larger_is_better


def test_an_output_of_classes_is_compared_as_it_is():
    score = scored(np.array([3, 4]), np.array([3, 4]), np.array([3, 3]))

    assert (score.before, score.after) == (1.0, 0.5)


def test_an_output_of_text_is_compared_as_it_is():
    labels = np.array(["cat", "dog"], object)

    score = scored(labels, labels, np.array(["cat", "cat"], object))

    assert (score.before, score.after) == (1.0, 0.5)


def test_labels_may_be_one_class_for_each_position():
    logits = np.zeros((1, 2, 3), np.float32)
    logits[0, 0, 1] = logits[0, 1, 2] = 1

    score = scored(np.array([[1, 0]]), logits, logits)

    assert (score.samples, score.before) == (1, 0.5)


def test_takes_the_first_output_that_fits():
    outputs = {"features": np.zeros((2, 7, 7), np.float32), "y": LOGITS}

    [scorer] = make_scorers(None, None, outputs, np.array([1, 0]))

    assert scorer.output == "y"


def test_says_which_outputs_there_are():
    with pytest.raises(InvalidDatasetError, match='"z" is no output of the model, which has "y"'):
        scored(np.array([1, 0]), output="z")


def test_says_why_labels_do_not_fit():
    with pytest.raises(InvalidDatasetError, match=r"labels of shape \(5,\) .* \"y\" \(2, 3\)"):
        scored(np.arange(5))
