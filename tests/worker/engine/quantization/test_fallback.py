import itertools

import numpy as np
import pytest

from worker.engine.quantization.fallback import (
    Choices,
    Costs,
    accurate,
    integer_nodes,
    predicted_error,
)
from worker.engine.quantization.integer_edges import NodeTimes, RoundedEdge

SAVES = NodeTimes(in_float=4.0, in_integers=1.0, is_fused=True)
EDGES = {
    "x": RoundedEdge("x", None, ["first"]),
    "middle": RoundedEdge("middle", "first", ["second"]),
}


def costs(first=SAVES, second=SAVES, moving=1.0, **errors):
    return Costs(
        EDGES,
        {"first": "w", "second": "v"},
        {"first": first, "second": second},
        dict.fromkeys(EDGES, moving),
        errors,
    )


def test_faster_nodes_become_integers():
    assert integer_nodes(costs()) == {"first", "second"}


def test_a_node_that_did_not_fuse_never_does():
    assert integer_nodes(costs(second=NodeTimes(4.0, 1.0, is_fused=False))) == {"first"}


def test_a_slower_node_joins_where_leaving_integers_costs_more():
    slower = NodeTimes(in_float=1.0, in_integers=1.5, is_fused=True)

    assert integer_nodes(costs(second=slower, moving=1.0)) == {"first", "second"}
    assert integer_nodes(costs(second=slower, moving=0.1)) == {"first"}


def test_nothing_is_integer_where_rounding_costs_more_than_is_saved():
    assert integer_nodes(costs(moving=7.0)) == set()


def test_an_edge_counts_once_whatever_touches_it():
    known = costs(w=0.1, v=0.2, x=0.3, middle=0.4)

    assert predicted_error(known, {"first", "second"}) == pytest.approx(1.0)
    assert predicted_error(known, {"second"}) == pytest.approx(0.6)


def test_the_node_whose_error_is_too_large_stays_in_float():
    assert Choices(costs(v=0.5, moving=0.1)).within(0.01) == {"first"}


@pytest.mark.parametrize("seed", range(5))
def test_no_choice_is_faster_at_any_price_of_the_errors(seed):
    random = np.random.default_rng(seed)
    saved, errors = random.uniform(size=6), random.uniform(size=6)
    times = {str(n): NodeTimes(each, 0.0, is_fused=True) for n, each in enumerate(saved)}
    known = Costs(
        {}, {name: name for name in times}, times, {}, dict(zip(times, errors, strict=True))
    )
    subsets = np.array(list(itertools.product([0, 1], repeat=6)))
    profits = subsets @ saved - np.geomspace(1e-3, 1e3, 5000)[:, None] * (subsets @ errors)
    corners = subsets[np.unique(profits.argmax(axis=1))]
    fitting = corners[corners @ errors <= 1.5]
    fastest = fitting[(fitting @ saved).argmax()]

    assert Choices(known).within(1.5) == {str(n) for n in np.flatnonzero(fastest)}


def test_measurements_correct_the_prediction():
    found, error = accurate(
        costs(v=0.005, w=0.001, moving=0.1), 0.01, lambda nodes: 0.1 if "second" in nodes else 0.002
    )

    assert (found, error) == ({"first"}, 0.002)


def test_all_stays_in_float_where_no_choice_is_allowed():
    assert accurate(costs(w=0.1, v=0.1), 0.01, lambda _: 1.0) == (set(), 0.0)
