from dataclasses import replace

import numpy as np
import pytest
from onnx import numpy_helper

from worker.engine.weights.budget import (
    Choice,
    Upgrade,
    spend_average,
    spend_for_answers,
    with_upgrades,
)
from worker.engine.weights.finding import Weight
from worker.engine.weights.grids import Grid


def choice(name, error, left, size=100):
    """A weight at 4 bits with one float16 scale, and its upgrade to 8 bits."""
    weight = Weight(None, numpy_helper.from_array(np.zeros(size, np.float32), name))
    scale = np.ones((), np.float16)
    four, eight = (Grid(bits, np.zeros(size, np.int8), scale, (size,)) for bits in (4, 8))
    return Choice(weight, four, is_packed=False, error=error, upgrade=Upgrade(eight, left))


def test_the_weights_that_gain_most_per_bit_are_upgraded_first():
    # Each upgrade costs 4 bits a value; the gains per value are 0.004, 0.01 and 0.002.
    choices = [
        choice("middle", 0.4, 0.0), choice("most", 0.5, 0.0, size=50), choice("least", 0.3, 0.1)
    ]  # fmt: skip

    # 250 values and three scales: 1048 bits, of which 1648 are allowed. The first takes 200, the
    # second 400, and nothing is left for the third.
    upgraded = spend_average(choices, 1648 / 250)

    assert upgraded == ["most", "middle"]


def test_upgraded_weights_have_more_bits_and_nothing_more_to_gain():
    upgraded, same = with_upgrades([choice("a", 0.4, 0.1), choice("b", 0.3, 0.1)], {"a"})

    assert (upgraded.grid.bits, upgraded.error, upgraded.extra_bits) == (8, 0.1, 0)
    assert (same.grid.bits, same.error, same.extra_bits) == (4, 0.3, 400)


def test_what_does_not_fit_makes_room_for_what_does():
    choices = [choice("large", 0.9, 0.0, size=200), choice("small", 0.1, 0.0)]

    # 300 values and two scales: 1232 bits; 1732 leave 500, of which the large would take 800.
    assert spend_average(choices, 1732 / 300) == ["small"]


def test_a_weight_whose_bits_are_given_stays():
    fixed = replace(choice("fixed", 1.0, 0.0), upgrade=None)

    assert spend_average([fixed], 16) == []


def test_weights_that_share_a_name_stay():
    assert spend_average([choice("w", 1.0, 0.0), choice("w", 0.5, 0.0)], 16) == []


@pytest.mark.parametrize(("wanted", "count"), [(9.0, 0), (10.5, 1), (13.0, 3), (17.0, 7)])
def test_as_many_are_upgraded_as_good_answers_need(wanted, count):
    choices = [choice(f"w{number}", 1 - number / 10, 0.0) for number in range(8)]

    upgraded = spend_for_answers(choices, wanted, lambda names: 10.0 + len(names))

    assert upgraded == [f"w{number}" for number in range(count)]


def test_all_are_upgraded_where_none_suffice():
    choices = [choice("a", 0.5, 0.0), choice("b", 0.9, 0.0)]

    assert spend_for_answers(choices, 30.0, lambda names: 10.0 + len(names)) == ["b", "a"]
