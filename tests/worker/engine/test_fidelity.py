import numpy as np
import pytest

from worker.engine.decibels import FLOOR_DB, signal_to_noise_db
from worker.engine.fidelity import OutputComparison
from worker.engine.outputs import as_array


def compared(*pairs):
    comparison = OutputComparison("y")
    for reference, answer in pairs:
        comparison.add(np.asarray(reference, np.float32), np.asarray(answer, np.float32))
    return comparison.result("dataset")


def test_pools_signal_and_noise_over_all_samples():
    result = compared(([3.0, 4.0], [3.0, 4.5]), ([5.0, 0.0], [5.0, 0.0]))

    # signal 9 + 16 + 25 = 50, noise 0.25: 10 log10(200)
    assert result.sqnr_db == pytest.approx(10 * np.log10(200))
    assert result.samples == 2
    assert result.max_abs_error == 0.5


def test_finds_the_worst_sample():
    result = compared(([1.0], [1.0]), ([2.0], [1.0]), ([2.0], [2.5]))

    # 10 log10(4 / 1) against 10 log10(4 / 0.25)
    assert result.worst_sample == 1
    assert result.worst_sample_sqnr_db == pytest.approx(10 * np.log10(4))


def test_equal_answers_have_no_noise():
    result = compared(([1.0, 2.0], [1.0, 2.0]))

    assert (result.sqnr_db, result.worst_sample_sqnr_db, result.cosine) == (None, None, 1.0)


def test_an_error_on_nothing_but_zeros_is_the_floor():
    assert signal_to_noise_db(0.0, 1.0) == FLOOR_DB
    assert compared(([0.0], [1.0])).cosine == 0.0


def test_cosine_is_over_all_samples_together():
    result = compared(([1.0, 0.0], [1.0, 0.0]), ([0.0, 1.0], [1.0, 0.0]))

    # dot 1 + 0, lengths sqrt(2) and sqrt(2)
    assert result.cosine == pytest.approx(0.5)


def test_counts_equal_argmax_over_the_last_axis():
    result = compared(([[1, 2], [4, 3]], [[1, 3], [3, 4]]))

    assert result.argmax_agreement == 0.5


def test_has_no_argmax_where_there_is_nothing_to_decide():
    assert compared(([[1.0], [2.0]], [[1.0], [2.0]])).argmax_agreement is None
    assert compared(([1.0, 2.0], [1.0, 2.0])).argmax_agreement is None


def test_counts_only_new_values_that_are_not_finite():
    result = compared(([1.0, np.inf, 2.0], [np.nan, np.inf, 2.0]))

    assert result.non_finite == 1
    assert result.sqnr_db is None


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        (np.array([1, 2, 3, 4]), np.array([1, 2, 3, 0])),
        (np.array([True] * 4), np.array([True] * 3 + [False])),
        (np.array(list("abcd"), object), np.array(list("abcx"), object)),
    ],
)
def test_discrete_outputs_have_a_share_of_equal_values(reference, answer):
    comparison = OutputComparison("label")

    comparison.add(reference, answer)

    result = comparison.result("dataset")
    assert (result.agreement, result.sqnr_db, result.cosine) == (0.75, None, None)


def test_missing_values_count_as_zeros():
    result = compared(([[3.0], [4.0]], [[3.0]]))

    # signal 25, noise 16
    assert result.shape_mismatches == 1
    assert result.sqnr_db == pytest.approx(10 * np.log10(25 / 16))


def test_reads_maps_and_sequences():
    assert as_array([{1: 0.25, 0: 0.75}]).tolist() == [[0.75, 0.25]]
    assert as_array([np.ones(2), np.zeros(1)]).tolist() == [1.0, 1.0, 0.0]
    assert as_array([]).size == 0
