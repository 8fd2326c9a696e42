import numpy as np

from tests.onnx_models import small_convnet
from worker.engine.quantization.kernel_times import kernel_times


def test_each_kernel_is_found_by_its_node_or_output(tmp_path):
    model = small_convnet()
    feeds = {"image": np.zeros((1, 3, 8, 8), np.float32)}

    times = kernel_times(model, [feeds], tmp_path)

    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    relu = next(node for node in model.graph.node if node.op_type == "Relu")
    found = times.find([conv.name, *conv.output, *relu.output])
    assert found is not None
    assert times.op_types[found] in {"Conv", "FusedConv"}
    assert 0 < times.seconds[found] <= times.total
    assert list(tmp_path.iterdir()) == []
