import numpy as np
import pytest

from worker.engine.scoring.base import Answer, MisfitError
from worker.engine.scoring.differences import MeanAbsoluteError, MeanCosine, MeanSquaredError

VALUES = np.array([[1.0, 2.0], [0.0, 4.0]])
LABELS = np.array([[2.0, 2.0], [3.0, 4.0]])


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (MeanSquaredError(), ((1 + 0) / 2 + (9 + 0) / 2) / 2),
        (MeanAbsoluteError(), ((1 + 0) / 2 + (3 + 0) / 2) / 2),
        # (1·2 + 2·2) / (√5 √8) and (0 + 16) / (4 · 5)
        (MeanCosine(), (6 / np.sqrt(40) + 16 / 20) / 2),
    ],
)
def test_averages_over_the_samples(metric, expected):
    tally = metric.start()
    tally.add(Answer(VALUES[:1], LABELS[:1]))
    tally.add(Answer(VALUES[1:], LABELS[1:]))

    assert tally.finish().score(np.ones(2)) == pytest.approx(expected)


def test_a_vector_of_zeros_is_like_nothing():
    tally = MeanCosine().start()
    tally.add(Answer(np.zeros((1, 2)), LABELS[:1]))

    assert tally.finish().score(np.ones(1)) == 0


def test_refuses_answers_without_values():
    with pytest.raises(MisfitError, match="no values"):
        MeanSquaredError().start().add(Answer(np.zeros((1, 0)), np.zeros((1, 0))))


def test_says_how_many_values_there_are():
    with pytest.raises(MisfitError, match="4 values for 3 labels"):
        MeanSquaredError().start().add(Answer(VALUES, np.zeros(3)))


def test_refuses_labels_without_a_direction():
    with pytest.raises(MisfitError, match="all 0, which is no direction"):
        MeanCosine().start().add(Answer(VALUES, np.zeros((2, 2))))
