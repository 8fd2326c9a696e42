import numpy as np
import pytest

from worker.engine.errors import VerificationError
from worker.engine.samples import Sample
from worker.engine.scoring.base import MisfitError
from worker.engine.scoring.planning import plan_scores
from worker.engine.scoring.scorers import OriginalScorer, Scorer
from worker.engine.spec import Evaluation

LOGITS = np.array([[0.1, 0.9, 0.0], [0.8, 0.1, 0.3]], np.float32)
WORSE = np.array([[0.9, 0.1, 0.0], [0.8, 0.1, 0.3]], np.float32)
FEEDS = {"x": np.zeros((2, 1))}


def planned(outputs, labels=None, fields=None, **evaluation):
    sample = Sample(FEEDS, labels, fields or {})
    return plan_scores(Evaluation.model_validate(evaluation), outputs, sample)


def original(plan, output, sample):
    scorer = OriginalScorer(plan)
    scorer.add([output], sample)
    return scorer.result()


def scored(plan, before, after, sample):
    scorer = Scorer(original(plan, before, sample))
    scorer.add([after], sample)
    return scorer.result(seed=0)


def test_scores_both_models_on_the_same_labels():
    labels = np.array([1, 0])
    [plan] = planned({"y": LOGITS}, labels)

    score = scored(plan, LOGITS, WORSE, Sample(FEEDS, labels))

    assert (score.name, score.metric, score.before, score.after) == ("top1", "top1", 1.0, 0.5)
    assert (score.samples, score.unit, score.drop) == (2, "share", 0.5)
    assert score.difference_interval.low == -1


def test_float_labels_are_scored_by_their_squared_error():
    labels, right = np.array([1.0, 2.0]), np.array([[1.0], [2.0]])
    [plan] = planned({"y": right}, labels)

    score = scored(plan, right, np.array([[2.0], [2.0]]), Sample(FEEDS, labels))

    # ((2 - 1)² + 0) / 2, in units of its own
    assert (score.metric, score.before, score.after) == ("mean_squared_error", 0.0, 0.5)
    assert (score.larger_is_better, score.drop) == (False, None)


def test_a_rising_error_rate_is_a_drop():
    metric = {"metric": "sequence_error_rate", "name": "letters"}
    right, wrong = np.array([[1, 2]]), np.array([[1, 3]])
    [plan] = planned({"y": right}, right, metrics=[metric])

    score = scored(plan, right, wrong, Sample(FEEDS, right))

    assert (score.name, score.after, score.drop) == ("letters", 0.5, 0.5)


def test_reads_the_labels_a_metric_names():
    fields = {"speech": np.array([1, 0])}
    metric = {"metric": "recall", "labels": "speech", "index": 1}

    [plan] = planned({"y": LOGITS}, fields=fields, metrics=[metric])

    assert scored(plan, LOGITS, WORSE, Sample(FEEDS, fields=fields)).before == 1


def test_names_the_sample_whose_labels_do_not_fit():
    scorer = OriginalScorer(planned({"y": LOGITS}, np.array([1, 0]))[0])
    scorer.add([LOGITS], Sample(FEEDS, np.array([1, 0])))

    with pytest.raises(MisfitError, match="evaluation sample 1: the labels are not one"):
        scorer.add([LOGITS], Sample(FEEDS, np.array([1, 0, 2])))


def test_says_that_the_compressed_models_answer_does_not_fit():
    labels = np.array([1, 0])
    [plan] = planned({"y": LOGITS}, labels)

    with pytest.raises(VerificationError, match="the compressed model's answer"):
        scored(plan, LOGITS, LOGITS[:1], Sample(FEEDS, labels))


def test_refuses_labels_that_leave_a_score_undefined():
    labels = np.ones((2, 3), int)
    [plan] = planned({"y": LOGITS}, labels, metrics=["auc"])

    with pytest.raises(MisfitError, match="labels of both kinds"):
        original(plan, LOGITS, Sample(FEEDS, labels))


def test_refuses_a_correlation_of_answers_that_are_all_the_same():
    labels = np.array([1.0, 2.0])
    [plan] = planned({"y": np.ones((2, 1))}, labels, metrics=["pearson"])

    with pytest.raises(MisfitError, match="answers every sample alike"):
        original(plan, np.ones((2, 1)), Sample(FEEDS, labels))


def test_a_result_whose_answers_are_all_the_same_has_lost_the_correlation():
    labels = np.array([1.0, 2.0])
    [plan] = planned({"y": labels}, labels, metrics=["pearson"])

    score = scored(plan, labels, np.ones(2), Sample(FEEDS, labels))

    assert (score.before, score.after) == (pytest.approx(1), 0)


@pytest.mark.parametrize(
    ("metric", "output", "labels", "is_worst"),
    [
        ("top1", LOGITS, np.array([2, 2]), True),
        ("top1", LOGITS, np.array([1, 2]), False),
        ("sequence_error_rate", np.array([[1, 2]]), np.array([[3, 3]]), True),
        ("sequence_error_rate", np.array([[1, 2]]), np.array([[1, 3]]), False),
        ("pearson", np.array([1.0, 2.0]), np.array([2.0, 1.0]), True),
        ("mean_squared_error", np.array([1.0, 2.0]), np.array([2.0, 1.0]), False),
    ],
)
def test_warns_of_a_score_that_no_result_can_fall_short_of(metric, output, labels, is_worst):
    [plan] = planned({"y": output}, labels, metrics=[metric])

    warning = original(plan, output, Sample(FEEDS, labels)).warning

    assert (warning is not None) is is_worst
