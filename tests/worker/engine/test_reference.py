import numpy as np
import pytest

from tests.onnx_models import linear
from worker.engine.batching import BatchRunner
from worker.engine.cache import Cache, feeds_sha256
from worker.engine.errors import InvalidDatasetError
from worker.engine.reference import ReferenceAnswers, reference_key
from worker.engine.runtime import open_session


def feeds(*values):
    return {"x": np.array([values], np.float32)}


class Runner(BatchRunner):
    """Counts the samples that it runs."""

    def __init__(self):
        super().__init__(open_session(linear([[1, 0], [0, 2]])), InvalidDatasetError)
        self.seen = 0

    def run(self, group):
        self.seen += len(group)
        return super().run(group)


@pytest.fixture
def runner():
    return Runner()


def test_runs_each_input_once(runner):
    answers = ReferenceAnswers(Cache(), "k")

    first = answers.of(runner, [feeds(1, 2), feeds(3, 4)])
    again = answers.of(runner, [feeds(3, 4), feeds(5, 6), feeds(1, 2)])

    assert [outputs[0].tolist() for outputs in first] == [[[1, 4]], [[3, 8]]]
    assert [outputs[0].tolist() for outputs in again] == [[[3, 8]], [[5, 12]], [[1, 4]]]
    assert runner.seen == 3


def test_what_was_saved_serves_another_job(runner, tmp_path):
    answers = ReferenceAnswers(Cache(tmp_path), "k")
    answers.of(runner, [feeds(1, 2)])
    answers.save()

    later = ReferenceAnswers(Cache(tmp_path), "k")

    assert later.of(runner, [feeds(1, 2)])[0][0].tolist() == [[1, 4]]
    assert runner.seen == 1


def test_another_model_has_other_answers(runner, tmp_path):
    answers = ReferenceAnswers(Cache(tmp_path), reference_key("one", "cpu", 1))
    answers.of(runner, [feeds(1, 2)])
    answers.save()

    ReferenceAnswers(Cache(tmp_path), reference_key("two", "cpu", 1)).of(runner, [feeds(1, 2)])

    assert runner.seen == 2


def test_answers_beyond_the_limit_are_not_kept(runner, monkeypatch):
    monkeypatch.setattr("worker.engine.reference.MAX_KEPT_BYTES", 8)
    answers = ReferenceAnswers(Cache(), "k")

    for _ in range(2):
        answers.of(runner, [feeds(1, 2), feeds(3, 4)])

    # each has two floats of 4 bytes: only the first is kept
    assert runner.seen == 3


def test_knows_what_an_answer_took_where_it_worked_one_out(runner, tmp_path):
    answers = ReferenceAnswers(Cache(tmp_path), "k")
    assert answers.seconds_each is None

    answers.of(runner, [feeds(1, 2), feeds(3, 4)])
    answers.save()

    assert answers.seconds_each > 0
    known = ReferenceAnswers(Cache(tmp_path), "k")
    known.of(runner, [feeds(1, 2)])
    assert known.seconds_each is None


@pytest.mark.parametrize(
    "arrays",
    [
        {"nonsense": np.ones(1)},
        {f"{feeds_sha256(feeds(1, 2))}.1": np.ones(1)},
        {f"{feeds_sha256(feeds(1, 2))}.{place}": np.ones(1) for place in range(2)},
    ],
)
def test_a_strange_entry_counts_for_nothing(runner, tmp_path, arrays):
    Cache(tmp_path).save("k", arrays)

    answers = ReferenceAnswers(Cache(tmp_path), "k")

    assert answers.of(runner, [feeds(1, 2)])[0][0].tolist() == [[1, 4]]


def test_text_is_told_apart():
    one, other = ({"x": np.array([text], object)} for text in ("a", "b"))

    assert feeds_sha256(one) != feeds_sha256(other)
    assert feeds_sha256(one) == feeds_sha256({"x": np.array(["a"], object)})
