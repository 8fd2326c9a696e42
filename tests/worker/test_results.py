import pytest

from worker.results import headline_figures, problem

SCORE = {"output": "y", "samples": 9, "larger_is_better": True, "unit": "share"}
REPORT = {
    "before": {"size_bytes": 400},
    "after": {"size_bytes": 100},
    "fidelity": [
        {"sqnr_db": 40.0, "agreement": None, "data": "dataset"},
        {"sqnr_db": 25.0, "agreement": None, "data": "dataset"},
        {"sqnr_db": None, "agreement": 0.75, "data": "dataset"},
    ],
    "accuracy": [
        SCORE | {"metric": "top1", "before": 0.75, "after": 0.5},
        SCORE | {"metric": "top5", "before": 1.0, "after": 0.875},
    ],
    "latency": {
        "ratio": 0.5,
        "before": {"p50_seconds": 0.2},
        "after": {"p50_seconds": 0.1},
    },
    "peak_memory_bytes": 7,
    "spending": {"cpu_seconds": 2.5},
    "manifest": {"execution_provider": "cpu"},
}


def test_figures_hold_both_ratios_of_size():
    figures = headline_figures(REPORT, 1.5)

    assert (figures["size_ratio"], figures["compression_ratio"]) == (0.25, 4.0)


def test_figures_hold_the_worst_output_s_fidelity():
    assert headline_figures(REPORT, 1.5)["min_sqnr_db"] == 25.0


def test_figures_hold_what_the_job_took():
    figures = headline_figures(REPORT, 1.5)

    assert (figures["cpu_seconds"], figures["duration_seconds"]) == (2.5, 1.5)


def test_figures_hold_the_first_score():
    assert headline_figures(REPORT, 1.5)["accuracy"] == {
        "metric": "top1",
        "output": "y",
        "before": 0.75,
        "after": 0.5,
    }


def test_figures_hold_every_score_and_the_largest_drop():
    figures = headline_figures(REPORT, 1.5)

    assert [(it["metric"], it["after"]) for it in figures["scores"]] == [
        ("top1", 0.5),
        ("top5", 0.875),
    ]
    assert figures["accuracy_drop"] == 0.25


@pytest.mark.parametrize(("unit", "drop"), [("share", 0.125), ("none", None)])
def test_an_error_rate_drops_by_what_it_rises_and_an_error_in_own_units_not_at_all(unit, drop):
    error = SCORE | {"metric": "cer", "before": 0.125, "after": 0.25, "larger_is_better": False}

    figures = headline_figures(REPORT | {"accuracy": [error | {"unit": unit}]}, 1.5)

    assert figures["accuracy_drop"] == drop


def test_figures_hold_the_least_agreement_of_outputs_that_are_no_floats():
    assert headline_figures(REPORT, 1.5)["min_agreement"] == 0.75


@pytest.mark.parametrize(
    ("sqnr_db", "agreement", "is_equal"),
    [(None, None, True), (None, 1.0, True), (None, 0.75, False), (90.0, None, False)],
)
def test_figures_say_whether_all_answers_are_equal(sqnr_db, agreement, is_equal):
    output = {"sqnr_db": sqnr_db, "agreement": agreement, "data": "dataset"}

    assert headline_figures(REPORT | {"fidelity": [output]}, 1.5)["is_equal"] is is_equal


def test_figures_that_were_not_measured_are_null():
    report = REPORT | {"latency": None, "accuracy": [], "fidelity": []}

    figures = headline_figures(report, 1.5)

    names = ("latency_ratio", "latency_p50_seconds_after", "accuracy", "min_sqnr_db", "data")
    assert [figures[name] for name in names] == [None] * 5


@pytest.mark.parametrize(
    ("code", "status"),
    [("nothing_to_compress", 422), ("crashed", 500), ("storage_unavailable", 503)],
)
def test_a_problem_has_its_code_s_status(code, status):
    it = problem(code, "do something else")

    assert (it["status"], it["type"]) == (status, f"urn:onnxpress:problem:{code}")
