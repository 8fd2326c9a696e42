"""Compressed pairs of the small models, and samples to look at them with."""

import numpy as np
import pytest

from tests.engine_runs import pass_context
from tests.onnx_models import small_convnet
from worker.engine.blame.pairing import ModelPair
from worker.engine.preparation.prepare import prepare
from worker.engine.quantization.working_copy import name_nodes
from worker.engine.tidying import tidy


@pytest.fixture
def images():
    random = np.random.default_rng(0)
    return [{"image": random.normal(size=(1, 3, 8, 8)).astype(np.float32)} for _ in range(6)]


@pytest.fixture
def compressed(tmp_path, images):
    """Returns a model with what a pass makes of it, tidied as a job does it."""

    def compressed(step, model=None, feeds=images):
        original = prepare(model or small_convnet(), step.required_opset()).model
        name_nodes(original)
        result = step.apply(original, pass_context(tmp_path, feeds)).model
        return ModelPair(original, result, tidy(result, keep_names=False))

    return compressed
