import tempfile
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from tests.onnx_models import linear
from worker.engine.datasets.splitting import SampleSelection
from worker.engine.errors import PassError, ResourceError
from worker.engine.pass_runner import apply_passes, private_folder
from worker.engine.passes.base import Pass, PassContext, PassResult, SkippedNode
from worker.engine.progress import Progress


class Doubling(Pass):
    """Doubles every weight, and leaves files about as onnxruntime does."""

    method: Literal["doubling"] = "doubling"
    times: int = 1

    def apply(self, model, context):
        (context.workdir / "stray.onnx").touch()
        tempfile.mkdtemp()
        doubled = type(model)()
        doubled.CopyFrom(model)
        weight = doubled.graph.initializer[0]
        weight.raw_data = (np.frombuffer(weight.raw_data, np.float32) * 2).tobytes()
        context.report_progress("compressing", 0.5)
        skipped = [SkippedNode(node="add", op_type="Add", reason="it has no weight")]
        return PassResult(doubled, ["matmul"], skipped)


class Failing(Pass):
    """Fails in a way nobody foresaw."""

    method: Literal["failing"] = "failing"

    def apply(self, model, context):
        raise KeyError("140_scale")


class Greedy(Pass):
    """Wants more memory than there is."""

    method: Literal["greedy"] = "greedy"

    def apply(self, model, context):
        raise MemoryError


@pytest.fixture
def context(tmp_path):
    return PassContext(
        workdir=tmp_path / "work",
        samples=SampleSelection([], ()),
        report_progress=lambda stage, fraction: None,
    )


def weights_of(model):
    return np.frombuffer(model.graph.initializer[0].raw_data, np.float32).tolist()


def apply(passes, context):
    progress = Progress(lambda stage, fraction: None)
    return apply_passes(linear([[1.0]]), passes, context, progress)


def test_applies_passes_in_order_and_reports_each(context):
    outcome = apply([Doubling(), Doubling(times=2)], context)

    assert weights_of(outcome.model) == [4.0]
    assert [(r.method, r.options, r.changed_nodes) for r in outcome.reports] == [
        ("doubling", {"times": 1}, ["matmul"]),
        ("doubling", {"times": 2}, ["matmul"]),
    ]
    assert len(outcome.skipped) == 2


def test_nothing_is_left_of_what_a_pass_writes(context):
    apply([Doubling()], context)

    assert list(context.workdir.iterdir()) == []


def test_an_unforeseen_failure_names_the_method_and_the_cause(context):
    with pytest.raises(PassError, match=r"failing failed on this model: KeyError: '140_scale'"):
        apply([Failing()], context)
    assert list(context.workdir.iterdir()) == []


def test_a_shortage_of_memory_is_named_as_such(context):
    with pytest.raises(ResourceError) as failed:
        apply([Greedy()], context)
    assert failed.value.code == "out_of_memory"


def test_a_private_folder_takes_temporary_files_for_a_while(tmp_path):
    before = tempfile.gettempdir()

    with private_folder(tmp_path / "private") as folder:
        inside = Path(tempfile.mkdtemp())

    assert inside.parent == folder
    assert tempfile.gettempdir() == before
    assert not folder.exists()
