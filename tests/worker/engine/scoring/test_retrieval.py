import numpy as np
import pytest

from worker.engine.scoring.base import Answer, MisfitError
from worker.engine.scoring.retrieval import NearestLabel

ENTRIES = np.array([[0.0, 1.0], [5.0, 0.0]])


def score(metric, queries, labels):
    tally = metric.start()
    tally.add(Answer(ENTRIES, np.array([[7, 0], [8, 0]])))
    for query, label in zip(queries, labels, strict=True):
        tally.add(Answer(np.array([query]), np.array([[label, 1]])))
    scored = tally.finish()
    return scored.samples, scored.score(np.ones(scored.samples))


def test_counts_queries_whose_nearest_entry_is_right():
    assert score(NearestLabel(), [[0, 2], [4, 0], [0, 0]], [7, 7, 7]) == (3, 2 / 3)


def test_nearness_may_be_that_of_directions():
    # at (1, 0.9) the first entry is nearer, the second one lies in that direction
    assert score(NearestLabel(), [[1, 0.9]], [8]) == (1, 0)
    assert score(NearestLabel(distance="cosine"), [[1, 0.9]], [8]) == (1, 1)


def test_is_undefined_without_queries():
    assert np.isnan(score(NearestLabel(), [], [])[1])


def test_says_why_labels_do_not_fit():
    with pytest.raises(MisfitError, match=r"not \(samples, 2\)"):
        NearestLabel().start().add(Answer(ENTRIES, np.zeros(2)))
