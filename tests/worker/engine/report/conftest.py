"""A report with something in each of its parts."""

import pytest

from worker.engine.passes.base import SkippedNode
from worker.engine.passes.float16 import Float16
from worker.engine.report.blame import Blame, BlamedNode, CurvePoint, Repair, ValuePicture
from worker.engine.report.contents import LayerError, ModelMeasures, PassReport
from worker.engine.report.kernels import KernelProfile, KernelTime, OpTypeTime
from worker.engine.report.provenance import Manifest
from worker.engine.report.quality import Interval, OutputFidelity, Score, ShownValue
from worker.engine.report.report import Report
from worker.engine.report.spending import Spending, StageSpending
from worker.engine.report.timings import FirstLoad, Latency, LatencySamples, Loading, RatioInterval
from worker.engine.report.verdict import GateResult, Verdict
from worker.engine.spec import Spec

TIMES = LatencySamples(
    samples_seconds=[0.001, 0.002], p50_seconds=0.0015, p90_seconds=0.0019, p99_seconds=0.002
)


def measures(size_bytes):
    return ModelMeasures(
        size_bytes=size_bytes,
        deflated_bytes=90,
        zstd_bytes=80,
        parameter_count=10,
        zero_fraction=0.25,
        op_counts={"Conv": 2},
        macs=None,
    )


@pytest.fixture
def report():
    return Report(
        verdict=Verdict(
            passed=False,
            summary="Missed 1 of 1 gates (min_cosine): 4.00 times smaller.",
            gates=[
                GateResult(
                    gate="min_cosine",
                    limit=0.99,
                    measured=0.5,
                    bound="at_least",
                    passed=False,
                    data="dataset",
                    detail="",
                )
            ],
            warnings=["a <b>bold</b> warning"],
        ),
        before=measures(4000),
        after=measures(1000),
        fidelity=[
            OutputFidelity(
                output="y",
                data="dataset",
                samples=4,
                sqnr_db=31.25,
                sqnr_interval=Interval(low=29, high=33.5),
                worst_sample_sqnr_db=20.5,
                worst_sample=3,
                worst_sample_values=[ShownValue(place=[0, 2], before=0.75, after=None)],
                threshold=0.5,
                flips=0.125,
                flips_interval=Interval(low=0.05, high=0.2),
                yes_overlap=0.75,
                rank_correlation=0.9,
                cosine=0.5,
                max_abs_error=0.125,
            ),
            OutputFidelity(
                output="label", data="dataset", samples=4, worst_sample=0, agreement=0.75
            ),
        ],
        accuracy=[
            Score(
                name="top1",
                metric="top1",
                output="y",
                samples=4,
                before=1.0,
                after=0.75,
                larger_is_better=True,
                before_interval=Interval(low=1, high=1),
                after_interval=Interval(low=0.25, high=1),
                difference_interval=Interval(low=-0.75, high=0),
            )
        ],
        latency=Latency(
            threads=1,
            batch_size=1,
            execution_provider="cpu",
            before=TIMES,
            after=TIMES,
            ratio=1.5,
            ratio_interval=RatioInterval(low=1.25, high=1.75, confidence=0.96),
            noisy=True,
            noise=["other programs kept 1.5 of 2 processors busy"],
            load_seconds_before=0.1,
            load_seconds_after=0.1,
        ),
        peak_memory_bytes=2**27,
        layers=[LayerError(node="conv|1", op_type="Conv", weight="w", sqnr_db=12.5)],
        blame=Blame(
            data="dataset",
            samples=4,
            sqnr_db=20.0,
            nodes=[
                BlamedNode(
                    node="conv|1",
                    op_type="Conv",
                    nodes=["conv|1"],
                    local_sqnr_db=12.5,
                    alone_sqnr_db=21.0,
                    restored_sqnr_db=30.0,
                    explanation="one channel dwarfs the others",
                    pictures=[
                        ValuePicture(
                            what="weight",
                            name="w",
                            lowest=-1.0,
                            highest=1.0,
                            counts=[1, 8, 1],
                            scales=1,
                            range_lowest=-0.5,
                            range_highest=0.5,
                            clipped_share=0.2,
                        )
                    ],
                )
            ],
            curve=[
                CurvePoint(nodes=0, kept=[], sqnr_db=20.0, is_rerun=False),
                CurvePoint(nodes=1, kept=["conv|1"], sqnr_db=30.0, is_rerun=False),
                CurvePoint(nodes=1, kept=["conv|1"], sqnr_db=29.0, is_rerun=True),
            ],
            repair=Repair(
                spec=Spec(passes=[Float16()]), change="nodes_to_exclude", sqnr_db=29.0, samples=13
            ),
        ),
        passes=[
            PassReport(
                method="float16", options={}, duration_seconds=0.5, changed_nodes=["a"], notes=["n"]
            )
        ],
        skipped=[SkippedNode(node="loop", op_type="Loop", reason="has a body")],
        preparation=["Constant nodes made initializers: 2"],
        durations_seconds={"preparing": 0.1},
        loading=Loading(
            loads=3,
            before=FirstLoad(
                load_seconds=0.1, run_seconds=0.25, peak_memory_bytes=2**21, memory_bytes=2**20
            ),
            after=FirstLoad(
                load_seconds=0.1, run_seconds=0.5, peak_memory_bytes=None, memory_bytes=None
            ),
        ),
        kernels=KernelProfile(
            runs=4,
            seconds_before=0.25,
            seconds_after=0.5,
            op_types=[
                OpTypeTime(
                    op_type="Conv|1",
                    count_before=2,
                    count_after=3,
                    seconds_before=0.125,
                    seconds_after=0.25,
                )
            ],
            slowest_before=[KernelTime(node="conv", op_type="Conv", seconds=0.125)],
            slowest_after=[KernelTime(node="conv", op_type="Conv", seconds=0.25)],
            reasons=["Conv takes longer"],
        ),
        spending=Spending(
            stages=[
                StageSpending(
                    stage="preparing", wall_seconds=0.1, cpu_seconds=0.25, peak_memory_bytes=None
                )
            ],
            wall_seconds=0.5,
            cpu_seconds=0.75,
            peak_memory_bytes=2**27,
        ),
        manifest=Manifest(
            model_sha256="aa",
            artifact_sha256="bb",
            spec_sha256="cc",
            resolved_spec=Spec(passes=[Float16()]),
            calibration_sha256=None,
            evaluation_sha256=None,
            seed=0,
            versions={"onnx": "1"},
            cpu="cpu",
            cpu_flags=[],
            platform="Linux",
            execution_provider="cpu",
        ),
    )
