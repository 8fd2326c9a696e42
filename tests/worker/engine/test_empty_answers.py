import numpy as np
import pytest

from worker.engine.empty_answers import EmptyAnswers
from worker.engine.errors import InvalidDatasetError
from worker.engine.samples import Sample

FULL = np.ones((1, 3), np.float32)
EMPTY = np.ones((1, 0), np.float32)


def test_an_output_that_an_empty_input_leaves_empty_is_a_warning():
    answers = EmptyAnswers(["logits", "present"], "dataset")
    answers.add(Sample({"ids": FULL, "past": FULL}), [FULL, FULL])
    answers.add(Sample({"ids": EMPTY, "past": FULL}), [EMPTY, FULL])

    [warning] = answers.warnings(2)

    assert warning.startswith('"logits" holds no values on 1 of 2 evaluation samples, where "ids"')


def test_an_output_that_no_sample_asks_for_is_refused():
    answers = EmptyAnswers(["logits", "present"], "dataset")
    answers.add(Sample({"ids": EMPTY, "past": FULL}), [EMPTY, FULL])

    with pytest.raises(InvalidDatasetError, match='"logits" holds no values on any'):
        answers.warnings(1)


def test_an_output_that_no_made_up_sample_asks_for_is_a_warning():
    answers = EmptyAnswers(["logits"], "synthetic")
    answers.add(Sample({"ids": EMPTY}), [EMPTY])

    assert len(answers.warnings(1)) == 1


def test_an_empty_past_that_is_answered_is_none():
    answers = EmptyAnswers(["logits"], "dataset")
    answers.add(Sample({"ids": FULL, "past": EMPTY}), [FULL])

    assert answers.warnings(1) == []


def test_an_output_that_is_empty_by_itself_is_an_answer():
    answers = EmptyAnswers(["boxes"], "dataset")
    answers.add(Sample({"image": FULL}), [EMPTY])

    assert answers.warnings(1) == []
