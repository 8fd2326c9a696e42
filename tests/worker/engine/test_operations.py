import numpy as np
import onnx
import pytest

from tests.dataset_files import write_npz
from tests.onnx_models import linear
from worker.engine import operations
from worker.engine.errors import ResourceError
from worker.engine.requests import InspectDataset, InspectModel


def no_progress(stage, fraction):
    pass


def test_inspects_a_model(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(linear(np.eye(3)), path)

    info = operations.run(InspectModel(model_path=path, workdir=tmp_path), no_progress)

    assert [(value.name, value.shape) for value in info.inputs] == [("x", ["batch", 3])]
    assert info.size_bytes == path.stat().st_size


def test_inspects_a_dataset(tmp_path):
    path = write_npz(tmp_path / "d.npz", x=np.zeros((4, 3), np.float32))

    info = operations.run(InspectDataset(dataset_path=path, workdir=tmp_path), no_progress)

    assert info.sample_count == 4


def test_a_shortage_of_memory_is_an_error_with_a_code(tmp_path, monkeypatch):
    def fail(request):
        raise MemoryError

    monkeypatch.setattr(operations, "inspect_dataset", fail)

    with pytest.raises(ResourceError) as failed:
        operations.run(InspectDataset(dataset_path=tmp_path, workdir=tmp_path), no_progress)
    assert failed.value.code == "out_of_memory"
