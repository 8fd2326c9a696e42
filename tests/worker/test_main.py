import json
import os
import subprocess
import sys

import pytest

from app.queue import RUN_JOB

LOOK = """
import json, sys
import worker.main
names = {name.partition('.')[0] for name in sys.modules}
app = worker.main.app
print(json.dumps([sorted(names), sorted(app.tasks), app.conf.task_acks_late]))
"""


@pytest.fixture(scope="module")
def main_process():
    """What a process that imports the worker's application has loaded, and is configured for."""
    environment = os.environ | {"ONNXPRESS_REDIS_URL": "redis://nobody.invalid"}
    done = subprocess.run(
        [sys.executable, "-c", LOOK], env=environment, check=True, capture_output=True
    )
    return json.loads(done.stdout)


def test_stays_clear_of_what_parses_models(main_process):
    modules, _, _ = main_process

    assert not {"onnxruntime", "onnx", "numpy"} & set(modules)


def test_serves_the_task_that_the_queue_sends(main_process):
    _, tasks, is_acknowledged_late = main_process

    assert RUN_JOB in tasks
    assert is_acknowledged_late
