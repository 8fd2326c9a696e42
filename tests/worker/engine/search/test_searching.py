import hashlib

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.dataset_files import write_npz, write_npz_archive
from tests.onnx_models import float_value, model_of, small_convnet
from worker.engine.errors import InvalidDatasetError
from worker.engine.operations import run
from worker.engine.performance.latency import compare_latency
from worker.engine.requests import CompressModel

LIMITS = {"min_sqnr_db": 20, "max_latency_ratio": 50}


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def point_of(answer, role):
    return next(p for p in answer.report.frontier.points if p.role == role)


@pytest.fixture
def without_weights():
    nodes = [helper.make_node("Relu", ["image"], ["active"], name="relu")]
    nodes += [helper.make_node("GlobalMaxPool", ["active"], ["scores"], name="pool")]
    return model_of(
        nodes,
        inputs=[float_value("image", ["batch", 3, 8, 8])],
        outputs=[float_value("scores", ["batch", 3, 1, 1])],
    )


def test_finds_the_smallest_that_keeps_the_limits(reach, tmp_path):
    answer = reach(minimize="size", within=LIMITS)

    frontier = answer.report.frontier
    artifact = tmp_path / "artifact0" / answer.artifact_name
    smallest = min(p.size_bytes for p in frontier.points if p.meets_goal)
    assert frontier.is_met
    assert answer.report.verdict.passed
    assert point_of(answer, "chosen").size_bytes == artifact.stat().st_size == smallest
    assert answer.report.manifest.artifact_sha256 == sha256(artifact)
    assert frontier.conclusion in answer.report.verdict.summary
    assert list((tmp_path / "work0").iterdir()) == []


def test_keeps_the_next_two_beside_the_choice(reach, tmp_path):
    answer = reach(minimize="size", within=LIMITS)

    folder = tmp_path / "artifact0"
    sizes = [
        (folder / f"alternative_{number}" / name).stat().st_size
        for number, name in enumerate(answer.alternatives, start=1)
    ]
    assert sizes == [point_of(answer, f"alternative_{n}").size_bytes for n in (1, 2)]
    assert len(list(folder.rglob("model.*"))) == 3


def test_every_point_is_made_again_by_its_spec(reach, tmp_path, images):
    answer = reach(minimize="size", within=LIMITS)

    for number, role in enumerate(("chosen", "alternative_1")):
        spec = point_of(answer, role).spec
        (tmp_path / f"again{number}").mkdir()
        again = CompressModel(
            model_path=tmp_path / "upload.onnx",
            calibration_path=images,
            spec=spec.model_dump(mode="json"),
            artifact_folder=tmp_path / f"copy{number}",
            workdir=tmp_path / f"again{number}",
        )
        run(again, lambda *_: None)
    first = tmp_path / "artifact0"
    assert sha256(tmp_path / "copy0" / "model.onnx") == sha256(first / "model.onnx")
    copy, alternative = tmp_path / "copy1", first / "alternative_1"
    assert sha256(copy / "model.onnx") == sha256(alternative / "model.onnx")


def test_returns_the_model_as_it_was_where_nothing_can_be_compressed(
    reach, without_weights, tmp_path
):
    answer = reach(model=without_weights, minimize="size")

    artifact = tmp_path / "artifact0" / answer.artifact_name
    assert artifact.read_bytes() == (tmp_path / "upload.onnx").read_bytes()
    assert answer.report.verdict.summary.startswith("Compression does not pay here")
    assert answer.report.manifest.resolved_spec is None
    assert answer.report.layers == answer.report.passes == answer.alternatives == []
    assert point_of(answer, "chosen").name == "the original"
    assert not any("the compressed model" in each for each in answer.report.verdict.warnings)


def test_the_original_too_comes_with_what_samples_leave_unsaid(reach, tmp_path):
    names = {"ids": "logits", "past": "present"}
    model = model_of(
        [helper.make_node("Relu", [x], [y], name=y) for x, y in names.items()],
        inputs=[float_value(name, ["batch", f"{name}_length"]) for name in names],
        outputs=[float_value(name, ["batch", f"{name}_length"]) for name in names.values()],
    )
    full, empty = np.ones((1, 3), np.float32), np.ones((1, 0), np.float32)
    runs = {f"{n}.npz": {"ids": full, "past": full if n < 9 else empty} for n in range(10)}
    data = write_npz_archive(tmp_path / "runs.zip", runs)

    answer = reach(model=model, data=data, minimize="size")

    assert point_of(answer, "chosen").name == "the original"
    assert any(
        each.startswith('"present" holds no values on 1 of 2')
        for each in answer.report.verdict.warnings
    )


