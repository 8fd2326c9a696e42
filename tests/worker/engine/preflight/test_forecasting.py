from worker.engine.passes.base import SkippedNode
from worker.engine.preflight.forecasting import group_skipped


def skip(node, op_type, reason):
    return SkippedNode(node=node, op_type=op_type, reason=reason)


def test_groups_nodes_of_one_reason_whatever_weight_it_names():
    (group,) = group_skipped(
        [skip(f"m{i}", "MatMul", f"its weight w{i} is float64") for i in range(5)]
    )

    assert (group.count, group.nodes) == (5, ["m0", "m1", "m2"])
    assert group.reason == "its weight w0 is float64"


def test_nodes_with_weights_come_first_then_the_most():
    groups = group_skipped(
        [
            *(skip(f"r{i}", "Relu", "it is not chosen") for i in range(9)),
            skip("c", "Conv", "its weight is computed by the graph"),
            *(skip(f"s{i}", "Shape", "it is not chosen") for i in range(20)),
        ]
    )

    assert [group.op_type for group in groups] == ["Conv", "Shape", "Relu"]
