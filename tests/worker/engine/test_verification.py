import numpy as np
import pytest

from tests.onnx_models import float_value, linear, model_of
from worker.engine.errors import VerificationError
from worker.engine.report import OutputFidelity
from worker.engine.runtime import open_session
from worker.engine.verification import open_result, refuse_ruined, verify_file


def output(**figures):
    return OutputFidelity(output="y", data="dataset", samples=4, worst_sample=0, **figures)


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


def test_answers_below_the_limit_are_ruined():
    with pytest.raises(VerificationError, match=r'"y" keeps 2\.9 dB') as ruined:
        refuse_ruined([output(sqnr_db=2.9, max_abs_error=1.0)], 3.0)
    assert ruined.value.code == "ruined_result"


def test_new_values_that_are_not_finite_are_ruin():
    with pytest.raises(VerificationError, match="5 NaN or infinite"):
        refuse_ruined([output(non_finite=5, max_abs_error=0.0)], 3.0)


@pytest.mark.parametrize(
    "fidelity",
    [
        output(sqnr_db=3.1, max_abs_error=1.0),
        output(sqnr_db=None, max_abs_error=0.0),
        output(agreement=0.0),
        output(sqnr_db=-200.0, max_abs_error=1e-9),
        output(sqnr_db=0.0, max_abs_error=1.0, shape_mismatches=1),
    ],
)
def test_other_answers_are_left_to_the_gates(fidelity):
    refuse_ruined([fidelity], 3.0)


def test_no_limit_lets_everything_pass():
    refuse_ruined([output(sqnr_db=-9.0, max_abs_error=1.0)], None)
