import numpy as np

from tests.onnx_models import branching, float_value, linear
from worker.engine.preparation.records import mend_output_shapes, strip_records


def test_strips_documentation_and_inner_shapes_but_no_metadata():
    model = linear(np.eye(2))
    expected = linear(np.eye(2))
    for target in (model, expected):
        target.metadata_props.add(key="author", value="me")
    model.doc_string = model.graph.doc_string = model.graph.node[0].doc_string = "long"
    model.graph.node[0].metadata_props.add(key="namespace", value="exporter")
    model.graph.value_info.append(float_value("product", [1, 2]))

    strip_records(model)

    assert model == expected


def test_strips_branches_too():
    model = branching()
    branch = model.graph.node[1].attribute[0].g
    branch.value_info.append(float_value("stale", [1]))

    strip_records(model)

    assert not branch.value_info


def test_frees_sizes_that_a_run_contradicts():
    model = linear(np.eye(2))
    model.graph.output[0].CopyFrom(float_value("y", [7, 2]))

    assert mend_output_shapes(model, [np.zeros((1, 2))]) == ["y"]
    assert model.graph.output[0] == float_value("y", [None, 2])


def test_frees_all_sizes_where_the_rank_is_wrong():
    model = linear(np.eye(2))
    model.graph.output[0].CopyFrom(float_value("y", [2]))

    assert mend_output_shapes(model, [np.zeros((1, 2))]) == ["y"]
    assert model.graph.output[0] == float_value("y", [None, None])


def test_right_and_symbolic_sizes_stay():
    model = linear(np.eye(2))

    assert mend_output_shapes(model, [np.zeros((5, 2))]) == []
    assert model == linear(np.eye(2))
