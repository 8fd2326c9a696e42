import numpy as np
import pytest
from onnx import numpy_helper

from worker.engine.blame.pairing import Pairing
from worker.engine.blame.weights import weight_facts
from worker.engine.layers import StoredWeights
from worker.engine.passes.dynamic_quantization import DynamicQuantization
from worker.engine.passes.initializer_pruning import InitializerPruning
from worker.engine.passes.static_quantization import StaticQuantization
from worker.engine.passes.weight_quantization import WeightQuantization

INTEGERS = {"per_channel": False, "fallback": "off"}


def facts_of(pair, node):
    pairing = Pairing(pair)
    [segment] = [each for each in pairing.changed if each.name == node]
    return weight_facts(pairing, segment, StoredWeights(pair.result, pair.tidied))


@pytest.mark.parametrize(
    ("step", "scales"),
    [
        (WeightQuantization(minimum_values=17), 16),
        (StaticQuantization(**INTEGERS), 1),
        (DynamicQuantization(op_types_to_quantize=("Conv", "Gemm"), **INTEGERS), 1),
    ],
)
def test_finds_the_weight_and_its_scales_however_it_is_stored(compressed, step, scales):
    pair = compressed(step)

    facts = facts_of(pair, "conv")

    kernel = numpy_helper.to_array(pair.original.graph.initializer[0])
    assert facts.name == "kernel"
    np.testing.assert_array_equal(facts.before, kernel)
    assert facts.scale.size == scales
    largest = np.abs(kernel).max()
    # 8 bits, or 7 on a processor that adds products in 16 bits
    assert largest / 128 < np.max(facts.scale) < largest / 62
    assert facts.sqnr_db > 30


def test_a_pruned_weight_has_no_scale_and_zeros(compressed):
    facts = facts_of(compressed(InitializerPruning(sparsity=0.25, scope="per_layer")), "gemm")

    assert facts.scale is None
    assert facts.zeroed_share == pytest.approx(0.25)
    order = np.sort(np.square(facts.before), axis=None)
    assert facts.zeroed_energy_share == pytest.approx(order[: order.size // 4].sum() / order.sum())


def test_peaks_of_output_and_input_channels(compressed):
    facts = facts_of(compressed(WeightQuantization(minimum_values=17)), "conv")

    np.testing.assert_array_equal(facts.output_peaks, np.abs(facts.before).max(axis=(1, 2, 3)))
    np.testing.assert_array_equal(facts.input_peaks, np.abs(facts.before).max(axis=(0, 2, 3)))
