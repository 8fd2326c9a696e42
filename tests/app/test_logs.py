import json
import logging

import pytest
import structlog

from app.logs import configure_logging


@pytest.fixture(autouse=True)
def _restored_logging():
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level


def test_writes_one_json_object_a_line(capsys):
    configure_logging("json", "info")

    structlog.stdlib.get_logger("test").info("job.finished", job_id="job_1")
    logging.getLogger("library").warning("careful: %s", "x")

    ours, theirs = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (ours["event"], ours["job_id"], ours["level"]) == ("job.finished", "job_1", "info")
    assert (theirs["event"], theirs["logger"]) == ("careful: x", "library")


def test_a_traceback_shows_no_local_variables(capsys):
    configure_logging("console", "info")

    try:
        password = "secret-" + "value"
        [][len(password)]
    except IndexError:
        structlog.stdlib.get_logger("test").exception("it.failed")

    text = capsys.readouterr().err
    assert "IndexError" in text
    assert "secret-value" not in text


def test_leaves_out_what_is_below_the_level(capsys):
    configure_logging("console", "warning")

    structlog.stdlib.get_logger("test").info("not.shown")

    assert capsys.readouterr().err == ""
