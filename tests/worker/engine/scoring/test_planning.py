import numpy as np
import pytest

from worker.engine.samples import Sample
from worker.engine.scoring.base import MisfitError
from worker.engine.scoring.planning import plan_scores
from worker.engine.spec import Evaluation

LOGITS = np.array([[0.1, 0.9, 0.0], [0.8, 0.1, 0.3]], np.float32)
FEEDS = {"x": np.zeros((2, 1))}


def planned(outputs, labels=None, fields=None, **evaluation):
    sample = Sample(FEEDS, labels, fields or {})
    return plan_scores(Evaluation.model_validate(evaluation), outputs, sample)


def test_takes_the_first_output_that_fits():
    outputs = {"features": np.zeros((2, 7, 7), np.float32), "y": LOGITS}

    [plan] = planned(outputs, np.array([1, 0]))

    assert (plan.output, plan.position) == ("y", 1)


def test_no_metric_and_no_labels_is_no_score():
    assert planned({"y": LOGITS}) == []


def test_says_which_outputs_there_are():
    with pytest.raises(MisfitError, match='"z" is no output of the model, which has "y"'):
        planned({"y": LOGITS}, np.array([1, 0]), output="z")


def test_says_which_labels_there_are():
    metric = {"metric": "f1", "labels": "speech"}

    with pytest.raises(MisfitError, match=r'named "speech" .* which has "labels", "lines"'):
        planned({"y": LOGITS}, np.array([1, 0]), {"lines": np.ones(2)}, metrics=[metric])


def test_says_why_labels_fit_no_output():
    with pytest.raises(MisfitError, match=r"of shape \(5,\) .*\"y\" \(2, 3\): the labels"):
        planned({"y": LOGITS}, np.arange(5))


def test_refuses_labels_that_are_no_numbers():
    with pytest.raises(MisfitError, match="NaN or infinity"):
        planned({"y": LOGITS[:, :1]}, np.array([1.0, np.nan]))
