import numpy as np
import pytest

from tests.onnx_models import float_value, linear, model_of
from worker.engine.errors import VerificationError
from worker.engine.runtime import open_session
from worker.engine.verification import open_result, verify_file


def saved(model, folder):
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_loads_a_good_result_back(tmp_path):
    path = saved(linear(np.eye(2)), tmp_path)

    assert verify_file(path, tmp_path / "work").model == linear(np.eye(2))


def test_a_file_that_onnxruntime_refuses_is_unloadable(tmp_path):
    model = linear(np.eye(2))
    model.graph.node[0].op_type = "MatMulTypo"

    with pytest.raises(VerificationError, match="MatMulTypo") as refused:
        verify_file(saved(model, tmp_path), tmp_path / "work")
    assert refused.value.code == "unloadable_result"


def test_a_result_with_other_inputs_is_refused(tmp_path):
    renamed = model_of([], [float_value("x2", [1])], [float_value("x2", [1])])
    original = open_session(linear(np.eye(2)))

    with pytest.raises(VerificationError, match="inputs are"):
        open_result(saved(renamed, tmp_path), original, 1, "cpu")
