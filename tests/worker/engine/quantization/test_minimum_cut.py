import itertools

import numpy as np
import pytest

from worker.engine.quantization.minimum_cut import ALWAYS, Labelling


def test_things_that_save_are_one_and_things_that_cost_are_zero():
    labelling = Labelling()
    labelling.cost_of_one("saves", -2)
    labelling.cost_of_one("costs", 1)

    assert labelling.ones() == {"saves"}


def test_a_difference_is_avoided_where_it_costs_more_than_it_saves():
    labelling = Labelling()
    labelling.cost_of_one("saves", -2)
    labelling.cost_of_one("costs", 1)
    labelling.cost_of_difference("saves", "costs", 3)

    assert labelling.ones() == {"saves", "costs"}


def test_a_charge_for_any_is_paid_once():
    labelling = Labelling()
    labelling.cost_of_one("first", -2)
    labelling.cost_of_one("second", -2)
    labelling.cost_of_any(["first", "second"], "charge", 3)

    assert labelling.ones() == {"first", "second", "charge"}


def test_what_is_forbidden_never_happens():
    labelling = Labelling()
    labelling.cost_of_one("saves", -2)
    labelling.cost_of_one("costs", 5)
    labelling.cost_of_difference("saves", "costs", ALWAYS)

    assert labelling.ones() == set()


@pytest.mark.parametrize("seed", range(5))
def test_no_labelling_is_cheaper(seed):
    random = np.random.default_rng(seed)
    single, pairs = random.normal(size=6), random.uniform(size=(6, 6))
    labelling = Labelling()
    for thing, cost in enumerate(single):
        labelling.cost_of_one(thing, cost)
    for one, zero in itertools.permutations(range(6), 2):
        labelling.cost_of_difference(one, zero, pairs[one, zero])

    def cost(labels):
        labels = np.array(labels)
        return single @ labels + labels @ pairs @ (1 - labels)

    found = [int(thing in labelling.ones()) for thing in range(6)]
    assert cost(found) == pytest.approx(min(map(cost, itertools.product([0, 1], repeat=6))))


def test_the_cost_of_labellings_differs_by_what_is_charged():
    labelling = Labelling()
    labelling.cost_of_one("saves", -2)
    labelling.cost_of_one("costs", 1)
    labelling.cost_of_difference("saves", "costs", 3)

    everything, nothing = labelling.cost({"saves", "costs"}), labelling.cost(set())

    assert (everything - nothing, labelling.cost({"saves"}) - nothing) == (-1, 1)
