import numpy as np
import pytest

from worker.engine.scoring.base import Answer, MisfitError
from worker.engine.scoring.ranking import AreaUnderCurve

VALUES = np.array([[0.9], [0.5], [0.5], [0.1]])
LABELS = np.array([1, 1, 0, 0])


def scored(metric, *runs):
    tally = metric.start()
    for output, labels in runs:
        tally.add(Answer(output, labels))
    return tally.finish()


def test_is_the_share_of_pairs_in_the_right_order():
    found = scored(AreaUnderCurve(), (VALUES, LABELS))

    # of 4 pairs three are in order and one is a tie
    assert found.score(np.ones(4)) == pytest.approx(3.5 / 4)


def test_runs_may_come_one_after_another():
    found = scored(AreaUnderCurve(), (VALUES[:1], LABELS[:1]), (VALUES[1:], LABELS[1:]))

    assert found.score(np.ones(4)) == pytest.approx(3.5 / 4)


def test_a_weighted_sample_counts_as_often():
    once = scored(AreaUnderCurve(), (VALUES, LABELS))
    repeated = scored(AreaUnderCurve(), (VALUES[[0, 1, 1, 1, 3]], LABELS[[0, 1, 1, 1, 3]]))

    assert once.score(np.array([1.0, 3, 0, 1])) == repeated.score(np.ones(5))


def test_is_undefined_where_all_labels_are_the_same():
    assert np.isnan(scored(AreaUnderCurve(), (VALUES, np.ones(4, int))).score(np.ones(4)))


def test_refuses_to_keep_more_values_than_memory_should_hold(monkeypatch):
    monkeypatch.setattr("worker.engine.scoring.ranking.MAX_KEPT_VALUES", 3)

    with pytest.raises(MisfitError, match="over 3 values to rank"):
        scored(AreaUnderCurve(), (VALUES, LABELS))
