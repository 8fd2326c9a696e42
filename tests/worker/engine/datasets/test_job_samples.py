import numpy as np
import pytest

from tests.dataset_files import write_npz
from tests.onnx_models import linear
from worker.engine.datasets.job_samples import choose_samples
from worker.engine.inspection import describe
from worker.engine.requests import CompressModel
from worker.engine.runtime import open_session

MODEL = linear(np.eye(2))


@pytest.fixture
def choose(tmp_path):
    def choose(calibration=None, evaluation=None, method="static_quantization", **options):
        paths = {}
        for name, count in (("calibration", calibration), ("evaluation", evaluation)):
            if count is not None:
                x = np.full((count, 2), len(name), np.float32)
                paths[f"{name}_path"] = write_npz(tmp_path / f"{name}.npz", x=x)
        request = CompressModel(
            model_path=tmp_path,
            spec={"passes": [{"method": method}], "evaluation": options},
            artifact_folder=tmp_path,
            workdir=tmp_path,
            **paths,
        )
        return choose_samples(request, describe(MODEL, 0).inputs, open_session(MODEL), MODEL)

    return choose


def counts(samples):
    return len(samples.calibration), len(samples.evaluation)


def test_each_set_does_what_it_was_given_for(choose):
    samples = choose(calibration=20, evaluation=7)

    assert (counts(samples), samples.warnings) == ((20, 7), [])


def test_a_calibration_set_alone_is_split(choose):
    assert counts(choose(calibration=20)) == (16, 4)


def test_an_evaluation_set_alone_calibrates_with_every_fifth_sample(choose):
    samples = choose(evaluation=100)

    assert counts(samples) == (20, 80)
    assert "every fifth evaluation sample" in samples.warnings[0]


def test_a_set_is_not_split_where_no_pass_calibrates(choose):
    assert counts(choose(calibration=20, method="float16")) == (20, 20)


def test_a_single_sample_does_both_with_a_warning(choose):
    samples = choose(calibration=1)

    assert counts(samples) == (1, 1)
    assert any("only sample" in warning for warning in samples.warnings)


def test_without_data_samples_are_synthetic(choose):
    samples = choose()

    assert {samples.calibration.origin, samples.evaluation.origin} == {"synthetic"}
    assert "synthetic" in samples.warnings[0]


def test_evaluates_at_most_as_many_samples_as_asked(choose):
    assert counts(choose(calibration=20, evaluation=9, max_samples=3)) == (20, 3)
