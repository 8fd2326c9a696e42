import pytest

from benchmarks.tasks.metrics import area_under_curve, edit_distance, spearman


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ([1, 2, 3], [10, 20, 90], 1.0),
        ([1, 2, 3], [3, 2, 1], -1.0),
        # ranks 0.5, 0.5, 2 against 0, 1, 2: 1.5 / sqrt(1.5 * 2)
        ([5, 5, 9], [1, 2, 3], 1.5 / 3**0.5),
    ],
)
def test_spearman_is_the_correlation_of_ranks(left, right, expected):
    assert spearman(left, right) == pytest.approx(expected)


def test_area_under_curve_counts_pairs_in_order_and_ties_half():
    # 3 > 1, 3 > 2, 2 > 1 and the tie 2 = 2
    assert area_under_curve([3, 2, 1, 2], [True, True, False, False]) == 3.5 / 4


@pytest.mark.parametrize(
    ("left", "right", "expected"), [("", "abc", 3), ("kitten", "sitting", 3), ("same", "same", 0)]
)
def test_edit_distance_counts_single_letters(left, right, expected):
    assert edit_distance(left, right) == expected
