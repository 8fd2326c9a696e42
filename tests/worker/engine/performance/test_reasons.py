from collections import Counter

import pytest

from worker.engine.performance import reasons
from worker.engine.performance.optimized import OptimizedGraph
from worker.engine.performance.profiling import Kernel, Profile
from worker.engine.performance.reasons import SAME_KERNELS, explain


def profile(*kernels, between=(), decoded=0, decoding=()):
    graph = OptimizedGraph(0, Counter(between), decoded, frozenset(decoding))
    return Profile([Kernel(*kernel) for kernel in kernels], graph)


OUTSIDE = (
    "2 conversions between floats and integers stay outside the integer kernels: 5 ms of a run's"
    " 5 ms"
)
BETWEEN = (
    "no integer kernel took these in, so they compute in float between integers: Erf (2), Softmax"
    " (1)"
)
BEFORE = profile(("a", "Conv", 0.010), ("b", "MatMul", 0.010))


@pytest.fixture(autouse=True)
def processor_with_integer_products(monkeypatch):
    monkeypatch.setattr(reasons, "lacks_integer_products", lambda: False)


def test_the_same_kernels_are_no_faster():
    after = profile(("a", "Conv", 0.0101), ("b", "MatMul", 0.0099))

    assert explain(BEFORE, after) == [SAME_KERNELS]


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (
            profile(("q", "QuantizeLinear", 0.002), ("d", "DequantizeLinear", 0.003)),
            OUTSIDE,
        ),
        (
            profile(("a", "Conv", 0.01), between=["Erf", "Erf", "Softmax"]),
            BETWEEN,
        ),
        (
            profile(("cast", "Cast", 0.004), ("a", "Conv", 0.006), decoded=3, decoding=["cast"]),
            "3 weights are turned into floats at every run: 4 ms of a run's 10 ms",
        ),
        (
            profile(("a", "Conv", 0.010), ("t", "Transpose", 0.010)),
            "Transpose is new in the compressed model: 10 ms of a run's 20 ms",
        ),
        (
            profile(("a", "Conv", 0.012), ("b", "MatMul", 0.010)),
            "Conv takes 12 ms of a run instead of 10 ms",
        ),
    ],
)
def test_names_what_costs(after, words):
    assert explain(BEFORE, after) == [words]


def test_names_a_processor_without_integer_products(monkeypatch):
    monkeypatch.setattr(reasons, "lacks_integer_products", lambda: True)

    [reason] = explain(BEFORE, profile(("a", "QLinearConv", 0.02)))

    assert "no instructions for products of 8-bit integers" in reason
    assert reason.endswith("20 ms of a run's 20 ms")


def test_little_costs_are_not_named():
    after = profile(("q", "QuantizeLinear", 0.0001), ("a", "Conv", 0.01), ("c", "Neg", 0.0001))

    assert explain(BEFORE, after) == ["no kernel takes notably longer than in the original"]
