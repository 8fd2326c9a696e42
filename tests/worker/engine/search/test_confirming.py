import pytest

from worker.engine.performance.latency import compare_latency
from worker.engine.progress import Progress
from worker.engine.search.candidates import EIGHT, HALVES
from worker.engine.search.confirming import confirm
from worker.engine.search.describing import describe_frontier
from worker.engine.search.original_point import NAME

FINE_WEIGHTS = {"figure": "layers[*].sqnr_db", "at_least": 60}
"""Only a result's report has it: halves keep it and 8 bits do not."""
NO_KERNELS = {"figure": "kernels.runs", "at_most": 0}
"""Nothing keeps it."""


def confirmed(study):
    return confirm(study, Progress(lambda *_: None))


@pytest.fixture
def searched(study):
    """Open a search that has tried 8 bits and halves, of which 8 bits lead."""

    def searched(*limits, **within):
        opened = study(within={"min_sqnr_db": 10, "limits": list(limits)} | within)
        points = [opened.try_(EIGHT), opened.try_(HALVES)]
        assert opened.best[0] is points[0]
        return opened

    return searched


def test_the_point_that_leads_is_the_choice(searched):
    study = searched()

    choice = confirmed(study)

    assert choice.point.proposal is EIGHT
    assert choice.point.measured.latency is choice.figures.latency


def test_a_limit_on_what_only_a_result_has_leaves_it_to_the_next(searched):
    study = searched(FINE_WEIGHTS)

    choice = confirmed(study)

    assert choice.point.proposal is HALVES
    assert choice.point.meets_goal
    assert [gate.gate for gate in study.points[1].missed] == ["layers[*].sqnr_db"]


def test_where_all_miss_the_closest_is_returned(searched):
    study = searched(FINE_WEIGHTS | {"at_least": 500})

    choice = confirmed(study)

    assert choice.point.proposal is HALVES
    assert not choice.point.meets_goal
    assert choice.candidate.written.artifact == choice.point.artifact
    assert choice.figures.latency is choice.point.measured.latency


def test_after_a_few_the_original_is_all_that_is_left_to_try(searched, monkeypatch):
    study = searched(NO_KERNELS)
    monkeypatch.setattr("worker.engine.search.confirming.MOST_CONFIRMED", 1)
    reopened = []
    reopen = study.reopen
    monkeypatch.setattr(study, "reopen", lambda point: (reopened.append(point), reopen(point))[1])

    confirmed(study)

    assert {point.proposal.name for point in reopened} == {EIGHT.name, NAME}


def test_once_the_time_is_up_the_original_is_returned_where_it_keeps_the_limits(
    searched, monkeypatch
):
    study = searched(max_latency_ratio=50)
    study.budget.seconds = study.budget.spent_seconds

    def compare(*arguments):
        latency, warnings = compare_latency(*arguments)
        return latency.model_copy(update={"ratio": 60.0, "ratio_interval": None}), warnings

    monkeypatch.setattr("worker.engine.performance.comparison.compare_latency", compare)

    choice = confirmed(study)

    assert choice.point.is_original
    assert study.points[2].meets_goal
    conclusion = describe_frontier(study, [choice.point], "budget spent").conclusion
    assert "none of those that were measured as a result is keeps the limits" in conclusion
