"""ONNX files made to break what opens them: damaged, contradictory, endless."""

from itertools import pairwise

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.onnx_models import float_value, linear

OUTSIDE = "../../../../../../../../etc/passwd"


def unchecked(nodes, inputs=(), outputs=(), tensors=(), functions=(), opset=17) -> bytes:
    """A model of these parts, whatever they are."""
    graph = helper.make_graph(nodes, "graph", list(inputs), list(outputs), list(tensors))
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("local", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=list(functions))
    return model.SerializeToString()


def changed(change, model=None) -> bytes:
    """A good model after one change to it."""
    model = model or linear(np.eye(4))
    change(model)
    return model.SerializeToString()


def sound() -> bytes:
    """A model without any fault."""
    return linear(np.eye(4)).SerializeToString()


def truncated() -> bytes:
    return sound()[:-20]


def random_bytes() -> bytes:
    return np.random.default_rng(0).bytes(2**16)


def weight_of(dims, data=b"", data_type=TensorProto.FLOAT) -> bytes:
    """A model whose weight has these dimensions, whatever its data."""

    def change(model):
        tensor = model.graph.initializer[0]
        tensor.ClearField("dims")
        tensor.dims.extend(dims)
        tensor.raw_data = data
        tensor.data_type = data_type

    return changed(change)


def external(location, offset="0", length="64") -> bytes:
    """A model whose weight is kept in another file."""

    def change(model):
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=value)

    return changed(change)


def external_with_odd_entries() -> bytes:
    """A weight in another file, with entries that older libraries took for attributes."""

    def change(model):
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="weights.bin")
        tensor.external_data.add(key="__class__", value="x")
        tensor.external_data.add(key="basepath", value="/etc")

    return changed(change)


def cyclic() -> bytes:
    return changed(lambda model: model.graph.node[0].input.__setitem__(0, "y"))


def missing_input() -> bytes:
    return changed(lambda model: model.graph.node[0].input.__setitem__(0, "nowhere"))


def duplicate_outputs() -> bytes:
    return changed(lambda model: model.graph.node[1].output.__setitem__(0, "product"))


def opset_from_the_future() -> bytes:
    return changed(lambda model: setattr(model.opset_import[0], "version", 2**31 - 1))


def ir_version_from_the_future() -> bytes:
    return changed(lambda model: setattr(model, "ir_version", 2**31 - 1))


def without_opset() -> bytes:
    return changed(lambda model: model.ClearField("opset_import"))


def custom_operator() -> bytes:
    node = helper.make_node("Evil", ["x"], ["y"], domain="com.evil")
    graph = helper.make_graph([node], "graph", [float_value("x", [1])], [float_value("y", [1])])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.evil", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


def invalid_utf8(field: bytes) -> bytes:
    """A model in which a name is no UTF-8; the field's bytes are replaced wherever they stand."""
    return sound().replace(field, b"\xff" * len(field))


def nul_in_a_name() -> bytes:
    return sound().replace(b"product", b"pro\0uct")


def long_name(size) -> bytes:
    return changed(lambda model: setattr(model.graph.node[0], "name", "n" * size))


def many_nodes(count) -> bytes:
    """A chain of Identity nodes."""
    names = ["x", *(f"v{index}" for index in range(count - 1)), "y"]
    nodes = [helper.make_node("Identity", [first], [second]) for first, second in pairwise(names)]
    return unchecked(nodes, [float_value("x", [1])], [float_value("y", [1])])


def no_nodes() -> bytes:
    return unchecked([])


def deeply_nested(depth) -> bytes:
    """If in If in If, written by hand: the libraries cannot write what they refuse to read."""
    graph = b""
    for _ in range(depth):
        attribute = _field(1, b"then_branch") + _field(6, graph) + b"\xa0\x01\x05"
        graph = _field(1, _field(1, b"c") + _field(4, b"If") + _field(5, attribute))
    opset = _field(8, b"\x10\x11")
    return b"\x08\x0a" + opset + _field(7, graph)


def nested_both_ways(depth) -> bytes:
    """If in both branches of If: twice as many graphs with each level."""
    condition = numpy_helper.from_array(np.array(True), "flag")
    value = [float_value("z", [1])]
    node = helper.make_node("Identity", ["x"], ["z"])
    for _ in range(depth + 1):
        graph = helper.make_graph([node], "branch", [], value)
        node = helper.make_node("If", ["flag"], ["z"], then_branch=graph, else_branch=graph)
    return unchecked([node], [float_value("x", [1])], value, [condition])


def nested_one_way(depth) -> bytes:
    """If in the first branch of If, and nothing in the second."""
    condition = numpy_helper.from_array(np.array(True), "flag")
    value = [float_value("z", [1])]
    last = helper.make_graph([helper.make_node("Identity", ["x"], ["z"])], "branch", [], value)
    graph = last
    for _ in range(depth):
        node = helper.make_node("If", ["flag"], ["z"], then_branch=graph, else_branch=last)
        graph = helper.make_graph([node], "branch", [], value)
    node = helper.make_node("If", ["flag"], ["y"], then_branch=graph, else_branch=last)
    return unchecked([node], [float_value("x", [1])], [float_value("y", [1])], [condition])


def function_calling(name, *callees):
    nodes = []
    value = "a"
    for index, callee in enumerate(callees):
        domain = "" if callee == "Neg" else "local"
        nodes.append(helper.make_node(callee, [value], [f"v{index}"], domain=domain))
        value = f"v{index}"
    nodes.append(helper.make_node("Identity", [value], ["b"]))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    return helper.make_function("local", name, ["a"], ["b"], nodes, opsets)


def doubling_functions(count) -> bytes:
    """Functions that each call the one before twice."""
    functions = [function_calling("f0", "Neg")]
    functions += [
        function_calling(f"f{index}", f"f{index - 1}", f"f{index - 1}") for index in range(1, count)
    ]
    return _calling(f"f{count - 1}", functions)


def recursive_function() -> bytes:
    return _calling("f", [function_calling("f", "f")])


def deep_functions(count) -> bytes:
    """A long chain of functions that each call the next."""
    functions = [function_calling("f0", "Neg")]
    functions += [function_calling(f"f{i}", f"f{i - 1}") for i in range(1, count)]
    return _calling(f"f{count - 1}", functions)


def _calling(name, functions) -> bytes:
    node = helper.make_node(name, ["x"], ["y"], domain="local")
    values = [float_value("x", [1])], [float_value("y", [1])]
    return unchecked([node], *values, functions=functions)


def impossible_reshape() -> bytes:
    shape = numpy_helper.from_array(np.array([2**62, 2**62], np.int64), "shape")
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    return unchecked([node], [float_value("x", [4])], [float_value("y", None)], [shape])


def sparse_out_of_range() -> bytes:
    """A sparse weight whose only index lies far outside it."""

    def change(model):
        values = numpy_helper.from_array(np.ones(1, np.float32), "weight")
        indices = numpy_helper.from_array(np.array([10**9], np.int64), "indices")
        del model.graph.initializer[0]
        model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4, 4]))

    return changed(change)


def _field(number, content) -> bytes:
    """A length-delimited protobuf field."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value) -> bytes:
    data = bytearray()
    while value > 127:
        data.append(value & 127 | 128)
        value >>= 7
    return bytes([*data, value])
