import numpy as np

from benchmarks.evaluation_sets import evenly, save_labelled
from benchmarks.tasks.base import LabelledRun
from worker.engine.datasets.fitting import FittedSamples
from worker.engine.datasets.opening import open_dataset
from worker.engine.requests import TensorInfo, UnpackLimits


def samples_of(path):
    inputs = [TensorInfo(name="x", dtype="float32", shape=["n", "length"])]
    return list(FittedSamples(open_dataset(path, UnpackLimits()), inputs))


def test_labelled_runs_come_back_as_an_upload_is_read(tmp_path):
    runs = [
        LabelledRun({"x": np.full((1, 3), value, np.float32)}, {"word": np.array([[value, 7]])})
        for value in (1, 2)
    ]

    first, second = samples_of(save_labelled(runs, tmp_path, "even"))

    assert (first.feeds["x"].shape, first.number, second.number) == ((1, 3), 0, 1)
    assert second.label_field("word").tolist() == [[2, 7]]


def test_labels_may_be_as_ragged_as_their_runs(tmp_path):
    runs = [
        LabelledRun({"x": np.ones((1, size), np.float32)}, {"labels": np.ones((1, size), int)})
        for size in (3, 4)
    ]

    found = samples_of(save_labelled(runs, tmp_path, "ragged"))

    assert [sample.labels.shape for sample in found] == [(1, 3), (1, 4)]


def test_takes_runs_from_all_over():
    feeds = [{"x": np.array(number)} for number in range(10)]

    assert [int(each["x"]) for each in evenly(feeds, 4)] == [0, 3, 6, 9]
    assert len(evenly(feeds, 20)) == 10
