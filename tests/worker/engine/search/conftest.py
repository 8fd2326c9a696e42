"""Points without a model, and jobs with a goal on a small one."""

import time
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.dataset_files import write_npz
from tests.onnx_models import small_convnet
from tests.worker.engine.report.conftest import TIMES, measures
from worker.engine.candidate import Making
from worker.engine.evaluation import Comparison
from worker.engine.measurements import Measurements
from worker.engine.operations import run
from worker.engine.original import open_original
from worker.engine.passes.float16 import Float16
from worker.engine.progress import Progress
from worker.engine.report.quality import Interval, OutputFidelity, Score
from worker.engine.report.timings import Latency, RatioInterval
from worker.engine.requests import CompressModel
from worker.engine.search.budget import Budget
from worker.engine.search.point import Point, Proposal, judge_gates
from worker.engine.search.study import Study
from worker.engine.spec import Gates


def make_point(name, size=500, latency=1.0, drop=0.0, limits=None, standard_error=None):
    """A point of a model of 1000 bytes that scored 0.9, with answers of 20 dB."""
    score = Score(
        metric="top1", output="y", samples=9, before=0.9, after=0.9 - drop, larger_is_better=True
    )
    if standard_error is not None:
        half = 1.96 * standard_error
        score.difference_interval = Interval(low=-drop - half, high=-drop + half)
    fidelity = OutputFidelity(output="y", data="dataset", samples=9, sqnr_db=20.0, worst_sample=0)
    measured = Measurements(
        before=measures(1000),
        after=measures(size),
        fidelity=[fidelity],
        accuracy=[score],
        latency=Latency(
            threads=1,
            batch_size=1,
            execution_provider="cpu",
            before=TIMES,
            after=TIMES,
            ratio=latency,
            load_seconds_before=0.1,
            load_seconds_after=0.1,
        ),
        data="dataset",
    )
    return Point(
        proposal=Proposal(name, [Float16()]),
        making=Making([Float16()]),
        artifact=Path(name),
        sha256=name,
        comparison=Comparison([fidelity], [score]),
        measured=measured,
        gates=judge_gates(limits or Gates(), measured),
        warnings=[],
        duration_seconds=1.0,
    )


def timed(name, low, high, sqnr_db=20.0, **options):
    """A point whose latency ratio lies between two."""
    point = make_point(name, latency=(low + high) / 2, **options)
    interval = RatioInterval(low=low, high=high, confidence=0.95)
    latency = point.measured.latency.model_copy(update={"ratio_interval": interval})
    point.measure_again(latency, options.get("limits") or Gates())
    point.measured.fidelity[0].sqnr_db = sqnr_db
    return point


@pytest.fixture
def images(tmp_path):
    random = np.random.default_rng(0)
    return write_npz(
        tmp_path / "images.npz",
        image=random.normal(size=(20, 3, 8, 8)).astype(np.float32),
        labels=random.integers(0, 4, 20),
    )


@pytest.fixture
def reach(tmp_path, images):
    """Run a job with a goal; `stages` collects its progress, `data` replaces the images."""

    def reach(stages=None, model=None, data=True, **goal):
        source = tmp_path / "upload.onnx"
        onnx.save(model or small_convnet(), source)
        number = len(list(tmp_path.glob("artifact*")))
        (tmp_path / f"work{number}").mkdir()
        request = CompressModel(
            model_path=source,
            calibration_path=images if data is True else data,
            spec={"goal": {"budget_seconds": 60} | goal, "evaluation": {"latency": {"runs": 3}}},
            artifact_folder=tmp_path / f"artifact{number}",
            workdir=tmp_path / f"work{number}",
        )
        heard = [] if stages is None else stages
        return run(request, lambda stage, fraction: heard.append((stage, fraction)))

    return reach


@pytest.fixture
def study(tmp_path, images):
    """Open a search on a model, with the original in it."""

    def study(model=None, calibration=None, budget_seconds=60, **goal):
        source = tmp_path / "studied.onnx"
        onnx.save(model or small_convnet(), source)
        folder = tmp_path / "study"
        folder.mkdir()
        request = CompressModel(
            model_path=source,
            calibration_path=calibration or images,
            spec={"goal": {"minimize": "size"} | goal, "evaluation": {"latency": {"runs": 3}}},
            artifact_folder=tmp_path / "chosen",
            workdir=folder,
        )
        original = open_original(request, folder, Progress(lambda *_: None))
        budget = Budget(budget_seconds, time.perf_counter())
        goal = request.spec.goal
        opened = Study(original, goal, folder / "search", budget, lambda _: None)
        opened.add_original()
        return opened

    return study
