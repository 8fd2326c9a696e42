import pytest

from tests.onnx_models import small_convnet
from worker.engine.quantization.graph_view import GraphView
from worker.engine.quantization.integer_edges import model_times, rounded_edges
from worker.engine.quantization.kernel_times import KernelTimes
from worker.engine.quantization.placement import place


@pytest.fixture
def placed():
    view = GraphView(small_convnet().graph)
    return place(view, {"conv", "relu", "flatten", "gemm"}, absorb=True), view


def test_an_edge_knows_who_writes_and_who_reads_its_values(placed):
    edges = rounded_edges(*placed)

    assert (edges["image"].producer, edges["image"].readers) == (None, ["conv"])
    assert (edges["active"].producer, edges["active"].readers) == ("conv", ["gemm"])
    assert not edges["active"].is_read_in_float


def test_what_only_follows_a_node_counts_with_it(placed):
    in_float = KernelTimes({"maps": 5.0, "gemm": 2.0}, {"maps": "Conv", "gemm": "Gemm"})
    in_integers = KernelTimes(
        {"conv": 1.0, "relu": 3.0, "gemm": 1.0, "QuantizeLinear": 0.5},
        {"conv": "QLinearConv", "relu": "Relu", "gemm": "Gemm", "QuantizeLinear": "QuantizeLinear"},
    )

    times = model_times(*placed, in_float, in_integers)

    conv, gemm = times.nodes["conv"], times.nodes["gemm"]
    assert (conv.in_float, conv.in_integers, conv.is_fused) == (5.0, 4.0, True)
    assert (gemm.in_float, gemm.in_integers, gemm.is_fused) == (2.0, 1.0, False)
    assert (times.others_in_float, times.others_in_integers) == (0.0, 0.5)
