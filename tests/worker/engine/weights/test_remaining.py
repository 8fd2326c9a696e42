import numpy as np
import pytest
from onnx import numpy_helper

from tests.engine_runs import answers, sqnr_db
from tests.onnx_models import linear
from tests.worker.engine.weights.test_finding import loop_model
from worker.engine.weights.remaining import RemainingWeights, storable_names, store_remaining


def weights(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_named_weights_are_stored_as_integers_with_nearly_the_same_answers():
    model = linear(weights(64, 32), bias=weights(32))
    feeds = {"x": np.random.default_rng(1).normal(size=(4, 64)).astype(np.float32)}
    before, size_bytes = answers(model, feeds)[0], model.ByteSize()

    readers = store_remaining(model, {"weight"})

    assert readers == ["matmul"]
    assert model.ByteSize() < size_bytes / 2
    assert sqnr_db(before, answers(model, feeds)[0]) > 40


def test_weights_of_other_names_stay_as_they_are():
    model = linear(weights(64, 32))
    before = model.SerializeToString()

    assert store_remaining(model, {"another"}) == []
    assert model.SerializeToString() == before


@pytest.mark.parametrize("shape", [(8, 8), (1, 1024)])
def test_small_weights_and_vectors_are_not_worth_storing(shape):
    assert storable_names(linear(weights(*shape))) == set()


def test_weights_inside_bodies_are_stored_too():
    model = loop_model(size=32)
    feeds = {"x": weights(2, 32)}

    readers = store_remaining(model, storable_names(model))

    assert readers == ["with_outer", "in_body"]
    assert answers(model, feeds)[0] == pytest.approx(feeds["x"], abs=1e-2)


@pytest.mark.parametrize("halves", [set(), {"weight"}])
def test_rounded_weights_give_the_answers_of_stored_ones(halves):
    model, stored = linear(weights(64, 32)), linear(weights(64, 32))
    feeds = {"x": weights(4, 64)}
    store_remaining(stored, {"weight"}, halves)

    rounded = RemainingWeights(model).round(model, halves)

    assert np.array_equal(answers(rounded, feeds)[0], answers(stored, feeds)[0])


def test_halves_are_closer_than_eight_bits():
    feeds, model = {"x": weights(4, 64)}, linear(weights(64, 32))
    before = answers(model, feeds)[0]

    store_remaining(model, {"weight"}, {"weight"})

    assert sqnr_db(before, answers(model, feeds)[0]) > 60


def test_a_mask_of_infinities_is_stored_as_halves():
    mask = np.triu(np.full((32, 32), -np.inf, np.float32), 1)
    model = linear(mask)

    store_remaining(model, storable_names(model))

    # np.inf * 0 is NaN, so that the mask is read by itself.
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    assert np.array_equal(numpy_helper.to_array(stored["weight.half"]), mask)


def test_infinities_beside_numbers_that_float16_cannot_hold_stay_as_they_are():
    assert storable_names(linear([[np.inf] * 32, [1e6] * 32] * 16)) == set()
