from dataclasses import replace

import pytest

from benchmarks.comparison.measuring import Measured
from benchmarks.comparison.methods import OWN_PLAIN_STATIC, OWN_STATIC, PEER_STATIC
from benchmarks.comparison.recipes.base import Receipt
from benchmarks.comparison.runs import Result
from benchmarks.comparison.table import render

SCORES = {"magika": {"accuracy": 0.98}}


def result(after=300, accuracy=0.98, latency=1.0, **receipt):
    outcome = Receipt(**{"outcome": "compressed", "cpu_seconds": 2.0, **receipt})
    if outcome.outcome != "compressed":
        return Result("magika", "a method", "", 1000, outcome)
    measured = Measured(True, True, "", {"accuracy": accuracy}, 30.0, latency)
    return Result("magika", "a method", "", 1000, outcome, after, measured)


def counts(*results):
    """The summary's row of one method."""
    [row] = [
        line
        for line in render(results, SCORES, "a machine").split("## magika")[0].splitlines()
        if line.startswith("| a method")
    ]
    return [int(cell) for cell in row.strip("| ").split(" | ")[1:]]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (result(after=300), [1, 0, 0, 0, 0, 0, 0, 1]),
        (result(after=160), [1, 1, 0, 0, 0, 0, 0, 1]),
        (result(after=400), [0, 0, 0, 0, 0, 0, 0, 1]),
        (result(latency=1.1), [0, 0, 0, 0, 0, 0, 0, 1]),
        (result(latency=0.6), [1, 0, 1, 0, 0, 0, 0, 1]),
        (result(accuracy=0.96, latency=0.6), [0, 0, 0, 0, 0, 0, 0, 1]),
        (result(accuracy=0.5), [0, 0, 0, 1, 0, 0, 0, 1]),
        (result(outcome="refused", code="nothing_to_compress"), [0, 0, 0, 0, 0, 1, 0, 1]),
        (result(outcome="error", code="KeyError"), [0, 0, 0, 0, 0, 0, 1, 1]),
    ],
)
def test_counts_each_kind_of_result(found, expected):
    assert counts(found) == expected


def test_a_file_that_does_not_load_says_why():
    broken = Result("magika", "a method", "", 1000, Receipt("compressed"), 300)
    broken.measured.message = "no | such operator in /tmp/abc/model.onnx"

    page = render([broken], SCORES, "a machine")

    assert counts(broken) == [0, 0, 0, 0, 1, 0, 0, 1]
    assert "**does not load**: no \\| such operator in model.onnx" in page


def test_cpu_seconds_are_compared_for_the_defaults_and_for_the_same_work():
    seconds = {OWN_STATIC: 3.0, OWN_PLAIN_STATIC: 1.0, PEER_STATIC: 2.0}
    results = [
        replace(result(cpu_seconds=spent), method=method) for method, spent in seconds.items()
    ]

    page = render(results, SCORES, "a machine")

    assert "onnxpress 1.50 times the CPU seconds" in page
    assert "0.50 times for the same work" in page
