import numpy as np
import pytest

from worker.engine.scoring.base import Answer, MisfitError
from worker.engine.scoring.sequences import CtcErrorRate, SequenceErrorRate, edit_distance


def score(metric, output, labels):
    tally = metric.start()
    tally.add(Answer(output, labels))
    scored = tally.finish()
    return scored.score(np.ones(scored.samples))


def path(*classes, count=5):
    """Class scores whose best classes are these."""
    return np.eye(count, dtype=np.float32)[list(classes)][np.newaxis]


@pytest.mark.parametrize(
    ("left", "right", "distance"),
    [
        ("kitten", "sitting", 3),  # k/s, e/i, +g
        ("", "abc", 3),
        ("abc", "", 3),
        ("abc", "abc", 0),
        ("flaw", "lawn", 2),
        ("aaaa", "aa", 2),
    ],
)
def test_counts_edits(left, right, distance):
    sequences = [np.array([ord(sign) for sign in text], np.int64) for text in (left, right)]

    assert edit_distance(*sequences) == distance


def test_merges_repeats_and_drops_blanks():
    # 1 1 _ 1 2 2 reads 1 1 2
    assert score(CtcErrorRate(), path(1, 1, 0, 1, 2, 2), np.array([[1, 1, 2, -1]])) == 0


def test_counts_edits_over_the_length_of_what_is_right():
    # reads 1 2, right is 1 3 2 2: two are missing
    assert score(CtcErrorRate(), path(1, 0, 2), np.array([[1, 3, 2, 2]])) == 2 / 4


def test_the_blank_may_be_another_class():
    assert score(CtcErrorRate(blank=4), path(0, 4, 0), np.array([[0, 0]])) == 0


def test_ignored_symbols_count_in_neither():
    assert score(CtcErrorRate(ignored=[3]), path(1, 3, 2), np.array([[1, 2, 3]])) == 0


def test_time_may_come_first():
    output = np.moveaxis(path(1, 0, 2), 0, 1)

    assert score(CtcErrorRate(layout="time_first"), output, np.array([[1, 2]])) == 0


def test_weighs_samples_by_their_length():
    output = np.concatenate([path(1, 0, 0, 0), path(1, 2, 3, 4)])
    labels = np.array([[2, -1, -1, -1], [1, 2, 3, 4]])

    # one wrong of 1, none of 4
    assert score(CtcErrorRate(), output, labels) == 1 / 5
    assert score(CtcErrorRate(per="sequence"), output, labels) == 1 / 2


def test_plain_sequences_keep_repeats():
    assert score(SequenceErrorRate(), path(1, 1, 2), np.array([[1, 1, 2]])) == 0


def test_takes_an_output_of_class_numbers():
    assert score(SequenceErrorRate(), np.array([[1, 2, -1]]), np.array([[1, 3]])) == 1 / 2


def test_what_follows_the_end_is_not_compared():
    output = np.array([[1, 2, 0, 9, 9]])

    assert score(SequenceErrorRate(end=0), output, np.array([[1, 2, 0, -1]])) == 0


@pytest.mark.parametrize(
    ("output", "labels", "reason"),
    [
        (path(1), np.array([[0.5]]), "not class numbers"),
        (np.zeros((1, 3), np.float32), np.array([[1]]), r"not \(batch, time, classes\)"),
        (path(1), np.array([[1], [2]]), "has not a sequence for 2 labels"),
        (np.array([["a"]], object), np.array([[1]]), "neither scores nor classes"),
        (np.array(3), np.array([[1]]), "has not a sequence"),
        (np.zeros(0, np.int64), np.array([[1]]), "has not a sequence"),
    ],
)
def test_says_why_labels_do_not_fit(output, labels, reason):
    with pytest.raises(MisfitError, match=reason):
        score(SequenceErrorRate(), output, labels)


@pytest.mark.parametrize(
    ("metric", "labels"),
    [
        (SequenceErrorRate(), [[1, 99]]),
        (SequenceErrorRate(), [[1, -100]]),
        (CtcErrorRate(), [[1, 0]]),
    ],
)
def test_refuses_labels_that_the_output_never_says(metric, labels):
    with pytest.raises(MisfitError, match="which the output never says"):
        score(metric, path(1, 2), np.array(labels))


def test_refuses_sequences_that_take_too_long_to_compare(monkeypatch):
    monkeypatch.setattr("worker.engine.scoring.sequences.MAX_LENGTH", 2)

    with pytest.raises(MisfitError, match="longer than 2"):
        score(SequenceErrorRate(), path(1, 1, 1), np.array([[1]]))
