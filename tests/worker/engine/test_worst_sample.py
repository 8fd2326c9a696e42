import numpy as np

from worker.engine.worst_sample import SHOWN_VALUES, shown_values


def shown(before, after):
    return [(value.place, value.before, value.after) for value in shown_values(before, after)]


def test_shows_the_highest_values_of_either_answer_and_those_that_moved_most():
    before = np.arange(20.0)[::-1].reshape(1, 20)
    after = before.copy()
    after[0, 11], after[0, 15], after[0, 16] = 30, -40, -20

    # 19, 18 and 17 before; 30, 19 and 18 after; moved by 44, 23 and 22
    assert shown(before, after) == [
        ([0, 0], 19, 19),
        ([0, 1], 18, 18),
        ([0, 2], 17, 17),
        ([0, 11], 8, 30),
        ([0, 15], 4, -40),
        ([0, 16], 3, -20),
    ]


def test_values_that_are_not_finite_are_left_blank():
    assert shown(np.array([1.0]), np.array([np.nan])) == [([0], 1.0, None)]


def test_of_classes_and_text_it_shows_what_differs():
    before, after = np.array([["a", "b"]], object), np.array([["a", "c"]], object)

    assert shown(before, after) == [([0, 1], "b", "c")]
    assert shown(np.array([1, 2]), np.array([1, 5])) == [([1], 2.0, 5.0)]
    assert len(shown(np.zeros(50, int), np.ones(50, int))) == SHOWN_VALUES


def test_shows_nothing_where_the_answers_differ_in_shape():
    assert shown(np.zeros(2), np.zeros(3)) == []
    assert shown(np.zeros(0), np.zeros(0)) == []