def test_the_original_is_as_fast_as_itself_whatever_the_clock_says(reach, without_weights):
    answer = reach(model=without_weights, minimize="size", within={"max_latency_ratio": 1.0})

    assert point_of(answer, "chosen").latency_ratio == answer.report.latency.ratio == 1
    assert answer.report.verdict.passed


def test_comes_as_close_as_it_can_to_a_goal_out_of_reach(reach):
    answer = reach(
        minimize="latency",
        within={"max_size_ratio": 0.01, "max_latency_ratio": 50, "min_sqnr_db": 3},
    )

    frontier = answer.report.frontier
    smallest = min(p.size_bytes for p in frontier.points if p.size_bytes)
    assert not frontier.is_met
    assert not answer.report.verdict.passed
    assert point_of(answer, "chosen").size_bytes == smallest
    assert "max_size_ratio" in frontier.conclusion
    assert point_of(answer, "chosen").missed[0].startswith("max_size_ratio")


@pytest.mark.parametrize(("minimize", "limit"), [("size", 48), ("latency", 55)])
def test_tries_halves_where_eight_bits_are_too_few(reach, minimize, limit):
    answer = reach(minimize=minimize, within={"min_sqnr_db": limit})

    points = {p.name: p for p in answer.report.frontier.points}
    assert not points["weights at 8 bits"].meets_goal
    assert points["weights as float16"].meets_goal
    assert answer.report.frontier.is_met


def test_mixes_halves_where_float16_itself_may_not_be_used(reach):
    answer = reach(minimize="size", within={"min_sqnr_db": 48}, methods=["weight_quantization"])

    names = [p.name for p in answer.report.frontier.points]
    assert names[1] == "weights at 8 bits"
    assert not any("at 4" in name for name in names)


def test_uses_the_methods_it_may(reach):
    answer = reach(minimize="size", methods=["float16"])

    points = answer.report.frontier.points[1:]
    assert [p.spec.passes[0].method for p in points] == ["float16"]


def test_a_budget_that_is_too_short_leaves_the_original(reach, monkeypatch):
    monkeypatch.setattr("worker.engine.search.searching.seconds_to_confirm", lambda *_: 1e6)

    answer = reach(minimize="size", within=LIMITS)

    frontier = answer.report.frontier
    assert frontier.ended == "budget spent"
    assert point_of(answer, "chosen").name == "the original"
    assert "the budget was spent" in frontier.conclusion


def test_says_what_to_give_where_nothing_allowed_can_be_judged(reach):
    frontier = reach(data=None, minimize="size", methods=["static_quantization"]).report.frontier

    assert frontier.conclusion == (
        "Nothing was tried: without data the methods that the goal allows cannot be judged; give"
        " calibration data, or allow weight_quantization, dynamic_quantization or float16. This is"
        " the original model."
    )


def test_says_which_limits_the_original_misses_too(reach):
    limits = {"limits": [{"figure": "after.size_bytes", "at_most": 5}]}

    frontier = reach(minimize="size", within=limits, methods=["float16"]).report.frontier

    assert frontier.conclusion.startswith("The goal was missed: 1 candidate was tried and 1 could")
    assert frontier.conclusion.endswith("The original misses after.size_bytes too.")


def test_the_time_for_measuring_a_result_well_is_kept_once_there_is_one(reach, monkeypatch):
    monkeypatch.setattr("worker.engine.search.searching.SHARE_KEPT_BACK", 1e6)
    monkeypatch.setattr("worker.engine.search.searching.LARGEST_SHARE", 1.0)

    answer = reach(minimize="size", within=LIMITS)

    frontier = answer.report.frontier
    assert frontier.ended == "budget spent"
    assert point_of(answer, "chosen").name == "weights at 8 bits"
    assert sum(point.spec is not None for point in frontier.points) == 1


