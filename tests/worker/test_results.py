import pytest

from worker.results import headline_figures, problem

REPORT = {
    "before": {"size_bytes": 400},
    "after": {"size_bytes": 100},
    "fidelity": [
        {"sqnr_db": 40.0, "data": "dataset"},
        {"sqnr_db": 25.0, "data": "dataset"},
        {"sqnr_db": None, "data": "dataset"},
    ],
    "accuracy": [
        {"metric": "top1", "output": "y", "samples": 9, "before": 0.9, "after": 0.8},
        {"metric": "top5", "output": "y", "samples": 9, "before": 1.0, "after": 1.0},
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
        "before": 0.9,
        "after": 0.8,
    }


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
