import pytest

from worker.engine.search.good_enough import limits_answers
from worker.engine.spec import Gates


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, False),
        ({"max_size_ratio": 0.5, "max_latency_ratio": 1}, False),
        ({"min_sqnr_db": 10}, True),
        ({"min_argmax_agreement": 0}, True),
        ({"limits": [{"figure": "latency.ratio", "at_most": 1}]}, False),
        ({"limits": [{"figure": "fidelity[y].cosine", "at_least": 0.9}]}, True),
        ({"limits": [{"figure": "accuracy[top1].after", "at_least": 0.9}]}, True),
    ],
)
def test_tells_limits_on_answers_from_others(limits, expected):
    assert limits_answers(Gates.model_validate(limits)) is expected
