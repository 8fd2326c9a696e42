import pytest

from tests.worker.engine.report.conftest import TIMES, measures
from worker.engine.performance.comparison import Performance
from worker.engine.regrets import find_regrets
from worker.engine.report.kernels import KernelProfile
from worker.engine.report.timings import FirstLoad, Latency, Loading, RatioInterval


def performance(ratio=1.0, peaks=(100, 100), reasons=()):
    sides = [
        FirstLoad(load_seconds=1, run_seconds=1, peak_memory_bytes=peak * 2**20, memory_bytes=1)
        for peak in peaks
    ]
    return Performance(
        Latency(
            threads=1,
            batch_size=1,
            execution_provider="cpu",
            before=TIMES,
            after=TIMES,
            ratio=ratio,
            ratio_interval=RatioInterval(low=ratio - 0.01, high=ratio + 0.01, confidence=0.95),
            load_seconds_before=0.1,
            load_seconds_after=0.1,
        ),
        Loading(loads=1, before=sides[0], after=sides[1]),
        KernelProfile(
            runs=1,
            seconds_before=1,
            seconds_after=1,
            op_types=[],
            slowest_before=[],
            slowest_after=[],
            reasons=list(reasons),
        ),
    )


def sized(size_bytes, deflated_bytes=90, op_type="Conv"):
    update = {"deflated_bytes": deflated_bytes, "op_counts": {op_type: 2}}
    return measures(size_bytes).model_copy(update=update)


def test_nothing_is_to_be_regretted_of_a_smaller_and_equally_fast_model():
    assert find_regrets(sized(1000), sized(900), performance(), 40.0) == []


@pytest.mark.parametrize(
    ("after", "words"),
    [(950, "hardly smaller: 950 bytes instead of 1000"), (1000, "not smaller: 1000 bytes")],
)
def test_a_file_of_almost_the_same_size_is_a_regret(after, words):
    [regret] = find_regrets(sized(1000), sized(after), None, 40.0)

    assert regret.startswith(f"the compressed model is {words}")


def test_what_shrinks_only_deflated_says_so():
    [regret] = find_regrets(sized(1000, 800), sized(1000, 600), None, 40.0)

    assert regret.endswith("; deflated it is, by 25%")


@pytest.mark.parametrize("op_type", ["MatMulInteger", "QLinearConv", "com.microsoft:MatMulNBits"])
def test_a_model_that_was_quantized_before_is_named_as_the_reason(op_type):
    [regret] = find_regrets(sized(1000, op_type=op_type), sized(999), None, 40.0)

    assert "quantized already: upload the float model" in regret


def test_answers_that_moved_far_for_nothing_are_a_regret():
    size, answers = find_regrets(sized(1000), sized(999), performance(), 5.4)

    assert size.startswith("the compressed model is hardly smaller")
    assert answers == (
        "the answers keep only 5.4 dB SQNR, for a model that is not much smaller nor faster:"
        " the original serves better"
    )


@pytest.mark.parametrize(
    ("after", "speed", "sqnr_db"),
    [
        (sized(900), performance(), 5.4),
        (sized(999, 80), performance(), 5.4),
        (sized(999), performance(0.5), 5.4),
        (sized(999), performance(), 20.0),
        (sized(999), performance(), None),
    ],
)
def test_answers_that_moved_for_a_gain_or_little_are_no_regret(after, speed, sqnr_db):
    regrets = find_regrets(sized(1000), after, speed, sqnr_db)

    assert not any("the answers keep" in regret for regret in regrets)


def test_a_slower_model_says_so_and_why():
    slower, why = find_regrets(sized(1000), sized(500), performance(1.5, reasons=["casts"]), 40.0)

    assert slower.startswith("the compressed model is slower: 1.50 times the original's latency")
    assert slower.endswith("(95% interval 1.49 to 1.51)")
    assert why == "why it is slower: casts"


@pytest.mark.parametrize(("after", "count"), [(100, 0), (109, 0), (200, 1)])
def test_more_memory_is_a_regret_beyond_the_error_of_its_measurement(after, count):
    regrets = find_regrets(sized(1000), sized(500), performance(peaks=(100, after)), 40.0)

    assert ["200 MiB at its peak" in regret for regret in regrets] == [True] * count
