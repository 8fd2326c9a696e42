import numpy as np
import pytest
from onnx import helper

from tests.onnx_models import float_value, linear, model_of
from worker.engine.errors import InvalidDatasetError
from worker.engine.evaluation import Scoring, choose_thresholds, compare, score_original
from worker.engine.runtime import open_session
from worker.engine.samples import Sample
from worker.engine.spec import Evaluation


class Samples:
    origin = "dataset"

    def __init__(self, *samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __iter__(self):
        return iter(self.samples)


def sample(values, label=None):
    labels = None if label is None else np.array([label])
    return Sample({"x": np.array([values], np.float32)}, labels)


def scored(evaluation, *samples, is_asked=True):
    session = open_session(linear(np.eye(2)))
    return score_original(session, Samples(*samples), evaluation, is_asked=is_asked)


def test_compares_both_models_on_every_sample():
    before, after = open_session(linear(np.eye(2))), open_session(linear([[1, 0], [0, 0.5]]))
    samples = Samples(sample([3, 4], 1), sample([0, 0], 0))
    scores, _ = score_original(before, samples, Evaluation())
    seen = []

    comparison = compare(before, after, samples, Scoring(scores), seen.append)

    # signal 9 + 16, noise (4 - 2)²
    [output] = comparison.fidelity
    assert output.sqnr_db == pytest.approx(10 * np.log10(25 / 4))
    # argmax of (3, 4) is 1, that of (3, 2) is 0
    assert [(s.before, s.after) for s in comparison.accuracy] == [(1.0, 0.5)]
    assert seen == [0.5, 1.0]


def test_says_which_samples_ask_nothing():
    session = open_session(linear(np.eye(2)))
    nothing = Sample({"x": np.zeros((0, 2), np.float32)})

    comparison = compare(
        session, session, Samples(sample([3, 4]), nothing), Scoring(), lambda _: None
    )

    [warning] = comparison.warnings
    assert "1 of 2 evaluation samples" in warning


def test_asks_for_labels_where_a_metric_was_asked_for():
    with pytest.raises(InvalidDatasetError, match='"top5" needs labels'):
        scored(Evaluation(metrics=["top5"]), sample([1, 2]))


def test_labels_that_fit_nothing_are_a_warning_where_no_metric_was_asked_for():
    strange = Sample({"x": np.zeros((1, 2), np.float32)}, np.zeros((7, 3), np.int64))

    scores, [warning] = scored(Evaluation(), strange, is_asked=False)

    assert scores == []
    assert warning.startswith("the labels were not used")


def test_every_sample_s_labels_are_judged_before_a_result_is_there():
    right, wrong = sample([1, 2], 1), sample([1, 2], 2)

    with pytest.raises(InvalidDatasetError, match="evaluation sample 1: label 2 is none of its 2"):
        scored(Evaluation(metrics=["top1"]), right, wrong)


def test_says_which_arrays_nothing_reads():
    extra = Sample({"x": np.zeros((1, 2), np.float32)}, fields={"z": np.ones(1)})

    _, warnings = scored(Evaluation(), extra)

    assert warnings == ['array "z" is no input, and no metric reads it']


def test_a_sample_that_the_model_refuses_is_a_wrong_dataset():
    with pytest.raises(InvalidDatasetError, match="running the model failed"):
        scored(Evaluation(), sample([1, 2, 3]))


def test_counts_flips_at_declared_thresholds():
    before, after = open_session(linear(np.eye(2))), open_session(linear([[1, 0], [0, 0.5]]))
    thresholds = choose_thresholds(before, linear(np.eye(2)), Evaluation(thresholds={"y": 3}), [])

    comparison = compare(
        before, after, Samples(sample([3, 4])), Scoring(thresholds=thresholds), lambda _: None
    )

    # (3, 4) has one value above 3, (3, 2) none
    [output] = comparison.fidelity
    assert (output.threshold, output.flips, output.yes_overlap) == (3, 0.5, 0)
    assert [value.place for value in output.worst_sample_values] == [[0, 1], [0, 0]]


def test_refuses_a_threshold_of_no_output():
    with pytest.raises(InvalidDatasetError, match='"z" is no output of the model, which has "y"'):
        choose_thresholds(
            open_session(linear(np.eye(2))), linear(np.eye(2)), Evaluation(thresholds={"z": 3}), []
        )


def test_what_a_sigmoid_computes_decides_at_a_half():
    model = model_of(
        [helper.make_node("Sigmoid", ["x"], ["y"])],
        [float_value("x", ["n", 2])],
        [float_value("y", ["n", 2])],
    )

    assert choose_thresholds(open_session(model), model, Evaluation(), []) == {"y": 0.5}


def test_a_score_s_threshold_decides_without_being_declared_again():
    model = linear(np.eye(2))
    session = open_session(model)
    evaluation = Evaluation(metrics=[{"metric": "f1", "threshold": 2, "index": 0}])
    scores, _ = scored(evaluation, sample([3, 4], 1))

    assert choose_thresholds(session, model, evaluation, scores) == {"y": 2}
