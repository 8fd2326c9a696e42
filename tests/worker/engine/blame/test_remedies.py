import pytest

from worker.engine.blame.remedies import remedied
from worker.engine.passes.dynamic_quantization import DynamicQuantization
from worker.engine.passes.float16 import Float16
from worker.engine.passes.initializer_pruning import InitializerPruning
from worker.engine.passes.static_quantization import StaticQuantization
from worker.engine.passes.weight_quantization import WeightQuantization


@pytest.mark.parametrize(
    "step", [StaticQuantization(), DynamicQuantization(), InitializerPruning(sparsity=0.1)]
)
def test_leaves_nodes_out_beside_those_left_out_already(step):
    given = step.model_copy(update={"nodes_to_exclude": ("head/*",)})

    remedy = remedied([given], {"a": 1, "b": 1}, [{"a", "b", "c"}])

    assert remedy.passes[0].nodes_to_exclude == ("head/*", "a", "b")
    assert remedy.words == f'{step.method}: nodes_to_exclude "a", "b"'


@pytest.mark.parametrize(
    ("bits", "times", "more"), [(4, 1, 8), (2, 1, 8), (8, 1, 16), (4, 2, "float")]
)
def test_stores_weights_at_more_bits_and_then_as_they_are(bits, times, more):
    remedy = remedied([WeightQuantization(bits=bits)], {"a": times}, [{"a"}])

    [override] = remedy.passes[0].overrides
    assert (override.nodes, override.bits) == (("a",), more)


def test_only_the_passes_that_changed_a_node_take_care_of_it():
    passes = [InitializerPruning(sparsity=0.1), StaticQuantization()]

    remedy = remedied(passes, {"a": 1}, [{"b"}, {"a"}])

    assert remedy.passes[0] == passes[0]
    assert remedy.passes[1].nodes_to_exclude == ("a",)


def test_there_is_no_remedy_where_no_pass_has_an_option_for_it():
    assert remedied([Float16()], {"a": 1}, [{"a"}]) is None
