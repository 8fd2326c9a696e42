import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.onnx_models import branching, small_convnet
from worker.engine.blame.fingerprints import Fingerprints, of_tensor
from worker.engine.tidying import tidy


def digest(nodes, output, **known):
    prints = Fingerprints(known)
    prints.add(nodes)
    return prints.of(output)


def test_names_do_not_matter():
    one = [helper.make_node("Add", ["a", "b"], ["sum"], name="first")]
    other = [helper.make_node("Add", ["x", "y"], ["z"], name="second")]

    assert digest(one, "sum", a="1", b="2") == digest(other, "z", x="1", y="2")


@pytest.mark.parametrize(
    "other",
    [
        helper.make_node("Sub", ["a", "b"], ["sum"]),
        helper.make_node("Add", ["b", "a"], ["sum"]),
        helper.make_node("Add", ["a", "b"], ["sum"], domain="own"),
        helper.make_node("Add", ["a", "b"], ["sum"], axis=1),
    ],
)
def test_what_is_computed_matters(other):
    one = helper.make_node("Add", ["a", "b"], ["sum"])

    assert digest([one], "sum", a="1", b="2") != digest([other], "sum", a="1", b="2")


def test_a_body_counts_by_what_it_computes():
    before, after = branching(), branching()
    long = f"a_name_of_its_own_{'x' * 2000}"
    inner = after.graph.node[1].attribute[1].g.node[0]
    inner.output[0] = after.graph.node[1].attribute[1].g.output[0].name = long
    changed = branching()
    weight = changed.graph.node[1].attribute[1].g.initializer[0]
    weight.CopyFrom(numpy_helper.from_array(np.zeros((8, 8), np.float32), weight.name))

    digests = [
        digest(model.graph.node, "y", outer="w", x="x", flag="f")
        for model in (before, after, changed)
    ]

    assert digests[0] == digests[1] != digests[2]


def test_tensors_of_equal_values_are_equal_however_they_are_stored():
    array = np.array([1, 2], np.float32)
    raw = numpy_helper.from_array(array, "raw")
    listed = helper.make_tensor("listed", TensorProto.FLOAT, [2], [1.0, 2.0])
    text = helper.make_tensor("text", TensorProto.STRING, [1], [b"a"])
    other_text = helper.make_tensor("text", TensorProto.STRING, [1], [b"b"])

    assert of_tensor(raw) == of_tensor(listed)
    assert of_tensor(text) != of_tensor(other_text)


def test_a_tidied_model_computes_the_same():
    model, tidied = small_convnet(), small_convnet()
    tidy(tidied, keep_names=False)

    names = {tensor.name: of_tensor(tensor) for tensor in model.graph.initializer}
    found = digest(model.graph.node, "scores", image="i", **names)

    others = {tensor.name: of_tensor(tensor) for tensor in tidied.graph.initializer}
    assert found == digest(tidied.graph.node, "scores", image="i", **others)
