import pytest

from app.services.comparing import BestBy, compare
from app.tables import JobRow

SMALLEST, FASTEST = BestBy(minimize="size"), BestBy(minimize="latency")


def succeeded(name, size=0.5, latency=0.5, missed=(), **metrics):
    """A job with these ratios, and gates of which some are missed."""
    gates = [{"gate": "max_size_ratio", "passed": True, "detail": "within"}]
    gates += [{"gate": gate, "passed": False, "detail": "0.03 is outside"} for gate in missed]
    figures = {
        "size_bytes_after": int(size * 1000),
        "size_ratio": size,
        "latency_ratio": latency,
        "min_sqnr_db": 30.0,
        "min_agreement": None,
        "is_equal": False,
        "accuracy_drop": None,
        "scores": [],
        "data": "dataset",
    }
    return JobRow(id=name, state="succeeded", metrics=figures | metrics, verdict={"gates": gates})


def unfinished(name, state):
    return JobRow(id=name, state=state, metrics=None, verdict=None)


def test_only_succeeded_jobs_have_figures():
    jobs = [succeeded("a"), unfinished("b", "failed"), unfinished("c", "running")]

    comparison = compare(jobs, None)

    assert set(comparison.figures) == {"a"}
    assert comparison.front == {"a"}
    assert comparison.best is None


def test_the_front_weighs_size_latency_and_quality():
    jobs = [
        succeeded("small", size=0.2, latency=0.9, min_sqnr_db=20.0),
        succeeded("fast", size=0.6, latency=0.4, min_sqnr_db=20.0),
        succeeded("true", size=0.6, latency=0.9, min_sqnr_db=45.0),
        succeeded("beaten", size=0.6, latency=0.9, min_sqnr_db=19.0),
    ]

    assert compare(jobs, None).front == {"small", "fast", "true"}


def test_a_difference_that_is_not_shown_does_not_count():
    jobs = [
        succeeded("a", size=0.25, latency=0.501),
        succeeded("b", size=0.30, latency=0.499),
    ]

    assert compare(jobs, None).front == {"a"}


def test_a_score_says_more_than_decibels():
    jobs = [
        succeeded("a", accuracy_drop=0.0, min_sqnr_db=20.0),
        succeeded("b", accuracy_drop=0.02, min_sqnr_db=40.0),
    ]

    comparison = compare(jobs, None)

    assert comparison.quality == "accuracy_drop"
    assert comparison.front == {"a"}


def test_judges_by_what_all_jobs_have_measured():
    jobs = [
        succeeded("a", accuracy_drop=0.0, min_sqnr_db=20.0),
        succeeded("b", accuracy_drop=None, min_sqnr_db=40.0),
    ]

    comparison = compare(jobs, None)

    assert comparison.quality == "min_sqnr_db"
    assert comparison.front == {"b"}


def test_equal_answers_are_better_than_any_decibels():
    jobs = [
        succeeded("a", min_sqnr_db=90.0),
        succeeded("b", min_sqnr_db=None, is_equal=True),
    ]

    comparison = compare(jobs, None)

    assert comparison.front == {"b"}
    assert comparison.figures["b"].min_sqnr_db == 200


def test_answers_that_are_no_floats_are_judged_by_agreement():
    jobs = [
        succeeded("a", min_sqnr_db=None, min_agreement=0.9),
        succeeded("b", min_sqnr_db=None, min_agreement=1.0, is_equal=True),
    ]

    comparison = compare(jobs, None)

    assert (comparison.quality, comparison.front) == ("min_agreement", {"b"})


@pytest.mark.parametrize(
    ("minimize", "best"), [("size", "small"), ("latency", "fast"), ("balanced", "both")]
)
def test_the_best_has_the_least_of_what_was_wished_for(minimize, best):
    jobs = [
        succeeded("small", size=0.2, latency=1.0),
        succeeded("fast", size=0.9, latency=0.3),
        succeeded("both", size=0.3, latency=0.4),  # 0.12, against 0.2 and 0.27
    ]

    assert compare(jobs, BestBy(minimize=minimize)).best.job_id == best


def test_the_best_keeps_its_gates():
    jobs = [succeeded("small", size=0.1, missed=["max_accuracy_drop"]), succeeded("kept", size=0.5)]

    best = compare(jobs, SMALLEST).best

    assert (best.job_id, best.reason) == ("kept", "the only job whose gates hold")


def test_of_equally_small_jobs_the_fastest_is_the_best():
    jobs = [succeeded("a", latency=0.9), succeeded("b", latency=0.5), succeeded("c", latency=0.5)]

    best = compare(jobs, SMALLEST).best

    assert (best.job_id, best.reason) == ("b", "the smallest of 3 jobs whose gates hold")


def test_timings_that_are_too_close_to_tell_leave_it_to_the_answers():
    jobs = [
        succeeded("a", latency=0.49, min_sqnr_db=20.0),
        succeeded("b", latency=0.50, min_sqnr_db=40.0),
        succeeded("c", latency=0.50, min_sqnr_db=40.2, size=0.25),
        succeeded("slower", latency=0.60, min_sqnr_db=90.0),
        succeeded("missed", latency=0.49, min_sqnr_db=90.0, missed=["max_size_ratio"]),
    ]

    best = compare(jobs, FASTEST).best

    assert best.job_id == "c"
    assert best.reason == (
        "the fastest of 4 jobs whose gates hold, taken from 3 whose timings are too close to tell:"
        " its answers are closer, or as close in a file that is no larger"
    )


def test_says_what_the_closest_job_misses_where_none_keeps_its_gates():
    jobs = [
        succeeded("far", size=0.1, missed=["min_sqnr_db", "max_accuracy_drop"]),
        succeeded("near", size=0.5, missed=["max_accuracy_drop"]),
    ]

    best = compare(jobs, SMALLEST).best

    assert best.job_id is None
    assert best.reason == (
        "no job keeps its gates; the closest is near, which misses max_accuracy_drop:"
        " 0.03 is outside"
    )


def test_latency_that_nobody_measured_has_no_best():
    best = compare([succeeded("a", latency=None)], FASTEST).best

    assert best.job_id is None
    assert "evaluation.latency" in best.reason


def test_a_job_without_latency_is_never_the_fastest():
    jobs = [succeeded("a", size=0.1, latency=None), succeeded("b", latency=2.0)]

    assert compare(jobs, FASTEST).best.job_id == "b"


@pytest.mark.parametrize(
    ("state", "reason"),
    [("running", "no job has succeeded yet"), ("failed", "no job succeeded")],
)
def test_says_that_nothing_has_succeeded(state, reason):
    assert compare([unfinished("a", state)], SMALLEST).best.reason == reason


def test_the_best_so_far_is_called_so():
    best = compare([succeeded("a"), unfinished("b", "queued")], SMALLEST).best

    assert (best.job_id, best.reason) == ("a", "the only job whose gates hold, so far")
