import onnx

from worker.engine.blame.effects import Budget
from worker.engine.blame.finding import describe, investigate
from worker.engine.blame.pairing import ModelPair
from worker.engine.passes.weight_quantization import WeightQuantization


def test_ranks_and_describes_every_compressed_node(compressed, images, tmp_path):
    pair = compressed(WeightQuantization(minimum_values=17, bits=4))

    found = investigate(pair, images, tmp_path, Budget(60))
    nodes = describe(found, images)

    assert {node.node for node in nodes} == {"conv", "gemm"}
    assert nodes[0].alone_sqnr_db <= nodes[1].alone_sqnr_db
    assert all(node.explanation and node.pictures for node in nodes)
    assert found.notes == []


def test_nodes_without_names_get_those_that_the_passes_give_them(compressed, images, tmp_path):
    pair = compressed(WeightQuantization(minimum_values=17))
    nameless = onnx.ModelProto()
    nameless.CopyFrom(pair.original)
    for node in nameless.graph.node:
        node.name = ""

    found = investigate(ModelPair(nameless, pair.result, pair.tidied), images, tmp_path, Budget(60))

    assert {effect.segment.name for effect in found.effects} == {"Conv_0", "Gemm_3"}
