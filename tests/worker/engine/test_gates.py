from dataclasses import replace

import pytest

from worker.engine.decibels import EQUAL_DB
from worker.engine.gates import judge
from worker.engine.measurements import Measurements
from worker.engine.report.contents import ModelMeasures
from worker.engine.report.quality import Interval, OutputFidelity, Score
from worker.engine.report.timings import Latency, LatencySamples, RatioInterval
from worker.engine.spec import Gates

TIMES = LatencySamples(samples_seconds=[1], p50_seconds=1, p90_seconds=1, p99_seconds=1)


def sizes(size_bytes):
    return ModelMeasures(
        size_bytes=size_bytes,
        deflated_bytes=1,
        zstd_bytes=1,
        parameter_count=1,
        zero_fraction=0,
        op_counts={},
        macs=None,
    )


def output(name="y", **figures):
    return OutputFidelity(output=name, data="dataset", samples=4, worst_sample=0, **figures)


def score(before, after, larger_is_better=True, unit="share"):
    return Score(
        metric="top1",
        output="y",
        samples=4,
        before=before,
        after=after,
        larger_is_better=larger_is_better,
        unit=unit,
    )


def measured(fidelity=(), accuracy=(), ratio=None, data="dataset", error=0.0):
    latency = None
    if ratio is not None:
        latency = Latency(
            threads=1,
            batch_size=1,
            execution_provider="cpu",
            before=TIMES,
            after=TIMES,
            ratio=ratio,
            ratio_interval=RatioInterval(low=ratio - error, high=ratio + error, confidence=0.96),
            load_seconds_before=1,
            load_seconds_after=1,
        )
    return Measurements(sizes(400), sizes(100), fidelity, accuracy, latency, data)


@pytest.mark.parametrize(
    ("gates", "value", "passed"),
    [
        ({"max_size_ratio": 0.25}, 0.25, True),
        ({"max_size_ratio": 0.2}, 0.25, False),
        ({"min_sqnr_db": 20}, 20.0, True),
        ({"min_sqnr_db": 21}, 20.0, False),
        ({"min_cosine": 0.9}, 0.95, True),
        ({"min_argmax_agreement": 1.0}, 0.98, False),
        ({"max_accuracy_drop": 0.1}, 0.125, False),
        ({"max_latency_ratio": 0.9}, 0.5, True),
    ],
)
def test_holds_each_gate_against_its_figure(gates, value, passed):
    fidelity = [
        output(sqnr_db=30.0, cosine=0.99, argmax_agreement=0.98),
        output("z", sqnr_db=20.0, cosine=0.95),
    ]

    verdict = judge(Gates(**gates), measured(fidelity, [score(0.875, 0.75)], 0.5), [])

    [gate] = verdict.gates
    assert (gate.measured, gate.passed, verdict.passed) == (value, passed, passed)


@pytest.mark.parametrize(
    "gates", [{"max_accuracy_drop": 0.5}, {"max_latency_ratio": 2}, {"min_cosine": -1}]
)
def test_a_figure_that_was_not_measured_misses_its_gate(gates):
    verdict = judge(Gates(**gates), measured(), [])

    assert (verdict.gates[0].measured, verdict.passed) == (None, False)


def test_equal_answers_hold_any_sqnr():
    verdict = judge(Gates(min_sqnr_db=100), measured([output(sqnr_db=None)]), [])

    assert (verdict.gates[0].measured, verdict.passed) == (EQUAL_DB, True)


def test_an_error_in_units_of_its_own_is_no_accuracy():
    squared = score(0.1, 0.2, larger_is_better=False, unit="none")

    assert not judge(Gates(max_accuracy_drop=1), measured(accuracy=[squared]), []).passed


def test_what_an_error_rate_rises_by_is_a_drop():
    rate = score(0.125, 0.25, larger_is_better=False)

    [gate] = judge(Gates(max_accuracy_drop=0.1), measured(accuracy=[rate]), []).gates

    assert (gate.measured, gate.passed) == (0.125, False)


def test_a_drop_of_just_the_limit_holds_it_in_binary_fractions_too():
    from_96_to_95 = score(0.96, 0.95)

    assert judge(Gates(max_accuracy_drop=0.01), measured(accuracy=[from_96_to_95]), []).passed


def drop(low, high, before=0.5, after=0.375):
    return score(before, after).model_copy(
        update={"difference_interval": Interval(low=-high, high=-low)}
    )


def test_says_when_the_drop_s_interval_holds_the_limit():
    doubtful, clear = drop(-0.05, 0.3), drop(0.1, 0.15)

    [open_gate] = judge(Gates(max_accuracy_drop=0.01), measured(accuracy=[doubtful]), []).gates
    [missed] = judge(Gates(max_accuracy_drop=0.01), measured(accuracy=[clear]), []).gates

    # the scores themselves decide; the interval says how sure that is
    assert (open_gate.passed, missed.passed) == (False, False)
    assert open_gate.detail == (
        "0.125 is outside the limit of 0.01; the samples leave it open: the drop of top1 has the"
        " 95% confidence interval -0.05 to 0.3"
    )
    assert missed.detail == "0.125 is outside the limit of 0.01"


