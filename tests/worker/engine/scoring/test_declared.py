import pytest
from pydantic import TypeAdapter, ValidationError

from worker.engine.scoring.classes import Top1
from worker.engine.scoring.declared import AnyMetric, MetricName, declare
from worker.engine.spec import Evaluation


@pytest.mark.parametrize("name", MetricName.__args__)
def test_every_name_is_a_metric_without_options(name):
    assert declare(name).metric == name


def test_every_metric_says_what_it_is():
    schema = TypeAdapter(AnyMetric).json_schema()

    assert all(part["description"] for part in schema["$defs"].values())


def test_a_name_stays_a_name_in_a_stored_spec():
    evaluation = Evaluation(metrics=["top1", {"metric": "f1", "threshold": 0.3}])

    [name, options] = evaluation.model_dump()["metrics"]

    assert (name, options["threshold"]) == ("top1", 0.3)


def test_the_specs_output_is_for_metrics_that_name_none():
    assert declare("top1", "y") == Top1(output="y")
    assert declare(Top1(output="z"), "y").output == "z"


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ("top2", "'top1', 'top5'"),
        ("box_map", "'top1', 'top5'"),
        ({"metric": "f1", "treshold": 1}, "treshold"),
        ({"metric": "top2"}, "top2"),
        ({"metric": "box_map"}, "layout"),
        ({"threshold": 1}, "metric"),
        (7, "metric"),
    ],
)
def test_refuses_what_is_no_metric(metric, reason):
    with pytest.raises(ValidationError, match=reason):
        Evaluation.model_validate({"metrics": [metric]})
