import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.engine_runs import answers, first_answers
from tests.onnx_models import branching, doubling_functions, float_value, linear, model_of
from worker.engine.blame.pairing import ModelPair, Pairing
from worker.engine.blame.splicing import Splice, copied, refuse_unspliceable
from worker.engine.errors import PassError
from worker.engine.graphs import subgraphs
from worker.engine.passes.initializer_pruning import InitializerPruning
from worker.engine.passes.weight_quantization import WeightQuantization


def spliced(pairing, parts, outputs):
    """The original's nodes with more beside them, and some values as its outputs."""
    splice = Splice(pairing)
    splice.add(pairing.before.nodes, {})
    for part in parts(splice):
        splice.model.graph.node.extend(part.nodes)
        outputs = [*outputs, *part.outputs]
    splice.fetch(outputs)
    return splice.model


@pytest.mark.parametrize(
    "step", [InitializerPruning(sparsity=0.5), WeightQuantization(minimum_values=17, bits=4)]
)
def test_the_originals_nodes_answer_as_they_did_among_the_results_constants(
    compressed, images, step
):
    pairing = Pairing(compressed(step))

    model = spliced(pairing, lambda _: [], ["scores"])

    expected = first_answers(pairing.pair.original, images)
    np.testing.assert_array_equal(first_answers(model, images), expected)


def test_a_compressed_segment_reads_what_the_original_computes(compressed, images):
    halved = InitializerPruning(sparsity=0.5, scope="per_layer")
    only_gemm = compressed(halved.model_copy(update={"nodes_to_exclude": ("conv",)}))
    pairing = Pairing(compressed(halved))
    gemm = next(segment for segment in pairing.segments if segment.name == "gemm")

    model = spliced(pairing, lambda splice: [splice.of_result(gemm)], [])

    # its input is exact, as in a model in which nothing before it changed
    expected = first_answers(only_gemm.result, images)
    np.testing.assert_allclose(first_answers(model, images), expected, rtol=1e-5, atol=1e-5)


def test_parts_of_both_models_have_values_of_their_own():
    before, after = linear([[2.0]]), linear([[3.0]])
    pairing = Pairing(ModelPair(before, after))
    matmul = pairing.segments[0]

    model = spliced(
        pairing,
        lambda splice: [splice.of_result(matmul), splice.of_original(matmul)],
        ["product"],
    )

    # the original's product, the result's and the original's once more
    values = answers(model, {"x": np.array([[5.0]], np.float32)})
    assert [value.item() for value in values] == [10, 15, 10]
    outputs = [name for node in model.graph.node for name in node.output]
    assert len(set(outputs)) == len(outputs)


def test_bodies_read_the_weights_of_their_own_model(compressed):
    feeds = [{"x": np.ones((1, 8), np.float32), "flag": np.array(flag)} for flag in (True, False)]
    model = branching()
    [inner] = [t for body in subgraphs(model.graph.node[1]) for t in body.initializer]
    # Exact at 4 bits, by a scale of 0.5, so that only what is read decides.
    inner.CopyFrom(numpy_helper.from_array(3.5 * np.eye(8, dtype=np.float32), inner.name))
    pair = compressed(WeightQuantization(minimum_values=17, bits=4), model, feeds)
    pairing = Pairing(pair)
    choice = next(segment for segment in pairing.segments if segment.name == "choice")

    model = spliced(pairing, lambda splice: [splice.of_result(choice)], [])

    expected = first_answers(pair.original, feeds)
    np.testing.assert_allclose(first_answers(model, feeds), expected, rtol=1e-5, atol=1e-5)


def test_copies_leave_the_nodes_as_they_were():
    node = helper.make_node("Add", ["a", "b"], ["c"], name="add")

    [copy] = copied([node], {"a": "other", "c": "sum"})

    assert (list(copy.input), list(copy.output), copy.name) == (["other", "b"], ["sum"], "")
    assert (list(node.input), list(node.output), node.name) == (["a", "b"], ["c"], "add")


def test_a_value_is_fetched_once():
    splice = Splice(Pairing(ModelPair(linear([[2.0]]), linear([[3.0]]))))

    splice.fetch(["product", "y", "product"])
    splice.fetch(["y"])

    assert [value.name for value in splice.model.graph.output] == ["product", "y"]


def test_takes_the_later_opset_of_both_models():
    later = linear([[3.0]])
    later.opset_import[0].version = 21
    later.opset_import.append(helper.make_opsetid("com.microsoft", 1))

    model = Splice(Pairing(ModelPair(linear([[2.0]]), later))).model

    assert {each.domain: each.version for each in model.opset_import} == {
        "": 21,
        "com.microsoft": 1,
    }


def test_refuses_what_cannot_be_put_into_one_model():
    functions = doubling_functions(1)
    sparse = model_of(
        [helper.make_node("Identity", ["x"], ["y"])],
        [float_value("x", [2])],
        [float_value("y", [2])],
    )
    values = helper.make_tensor("s", TensorProto.FLOAT, [1], [1.0])
    places = helper.make_tensor("i", TensorProto.INT64, [1], [0])
    sparse.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(values, places, [2]))

    with pytest.raises(PassError, match="functions of its own"):
        refuse_unspliceable(ModelPair(functions, functions))
    with pytest.raises(PassError, match="sparse initializers"):
        refuse_unspliceable(ModelPair(linear([[1.0]]), sparse))
