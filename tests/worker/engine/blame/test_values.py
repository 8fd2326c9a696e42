import numpy as np
import pytest

from tests.onnx_models import small_convnet
from worker.engine.blame.pairing import Pairing
from worker.engine.blame.values import compare_meanings, is_rescaled
from worker.engine.passes.weight_quantization import WeightQuantization

VALUES = np.random.default_rng(0).normal(size=(1, 4, 5, 5)).astype(np.float32)
FACTORS = np.array([1, 2, 4, 8], np.float32).reshape(1, 4, 1, 1)


@pytest.mark.parametrize("axis", [1, 3])
def test_a_factor_for_each_channel_is_another_meaning(axis):
    values = np.moveaxis(VALUES, 1, axis)
    factors = np.moveaxis(FACTORS, 1, axis)

    assert is_rescaled(values, values * factors)


@pytest.mark.parametrize(
    "answer",
    [
        VALUES,
        np.round(VALUES * 8) / 8,
        np.zeros_like(VALUES),
        np.clip(VALUES, -0.5, 0.5),
        np.where(FACTORS > 2, VALUES, 0),
    ],
)
def test_rounding_clipping_and_losing_values_is_none(answer):
    assert not is_rescaled(VALUES, answer)


def test_too_few_values_of_a_channel_tell_nothing():
    values = VALUES[:, :, :1, :1]

    assert not is_rescaled(values, values * FACTORS)


def test_the_values_of_a_compressed_model_mean_what_they_did(compressed, images, tmp_path):
    pairing = Pairing(compressed(WeightQuantization(minimum_values=17)))

    meanings = compare_meanings(pairing, images[0], tmp_path)

    assert meanings.parted == set()
    assert {"maps", "scores"} <= meanings.floats


def test_finds_values_that_moved_their_scale_to_the_next_layer(compressed, images, tmp_path):
    pair = compressed(WeightQuantization(minimum_values=17))
    scaled = small_convnet()
    tensors = {tensor.name: tensor for tensor in scaled.graph.initializer}
    for name, factor in (("kernel", 4.0), ("shift", 4.0), ("dense", 0.25)):
        values = np.frombuffer(tensors[name].raw_data, np.float32) * np.float32(factor)
        tensors[name].raw_data = values.tobytes()

    pairing = Pairing(type(pair)(small_convnet(), scaled))
    meanings = compare_meanings(pairing, images[0], tmp_path)

    assert "maps" in meanings.parted
    assert "scores" in meanings.floats
