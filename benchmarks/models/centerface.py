"""The face detector, freed of its fixed input shape: the network is fully convolutional."""

from pathlib import Path

import onnx

SOURCE = "centerface.onnx"
TARGET = "centerface_free.onnx"
INPUT_SHAPE = ("batch", 3, "height", "width")


def build(folder: Path) -> None:
    """Write the model for images of any size, its weights no longer listed as inputs."""
    model = onnx.load(folder / SOURCE)
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    del graph.input[:], graph.value_info[:]
    graph.input.extend(inputs)
    _declare(graph.input[0], INPUT_SHAPE)
    for output in graph.output:
        channels = output.type.tensor_type.shape.dim[1].dim_value
        _declare(output, ("batch", channels, "rows", "columns"))
    onnx.checker.check_model(model)
    onnx.save(model, folder / TARGET)


def _declare(value: onnx.ValueInfoProto, shape: tuple[int | str, ...]) -> None:
    element = value.type.tensor_type.elem_type
    value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, element, shape))
