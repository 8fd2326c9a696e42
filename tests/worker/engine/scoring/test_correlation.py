import numpy as np
import pytest
from pydantic import ValidationError

from worker.engine.scoring.base import Answer, MisfitError
from worker.engine.scoring.correlation import Pearson, Spearman, weighted_ranks

# cosines with (1, 0): 1, 0.8, 0.6, 0
VECTORS = np.array([[2.0, 0], [4, 3], [3, 4], [0, 1]])


def tallied(metric, *answers):
    tally = metric.start()
    for answer in answers:
        tally.add(answer)
    return tally.finish()


def test_correlates_one_value_a_sample_with_its_label():
    values, labels = np.array([[1.0], [2.0], [3.0]]), np.array([2.0, 1.0, 3.0])

    # ranks 1 2 3 and 2 1 3: 1 - 6 (1 + 1 + 0) / (3 · 8)
    assert tallied(Spearman(), Answer(values, labels)).score(np.ones(3)) == pytest.approx(0.5)
    # the values are their own ranks here
    assert tallied(Pearson(), Answer(values, labels)).score(np.ones(3)) == pytest.approx(0.5)


def test_ties_share_their_mean_rank_each_counted_as_often_as_it_weighs():
    # 5 at place 1, three times 7 at places 2, 3 and 4, 9 at place 5
    ranks = weighted_ranks(np.array([7.0, 5.0, 9.0, 7.0]), np.array([2.0, 1.0, 1.0, 1.0]))

    assert ranks.tolist() == [3, 1, 5, 3]


def test_pairs_consecutive_samples_wherever_runs_end():
    east = np.array([[1.0, 0.0]])
    rows = np.concatenate(
        [[row, other] for row, other in zip(VECTORS, np.repeat(east, 4, 0), strict=True)]
    )
    labels = np.repeat([9.0, 1.0, 2.0, 0.0], 2)

    found = tallied(
        Spearman(pairs="consecutive"),
        Answer(rows[:3], labels[:3], number=0),
        Answer(rows[3:], labels[3:], number=3),
    )

    # cosines 1, 0.8, 0.6, 0 rank 4 3 2 1, labels 4 2 3 1: 1 - 6 (1 + 1) / (4 · 15)
    assert found.samples == 4
    assert found.score(np.ones(4)) == pytest.approx(0.8)


def test_a_pair_that_lost_a_sample_is_left_out():
    found = tallied(
        Spearman(pairs="consecutive"),
        Answer(VECTORS[:1], np.zeros(1), number=0),
        Answer(VECTORS[1:3], np.zeros(2), number=2),
    )

    assert found.samples == 1


def test_pairs_all_samples_by_their_place_in_the_dataset():
    labels = np.array([[0, 8, 6, 0], [0, 0, 9, 6], [0, 0, 0, 8], [0, 0, 0, 0]], float)
    answers = [Answer(VECTORS[[i]], labels[[i]], number=i) for i in range(4)]

    # cosines of all pairs: .8 .6 0 .96 .6 .8; the labels are as near to each other
    assert tallied(Spearman(pairs="all"), *answers).score(np.ones(4)) == pytest.approx(1)
    # without sample 1: .6 0 .8
    left = tallied(Spearman(pairs="all"), *answers[:1], *answers[2:])
    assert (left.samples, left.score(np.ones(3))) == (3, pytest.approx(1))


def test_a_sample_drawn_twice_pairs_twice_with_each_other():
    labels = np.array([[0, 8, 6], [0, 0, 1], [0, 0, 0]], float)
    answers = [Answer(VECTORS[[i]], labels[[i]], number=i) for i in range(3)]

    found = tallied(Pearson(pairs="all"), *answers).score(np.array([2.0, 1.0, 1.0]))

    # pairs (0, 1) and (0, 2) twice, (1, 2) once
    assert found == pytest.approx(np.corrcoef([0.8, 0.8, 0.6, 0.6, 0.96], [8, 8, 6, 6, 1])[0, 1])


def test_pairs_two_outputs_of_a_sample():
    metric = Pearson(pairs="outputs", second_output="b")
    east = np.repeat([[1.0, 0.0]], 4, axis=0)

    found = tallied(metric, Answer(VECTORS, np.array([1.0, 0.8, 0.6, 0.0]), other=east))

    assert found.score(np.ones(4)) == pytest.approx(1)


def test_pools_tokens_to_one_embedding():
    tokens = np.array([[[1.0, 0], [0, 1]], [[1, 0], [1, 0]]])
    labels = np.array([1.0, 0.0])

    found = tallied(
        Spearman(pairs="consecutive", pool="mean"),
        Answer(tokens, labels, number=0),
        Answer(tokens[:, :1], np.zeros(2), number=2),
    )

    # (.5, .5) and (1, 0) have the cosine √.5, the others are equal: the larger label, the lower
    assert found.score(np.ones(2)) == pytest.approx(-1)


def test_ignored_labels_are_not_scored():
    values, labels = np.array([[1.0], [2.0], [3.0], [9.0]]), np.array([2.0, 1.0, 3.0, -1.0])

    found = tallied(Spearman(ignore=-1), Answer(values, labels))

    assert (found.samples, found.score(np.ones(3))) == (3, pytest.approx(0.5))


def test_equal_labels_leave_it_undefined_and_equal_answers_make_it_zero():
    values = np.array([[1.0], [2.0]])

    assert np.isnan(tallied(Spearman(), Answer(values, np.zeros(2))).score(np.ones(2)))
    constant = tallied(Spearman(), Answer(np.ones((2, 1)), np.array([1.0, 2.0])))
    assert constant.score(np.ones(2)) == 0


@pytest.mark.parametrize(
    ("metric", "answer", "reason"),
    [
        (Spearman(), Answer(VECTORS, np.zeros(4)), "2 values for a sample: `pairs`"),
        (Spearman(), Answer(np.zeros((4, 1)), np.zeros((4, 2))), "not one for each"),
        (Spearman(pairs="all"), Answer(VECTORS, np.zeros((4, 3))), "sample 3 has no column"),
        (Spearman(pool="mean"), Answer(VECTORS, np.zeros(4)), "tokens"),
        (Pearson(pairs="consecutive"), Answer(VECTORS, np.zeros(3)), "not those of 3 samples"),
    ],
)
def test_says_why_labels_do_not_fit(metric, answer, reason):
    with pytest.raises(MisfitError, match=reason):
        tallied(metric, answer)


def test_two_outputs_go_with_their_option():
    with pytest.raises(ValidationError, match="goes with second_output"):
        Spearman(pairs="outputs")