def test_what_only_the_report_shows_is_left_out_where_no_time_is_left(reach, monkeypatch):
    monkeypatch.setattr(
        "worker.engine.search.budget.Budget.seconds_to_end", property(lambda _: 0.0)
    )

    report = reach(minimize="size", within=LIMITS).report

    assert report.latency is not None
    assert (report.loading, report.kernels) == (None, None)
    assert any("no time of the budget was left" in each for each in report.verdict.warnings)


def test_it_is_measured_all_the_same_where_a_limit_is_on_it(reach, monkeypatch):
    monkeypatch.setattr(
        "worker.engine.search.budget.Budget.seconds_to_end", property(lambda _: 0.0)
    )
    limits = LIMITS | {"limits": [{"figure": "loading.loads", "at_least": 1}]}

    report = reach(minimize="size", within=limits).report

    assert report.loading is not None
    assert report.frontier.is_met


def test_starts_nothing_that_takes_longer_than_the_time_that_is_left(reach, monkeypatch):
    def expect(_, proposal):
        return 0.0 if proposal.methods == ("weight_quantization",) else 1e6

    monkeypatch.setattr("worker.engine.search.expecting.Expectations.seconds_of", expect)

    frontier = reach(minimize="latency", within=LIMITS).report.frontier

    left_out = [point for point in frontier.points if "not started" in (point.dropped or "")]
    assert {point.duration_seconds for point in left_out} == {0}
    assert any(point.spec for point in frontier.points)
    assert frontier.ended == "budget spent"
    assert f"{len(left_out)} more were not started" in frontier.conclusion


def test_what_may_be_the_fastest_is_timed_again_with_more_runs(reach, monkeypatch):
    asked = []

    def compare(pair, feeds, inputs, options, report_progress):
        asked.append(options.runs)
        return compare_latency(pair, feeds, inputs, options, report_progress)

    monkeypatch.setattr("worker.engine.search.study.compare_latency", compare)
    monkeypatch.setattr("worker.engine.search.choosing.SAME_SPEED", 0.9)

    reach(minimize="latency", within=LIMITS, methods=["weight_quantization"])

    # None is as many as make the ratio certain
    assert max(run for run in asked if run is not None) <= 40
    assert asked[-2:] == [None, None]


def test_a_limit_on_latency_that_may_be_missed_by_chance_is_timed_for_longer(reach, monkeypatch):
    asked = []

    def compare(pair, feeds, inputs, options, report_progress):
        asked.append(options.runs)
        latency, warnings = compare_latency(pair, feeds, inputs, options, report_progress)
        is_short = options.runs is not None and options.runs <= 40
        noisy = {"ratio": 2.0, "ratio_interval": None} if is_short else {"ratio": 1.0}
        return latency.model_copy(update=noisy), warnings

    monkeypatch.setattr("worker.engine.search.study.compare_latency", compare)

    limits = {"min_sqnr_db": 20, "max_latency_ratio": 1.5}
    frontier = reach(minimize="size", within=limits, methods=["float16"]).report.frontier

    assert [point.meets_goal for point in frontier.points] == [True, True]
    assert asked[-1] == 200


@pytest.mark.parametrize(
    ("ratios", "chosen", "is_met"),
    [
        # By chance above the limit of 1.5, and not the second time.
        ([1.6, 1.0], "weights as float16", True),
        ([1.6, 1.6], "the original", True),
    ],
)
def test_the_choice_is_measured_once_more_where_it_may_miss_by_chance(
    reach, monkeypatch, ratios, chosen, is_met
):
    left = list(ratios)

    def compare(*arguments):
        latency, warnings = compare_latency(*arguments)
        ratio = left.pop(0) if left else 1.0
        return latency.model_copy(update={"ratio": ratio, "ratio_interval": None}), warnings

    monkeypatch.setattr("worker.engine.performance.comparison.compare_latency", compare)

    limits = {"min_sqnr_db": 20, "max_latency_ratio": 1.5}
    report = reach(minimize="size", within=limits, methods=["float16"]).report

    assert report.frontier.is_met is report.verdict.passed is is_met
    point = next(point for point in report.frontier.points if point.role == "chosen")
    assert (point.name, point.latency_ratio) == (chosen, report.latency.ratio)
    assert left == []


