import re
from pathlib import Path

import yaml

from worker.engine.scoring.declared import AnyMetric
from worker.engine.spec import Evaluation, Gates

PAGE = (Path(__file__).parents[2] / "docs" / "scores.md").read_text()


def test_its_examples_are_valid():
    metrics, gates = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)

    assert len(Evaluation.model_validate(yaml.safe_load(metrics)["evaluation"]).metrics) == 3
    assert len(Gates.model_validate(yaml.safe_load(gates)["gates"]).limits) == 5


def test_it_tells_of_every_metric():
    union = AnyMetric.__origin__
    names = {part.model_fields["metric"].default for part in union.__args__}

    assert names <= set(re.findall(r"`(\w+)`", PAGE))
