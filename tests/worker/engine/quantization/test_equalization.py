import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.engine_runs import answers
from tests.onnx_models import float_value, model_of
from worker.engine.calibration.channels import MapChannels
from worker.engine.quantization.equalization import equalize, regions
from worker.engine.quantization.graph_view import GraphView

WEIGHT_STEPS = 254
UNEVEN = np.float32(10) ** np.linspace(-2, 2, 8).astype(np.float32)


def values(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def between(nodes, weights=None, outputs=(), **inputs):
    """Conv `first` to "a", the nodes, and Conv `second` of "b": channels of "a" far apart."""
    first = values(8, 3, 3, 3) * UNEVEN[:, None, None, None]
    second = values(4, 8, 3, 3, seed=1) / UNEVEN[None, :, None, None]
    return model_of(
        [
            helper.make_node("Conv", ["x", "first", "shift"], ["a"], name="first"),
            *nodes,
            helper.make_node("Conv", ["b", "second"], ["y"], name="second"),
        ],
        [float_value("x", [1, 3, 12, 12])],
        [float_value("y", [None] * 4), *(float_value(name, [None] * 4) for name in outputs)],
        {"first": first, "second": second, "shift": values(8, seed=2) * UNEVEN, **(weights or {})},
    )


def node(op_type, *inputs, to="b", **attributes):
    return helper.make_node(op_type, inputs, [to], name=f"{op_type}-{to}", **attributes)


def spread(array):
    seen = MapChannels()
    seen.update(array)
    return seen


def equalized(model, activation="b"):
    """The model's copy, equalized by the values of one activation, and in how many regions."""
    shown = onnx.ModelProto.FromString(model.SerializeToString())
    shown.graph.output.append(float_value(activation, None))
    seen = {activation: spread(answers(shown, FEEDS)[-1])}
    result = onnx.ModelProto.FromString(model.SerializeToString())
    return result, equalize(result, regions(GraphView(model.graph)), seen, WEIGHT_STEPS)


FEEDS = {"x": values(1, 3, 12, 12, seed=3)}
DEPTHWISE = {"own": values(8, 1, 3, 3, seed=4)}
SIZES = {"sizes": np.array([1, 8, 20, 20])}
PASSING = {
    "Relu": ([node("Relu", "a")], {}),
    "PRelu": ([node("PRelu", "a", "slope")], {"slope": values(8, 1, 1)}),
    "MaxPool": ([node("MaxPool", "a", kernel_shape=[2, 2])], {}),
    "AveragePool": ([node("AveragePool", "a", kernel_shape=[2, 2], pads=[1, 1, 1, 1])], {}),
    "Resize": ([node("Resize", "a", "", "", "sizes", mode="linear")], SIZES),
    "depthwise": (
        [node("Conv", "a", "own", to="c", group=8, pads=[1] * 4), node("Add", "a", "c")],
        DEPTHWISE,
    ),
    "ConvTranspose": ([node("ConvTranspose", "a", "own")], {"own": values(8, 8, 3, 3)}),
}


@pytest.mark.parametrize("case", PASSING)
def test_uneven_channels_are_evened_out_and_no_bit_of_the_answers_changes(case):
    model = between(*PASSING[case])

    result, count = equalized(model, "a" if case == "ConvTranspose" else "b")

    assert count >= 1
    assert result.SerializeToString() != model.SerializeToString()
    assert np.array_equal(answers(result, FEEDS)[0], answers(model, FEEDS)[0])


@pytest.mark.parametrize(
    ("nodes", "weights", "outputs"),
    [
        ([node("HardSwish", "a")], {}, []),
        ([node("Clip", "a", "low", "six")], {"low": np.float32(0), "six": np.float32(6)}, []),
        ([node("Add", "a", "own")], {"own": values(8, 1, 1)}, []),
        ([node("Relu", "a")], {}, ["a"]),
        ([node("Relu", "a"), node("Sigmoid", "a", to="z")], {}, ["z"]),
        ([node("PRelu", "a", "a")], {}, []),
        ([node("Relu", "a"), node("Conv", "x", "first", to="z")], {}, ["z"]),
    ],
    ids=["HardSwish", "Relu6", "constant", "output", "reader", "slope", "shared weight"],
)
def test_regions_stop_where_a_factor_would_be_seen(nodes, weights, outputs):
    model = between(nodes, weights, outputs)

    assert regions(GraphView(model.graph)) == []


def test_a_gemm_passes_factors_on_whichever_way_its_weight_lies():
    model = model_of(
        [
            helper.make_node("Gemm", ["x", "first", "shift"], ["a"], name="first", transB=1),
            helper.make_node("Relu", ["a"], ["b"], name="relu"),
            helper.make_node("Gemm", ["b", "second"], ["y"], name="second"),
        ],
        [float_value("x", [None, 3])],
        [float_value("y", [None, 4])],
        {
            "first": values(8, 3) * UNEVEN[:, None],
            "shift": values(8) * UNEVEN,
            "second": values(8, 4) / UNEVEN[:, None],
        },
    )
    feeds = {"x": values(5, 3)}
    result = onnx.ModelProto.FromString(model.SerializeToString())
    seen = {"b": spread(np.abs(values(100, 8)) * UNEVEN)}

    assert equalize(result, regions(GraphView(model.graph)), seen, WEIGHT_STEPS) == 1
    assert np.array_equal(answers(result, feeds)[0], answers(model, feeds)[0])


def test_even_channels_are_left_alone():
    model = between([node("Relu", "a")])
    seen = {"b": spread(values(1, 8, 20, 20))}
    for name in ("first", "second"):
        tensor = next(t for t in model.graph.initializer if t.name == name)
        tensor.CopyFrom(numpy_helper.from_array(values(*tensor.dims), name))

    assert equalize(model, regions(GraphView(model.graph)), seen, WEIGHT_STEPS) == 0


def test_weights_that_float32_would_not_hold_are_left_alone():
    model = between([node("Relu", "a")])
    tensor = next(t for t in model.graph.initializer if t.name == "first")
    weight = numpy_helper.to_array(tensor).copy()
    weight[0] = 3e38
    tensor.CopyFrom(numpy_helper.from_array(weight, "first"))
    seen = {"b": spread(np.abs(values(1, 8, 12, 12)) * UNEVEN[:, None, None])}
    before = model.SerializeToString()

    assert equalize(model, regions(GraphView(model.graph)), seen, WEIGHT_STEPS) == 0
    assert model.SerializeToString() == before