def test_the_choice_is_timed_no_longer_than_the_time_that_is_left(reach, monkeypatch):
    asked = []

    def compare(pair, feeds, inputs, options, report_progress):
        asked.append(options.runs)
        return compare_latency(pair, feeds, inputs, options, report_progress)

    monkeypatch.setattr("worker.engine.performance.comparison.compare_latency", compare)
    monkeypatch.setattr("worker.engine.search.confirming.longest_seconds", lambda _: 3600.0)

    reach(minimize="size", within=LIMITS, budget_seconds=5)

    assert asked
    assert all(runs is not None for runs in asked)


def test_the_progress_of_a_search_never_goes_back(reach):
    stages = []

    reach(stages, minimize="size", within=LIMITS)

    fractions = [fraction for _, fraction in stages]
    assert fractions == sorted(fractions)
    assert list(dict.fromkeys(name for name, _ in stages)) == [
        "preparing",
        "searching",
        "measuring",
    ]


def test_data_that_do_not_fit_are_the_callers_to_mend(tmp_path, reach, images):
    reach(minimize="size", methods=["float16"])
    request = CompressModel(
        model_path=tmp_path / "upload.onnx",
        evaluation_path=images,
        spec={"goal": {"minimize": "size"}, "evaluation": {"metrics": ["auc"]}},
        artifact_folder=tmp_path / "refused",
        workdir=tmp_path / "work0",
    )

    with pytest.raises(InvalidDatasetError):
        run(request, lambda *_: None)
    assert not (tmp_path / "refused").exists()


def test_scores_what_few_samples_leave_undefined(tmp_path, images):
    random = np.random.default_rng(1)
    evaluation = write_npz(
        tmp_path / "evaluation.npz",
        image=random.normal(size=(12, 3, 8, 8)).astype(np.float32),
        is_first=np.repeat([0, 1], 6),
    )
    onnx.save(small_convnet(), tmp_path / "upload.onnx")
    (tmp_path / "work").mkdir()
    request = CompressModel(
        model_path=tmp_path / "upload.onnx",
        calibration_path=images,
        evaluation_path=evaluation,
        spec={
            "goal": {"minimize": "size", "methods": ["float16"], "budget_seconds": 60},
            "evaluation": {
                "metrics": [{"metric": "auc", "labels": "is_first", "index": 0}],
                "latency": {"runs": 3},
            },
        },
        artifact_folder=tmp_path / "artifact",
        workdir=tmp_path / "work",
    )

    answer = run(request, lambda *_: None)

    # the first samples are all of one kind, and have no area under a curve
    assert [score.samples for score in answer.report.accuracy] == [12]


def test_holds_answers_to_a_limit_where_the_goal_has_none(reach):
    answer = reach(minimize="size", within={"max_size_ratio": 0.9})

    # the images have labels
    limits = answer.report.frontier.goal.within
    assert (limits.max_accuracy_drop, limits.max_size_ratio) == (0.01, 0.9)
    assert [gate.gate for gate in answer.report.verdict.gates] == [
        "max_size_ratio",
        "max_accuracy_drop",
    ]


def test_a_limit_on_scores_needs_labels(reach):
    with pytest.raises(InvalidDatasetError, match="max_accuracy_drop, which needs labels"):
        reach(data=None, minimize="size", within={"max_accuracy_drop": 0.01})


def test_errors_in_units_of_their_own_are_no_drop(reach, tmp_path):
    random = np.random.default_rng(0)
    write_npz(
        tmp_path / "images.npz",
        image=random.normal(size=(20, 3, 8, 8)).astype(np.float32),
        labels=random.normal(size=(20, 4)).astype(np.float32),
    )

    frontier = reach(minimize="size", methods=["float16"]).report.frontier

    assert (frontier.goal.within.min_sqnr_db, frontier.is_met) == (20, True)
    with pytest.raises(InvalidDatasetError, match="mean_squared_error is an error in units"):
        reach(minimize="size", within={"max_accuracy_drop": 0.01})


def test_tries_nothing_on_made_up_data_that_only_real_data_can_judge(reach):
    report = reach(data=None, minimize="size").report

    tried = [step for point in report.frontier.points if point.spec for step in point.spec.passes]
    assert {getattr(step, "bits", 8) for step in tried} == {8}
    assert not any(step.method == "static_quantization" for step in tried)
    assert not any("4 bits" in point.name for point in report.frontier.points)
    assert report.frontier.goal.within.min_sqnr_db == 20
    assert any("only real data can judge" in warning for warning in report.verdict.warnings)
