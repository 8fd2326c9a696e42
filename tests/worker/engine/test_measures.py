import numpy as np

from tests.onnx_models import linear
from worker.engine.deflating import deflated_size
from worker.engine.measures import measure, zero_fraction


def test_measures_a_file_as_it_is_and_packed(tmp_path):
    model = linear(np.eye(4))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())

    measures = measure(model, [path], {"x": np.zeros((1, 4), np.float32)})

    assert measures.size_bytes == path.stat().st_size
    assert measures.deflated_bytes == deflated_size([path.read_bytes()])
    assert 0 < measures.zstd_bytes < measures.size_bytes
    assert (measures.parameter_count, measures.macs) == (4 * 4 + 4, 16)
    assert measures.op_counts == {"Add": 1, "MatMul": 1}


def test_counts_the_bytes_of_every_file(tmp_path):
    files = [tmp_path / "a", tmp_path / "b"]
    for path in files:
        path.write_bytes(b"1234567")

    assert measure(linear(np.eye(2)), files, None).size_bytes == 14


def test_counts_zeros_among_all_weights():
    # an identity of 4 has 12 zeros, its bias 4
    assert zero_fraction(linear(np.eye(4))) == 16 / 20
