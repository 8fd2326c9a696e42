import time
import tracemalloc

import pytest

from app.api.grids import expand
from app.errors import InvalidRequestError, TooLargeError
from worker.engine.spec import Spec

WEIGHTS = {"passes": [{"method": "weight_quantization", "minimum_values": 10}]}


def expanded(grid, base=WEIGHTS, max_specs=64):
    return expand(Spec.model_validate(base), grid, max_specs)


def error_of(grid, base=WEIGHTS):
    with pytest.raises(InvalidRequestError) as caught:
        expanded(grid, base)
    return caught.value.errors[0]


def test_makes_a_spec_of_each_combination_the_last_place_varying_fastest():
    found = expanded({"/passes/0/bits": [8, 4], "/seed": [1, 2]})

    assert [values for _, values in found] == [
        {"/passes/0/bits": 8, "/seed": 1},
        {"/passes/0/bits": 8, "/seed": 2},
        {"/passes/0/bits": 4, "/seed": 1},
        {"/passes/0/bits": 4, "/seed": 2},
    ]
    assert [(spec.passes[0].bits, spec.seed) for spec, _ in found] == [
        (8, 1),
        (8, 2),
        (4, 1),
        (4, 2),
    ]
    assert {spec.passes[0].minimum_values for spec, _ in found} == {10}


def test_varies_what_the_spec_has_by_default_only():
    found = expanded({"/evaluation/latency/runs": [3, 5], "/gates/min_sqnr_db": [None, 20]})

    assert [(it.evaluation.latency.runs, it.gates.min_sqnr_db) for it, _ in found] == [
        (3, None),
        (3, 20),
        (5, None),
        (5, 20),
    ]


def test_varies_a_whole_pass():
    passes = [{"method": "float16"}, {"method": "weight_quantization", "bits": 4}]

    found = expanded({"/passes/0": passes})

    assert [spec.passes[0].method for spec, _ in found] == ["float16", "weight_quantization"]


def test_another_method_does_not_inherit_the_defaults_of_the_first():
    base = {"passes": [{"method": "weight_quantization"}]}

    found = expanded({"/passes/0/method": ["weight_quantization", "float16"]}, base)

    assert [spec.passes[0].method for spec, _ in found] == ["weight_quantization", "float16"]


def test_the_specs_share_nothing_that_could_change():
    (first, _), (second, _) = expanded({"/seed": [1, 2]})

    assert first.passes is not second.passes


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/passes/0/bitz", "below '/passes/0' there is "),
        ("/passes/1/bits", "below '/passes' there is 0"),
        ("/passes/00/bits", "below '/passes' there is 0"),
        ("/passes/-1/bits", "below '/passes' there is 0"),
        ("/seed/x", "below '/seed' there is nothing to vary"),
        ("/gate", "below '' there is evaluation, "),
    ],
)
def test_refuses_a_place_that_the_spec_does_not_have(path, words):
    error = error_of({path: [1]})

    assert error.pointer == f"#/grid/{path.replace('/', '~1')}"
    assert words in error.detail


@pytest.mark.parametrize(
    ("grid", "pointer", "words"),
    [
        ({"/passes/0/bits": [8, "many"]}, "#/grid/~1passes~10~1bits/1", "Input should be"),
        ({"/seed": [1], "/gates": [{"x": 1}]}, "#/grid/~1gates/0/x", "unknown field"),
        ({"/passes": [[], [{"method": "float16"}]]}, "#/grid/~1passes/0", "at least 1"),
    ],
)
def test_points_at_the_wrong_value(grid, pointer, words):
    error = error_of(grid)

    assert error.pointer == pointer
    assert words in error.detail


def test_points_at_what_values_make_wrong_elsewhere():
    base = {"passes": [{"method": "weight_quantization", "bits": 4}]}

    error = error_of({"/passes/0/method": ["float16"], "/seed": [0]}, base)

    assert error.pointer == "#/spec/passes/0/bits"
    assert error.detail.startswith("with /passes/0/method/0, /seed/0 of the grid: unknown field")


def test_tells_a_wrong_value_once_however_often_it_is_combined():
    with pytest.raises(InvalidRequestError) as caught:
        expanded({"/passes/0/bits": ["x"], "/seed": list(range(10))})

    assert [error.pointer for error in caught.value.errors] == ["#/grid/~1passes~10~1bits/0"]


def test_refuses_a_place_within_another():
    error = error_of({"/passes/0/bits": [8], "/seed": [1], "/passes/0": [{"method": "float16"}]})

    assert error.pointer == "#/grid/~1passes~10~1bits"
    assert "within /passes/0" in error.detail


def test_refuses_a_huge_grid_without_building_it():
    grid = {f"/passes/{axis}": list(range(1000)) for axis in range(16)}
    tracemalloc.start()
    started = time.process_time()

    with pytest.raises(InvalidRequestError, match=f"these are {10**48} specs"):
        expanded(grid)

    seconds = time.process_time() - started
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 5  # far above what it takes, far below what the product would
    assert peak_bytes < 2**24


def test_refuses_specs_that_would_fill_the_memory_together():
    base = {"passes": [{"method": "static_quantization", "nodes_to_exclude": ["n" * 200_000]}]}

    with pytest.raises(TooLargeError, match="4194304 bytes"):
        expanded({"/seed": list(range(64))}, base)