FIGURES = [output("boxes", sqnr_db=30.0), output("scores", sqnr_db=None)]


@pytest.mark.parametrize(
    ("limit", "value", "unit", "passed"),
    [
        ({"figure": "fidelity[boxes].sqnr_db", "at_least": 20}, 30, "dB", True),
        ({"figure": "fidelity[scores].sqnr_db", "at_least": 20}, EQUAL_DB, "dB", True),
        ({"figure": "fidelity[*].sqnr_db", "at_least": 40}, 30, "dB", False),
        ({"figure": "latency.after.p99_seconds", "at_most": 0.05}, 1, "s", False),
        ({"figure": "after.size_bytes", "at_most": 100}, 100, "bytes", True),
        ({"figure": "accuracy[top1].after", "at_least": 0.7}, 0.75, "share", True),
        ({"figure": "accuracy[top1].drop", "at_most": 0.1}, 0.125, "share", False),
        ({"figure": "peak_memory_bytes", "at_most": 7}, 8, "bytes", False),
    ],
)
def test_holds_any_figure_against_a_limit(limit, value, unit, passed):
    found = replace(
        measured(FIGURES, [score(0.875, 0.75).model_copy(update={"name": "top1"})], 0.5),
        others={"peak_memory_bytes": 8},
    )

    [gate] = judge(Gates.model_validate({"limits": [limit]}), found, []).gates

    assert (gate.gate, gate.measured, gate.unit) == (limit["figure"], value, unit)
    assert gate.passed is passed


def test_both_bounds_of_a_figure_are_a_gate_each():
    limit = {"figure": "after.size_bytes", "at_least": 1, "at_most": 10}

    gates = judge(Gates.model_validate({"limits": [limit]}), measured(), []).gates

    assert [(gate.bound, gate.limit, gate.passed) for gate in gates] == [
        ("at_least", 1, True),
        ("at_most", 10, False),
    ]
    assert gates[1].detail == "100 bytes is outside the limit of 10 bytes"
    assert gates[1].data == "file"


def test_refuses_bounds_that_nothing_keeps():
    limit = {"figure": "after.size_bytes", "at_least": 10, "at_most": 5}

    with pytest.raises(ValueError, match="nothing is at least 10 and at most 5"):
        Gates.model_validate({"limits": [limit]})


@pytest.mark.parametrize("figure", ["fidelity[z].cosine", "latency.ratio", "accuracy[f1].after"])
def test_a_figure_that_the_report_lacks_misses_its_limit(figure):
    limits = {"limits": [{"figure": figure, "at_most": 1}]}

    [gate] = judge(Gates.model_validate(limits), measured(FIGURES), []).gates

    assert (gate.measured, gate.passed) == (None, False)
    assert gate.detail.startswith(f"{figure} was not measured on this model")


def test_sums_up_in_one_sentence():
    verdict = judge(
        Gates(max_size_ratio=0.5, min_sqnr_db=40),
        measured([output(sqnr_db=30.0)], [score(0.98, 0.97)], 2.0),
        [],
    )

    assert verdict.summary == (
        "Missed 1 of 2 gates (min_sqnr_db): 4.00 times smaller, 2.00 times slower, 30.0 dB SQNR,"
        " top1 0.98 to 0.97."
    )


def test_says_that_data_is_synthetic():
    verdict = judge(Gates(), measured([output(sqnr_db=30.0)], data="synthetic"), [])

    assert "30.0 dB SQNR on synthetic data" in verdict.summary


def test_says_when_the_latency_s_interval_holds_the_limit():
    gates = Gates(max_latency_ratio=1.05)

    [open_gate] = judge(gates, measured(ratio=1.04, error=0.02), []).gates
    [clear_gate] = judge(gates, measured(ratio=1.04, error=0.005), []).gates

    assert open_gate.passed
    assert open_gate.detail == (
        "1.04 is within the limit of 1.05; the measurement leaves it open: the 96% confidence"
        " interval is 1.02 to 1.06"
    )
    assert clear_gate.detail == "1.04 is within the limit of 1.05"


def test_says_when_the_machine_was_too_busy_to_time_anything():
    figures = measured(ratio=1.04)
    figures.latency.noisy = True

    [gate] = judge(Gates(max_latency_ratio=1.5), figures, []).gates

    assert gate.detail == "1.04 is within the limit of 1.5; the machine was busy meanwhile"


@pytest.mark.parametrize(
    ("ratio", "error", "words"),
    [
        (1.06, 0.07, "no measurable difference in speed"),
        (1.06, 0.01, "1.06 times slower"),
        (0.8, 0.01, "1.25 times faster"),
        (1.004, 0.001, "no measurable difference in speed"),
    ],
)
def test_names_a_difference_in_speed_that_chance_did_not_make(ratio, error, words):
    assert words in judge(Gates(), measured(ratio=ratio, error=error), []).summary


def test_an_interval_from_nothing_is_shown_without_a_sign():
    [gate] = judge(Gates(max_accuracy_drop=0.01), measured(accuracy=[drop(0.0, 0.3)]), []).gates

    assert "confidence interval 0 to 0.3" in gate.detail
