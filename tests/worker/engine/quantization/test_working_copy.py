import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.onnx_models import float_value, linear, model_of, small_convnet
from worker.engine.errors import PassError
from worker.engine.passes.base import SkippedNode
from worker.engine.quantization.working_copy import refuse_unchanged, working_copy


def test_the_copy_is_no_part_of_the_original():
    model = small_convnet()

    working_copy(model).graph.node[0].name = "changed"

    assert model.graph.node[0].name == "conv"


def test_nodes_without_a_name_of_their_own_get_one():
    model = linear([[1.0]])
    model.graph.node[0].name = model.graph.node[1].name = "same"
    del model.graph.node[:0]

    names = [node.name for node in working_copy(model).graph.node]

    assert names[0] == "same"
    assert len(set(names)) == 2


def test_a_quantized_model_is_refused_with_some_of_its_nodes():
    model = model_of(
        [helper.make_node("QuantizeLinear", ["x", "scale"], ["y"], name="round")],
        [float_value("x", [1]), float_value("scale", [])],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, [1])],
    )

    with pytest.raises(PassError, match=r"round \(QuantizeLinear\)") as caught:
        working_copy(model)

    assert caught.value.code == "already_quantized"


def test_nothing_changed_is_an_error_with_the_reasons():
    skipped = [
        SkippedNode(node="relu", op_type="Relu", reason="why"),
        *[
            SkippedNode(node=f"gemm{i}", op_type="Gemm", reason="its weight is computed")
            for i in (1, 2)
        ],
    ]

    with pytest.raises(
        PassError, match=r"2 Gemm: its weight is computed \(gemm1, \.\.\.\); 1"
    ) as e:
        refuse_unchanged(small_convnet(), [], skipped)

    assert e.value.code == "nothing_to_compress"


def test_weights_that_are_halves_already_are_said_to_be():
    model = linear([[1.0]])
    weight = numpy_helper.from_array(np.ones((8, 8), np.float16), "half_weight")
    model.graph.initializer[0].CopyFrom(weight)

    with pytest.raises(PassError, match="float16 already, 1 of them, such as half_weight") as e:
        refuse_unchanged(model, [], [])

    assert e.value.code == "already_quantized"
