import numpy as np
import pytest

from tests.dataset_files import write_images, write_npz, write_npz_archive
from worker.engine.datasets.fitting import FittedSamples, check_fit
from worker.engine.datasets.opening import open_dataset
from worker.engine.errors import InvalidDatasetError
from worker.engine.requests import ArrayInfo, DatasetInfo, TensorInfo, UnpackLimits


def tensor(name, shape, dtype="float32"):
    return TensorInfo(name=name, dtype=dtype, shape=shape)


def fitted(path, *inputs):
    return FittedSamples(open_dataset(path, UnpackLimits()), inputs)


def info(sample_count=4, **arrays):
    return DatasetInfo(
        format="npz",
        sample_count=sample_count,
        arrays=[ArrayInfo(name=n, dtype=d, shape=s) for n, (d, s) in arrays.items()],
        has_labels=False,
    )


def test_makes_a_batch_of_one_of_each_row(tmp_path):
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    path = write_npz(tmp_path / "d.npz", x=x, labels=np.array([0, 1, 2]))

    samples = list(fitted(path, tensor("x", ["batch", 2])))

    assert np.array_equal([sample.feeds["x"] for sample in samples], x[:, np.newaxis])
    assert [sample.labels.tolist() for sample in samples] == [[0], [1], [2]]


def test_groups_rows_where_the_first_axis_is_fixed(tmp_path):
    x = np.arange(10, dtype=np.float32).reshape(5, 2)
    path = write_npz(tmp_path / "d.npz", x=x, labels=np.arange(5))

    samples = fitted(path, tensor("x", [2, 2]))

    assert len(samples) == 2
    assert np.array_equal([sample.feeds["x"] for sample in samples], [x[:2], x[2:4]])
    assert [sample.labels.tolist() for sample in samples] == [[0, 1], [2, 3]]
    assert samples.notes == ["the last 1 samples were dropped: the model takes 2 at a time"]


def test_takes_a_row_as_a_whole_run_where_it_has_one_axis_more(tmp_path):
    path = write_npz(
        tmp_path / "d.npz", x=np.ones((3, 1, 4), np.float32), rate=np.array([8, 16, 24])
    )

    samples = list(fitted(path, tensor("x", ["batch", 4]), tensor("rate", [], "int64")))

    assert samples[0].feeds["x"].shape == (1, 4)
    assert [int(sample.feeds["rate"]) for sample in samples] == [8, 16, 24]


def test_takes_the_runs_of_an_archive_as_they_are(tmp_path):
    path = write_npz_archive(
        tmp_path / "d.zip",
        {"a.npz": {"x": np.ones((1, 3))}, "b.npz": {"x": np.ones((1, 5))}},
    )

    samples = list(fitted(path, tensor("x", ["batch", "length"], "float64")))

    assert [sample.feeds["x"].shape for sample in samples] == [(1, 3), (1, 5)]


def test_feeds_images_to_the_only_input(tmp_path):
    path = write_images(tmp_path / "d.zip", {"a.png": np.zeros((2, 2, 3))}, {"size": [2, 2]})

    [sample] = fitted(path, tensor("pixels", [None, 3, 2, 2]))

    assert sample.feeds["pixels"].shape == (1, 3, 2, 2)


def test_names_the_run_whose_shape_is_wrong(tmp_path):
    path = write_npz_archive(
        tmp_path / "d.zip",
        {"a.npz": {"x": np.ones((1, 3))}, "b.npz": {"x": np.ones((2, 4))}},
    )

    with pytest.raises(InvalidDatasetError, match=r'"x" of b\.npz wants .*\(\?, 3\).*\(2, 4\)'):
        list(fitted(path, tensor("x", [None, 3], "float64")))


def test_refuses_a_symbol_with_two_sizes_in_one_run(tmp_path):
    path = write_npz_archive(
        tmp_path / "d.zip", {"a.npz": {"x": np.ones((1, 3)), "mask": np.ones((1, 4))}}
    )
    inputs = tensor("x", ["n", "length"], "float64"), tensor("mask", ["n", "length"], "float64")

    with pytest.raises(InvalidDatasetError, match=r'"length" is 3 and 4 in a\.npz'):
        list(fitted(path, *inputs))


def test_asks_for_a_missing_input():
    with pytest.raises(InvalidDatasetError, match=r'"y" \(float32 \(n, 2\)\) is missing.*"x"'):
        check_fit(info(x=("float32", [2])), [tensor("x", ["n", 2]), tensor("y", ["n", 2])])


def test_an_array_that_is_no_input_may_be_labels(tmp_path):
    path = write_npz(
        tmp_path / "d.npz", x=np.ones((4, 2), np.float32), speech=np.array([1, 0, 1, 0])
    )

    samples = list(fitted(path, tensor("x", [2, 2])))

    assert [sample.label_field("speech").tolist() for sample in samples] == [[1, 0], [1, 0]]
    assert [sample.number for sample in samples] == [0, 2]
    assert samples[0].labels is None


def test_the_runs_of_an_archive_may_have_several_labels_of_each_kind(tmp_path):
    run = {"x": np.ones((3, 2), np.float32), "speech": np.array([1, 0, 1])}
    path = write_npz_archive(tmp_path / "d.zip", {"a.npz": run, "b.npz": run})

    samples = list(fitted(path, tensor("x", ["n", 2])))

    assert [sample.number for sample in samples] == [0, 3]
    assert samples[1].label_field("speech").tolist() == [1, 0, 1]


def test_says_how_to_cast_another_dtype():
    with pytest.raises(InvalidDatasetError, match=r"wants float32 .* float64.*astype\('float32'\)"):
        check_fit(info(x=("float64", [2])), [tensor("x", ["n", 2])])


def test_says_which_shape_was_expected_and_which_came():
    with pytest.raises(InvalidDatasetError, match=r"wants the shape \(3, 8, 8\) .* \(8, 8, 3\)"):
        check_fit(info(x=("float32", [8, 8, 3])), [tensor("x", ["n", 3, 8, 8])])


def test_refuses_fewer_samples_than_the_model_takes_at_a_time():
    with pytest.raises(InvalidDatasetError, match=r"takes 8 samples at a time.* 4"):
        check_fit(info(x=("float32", [2])), [tensor("x", [8, 2])])


def test_refuses_to_group_an_input_without_a_batch_axis():
    with pytest.raises(InvalidDatasetError, match=r'"rate" has no batch axis.*zip of \.npz'):
        check_fit(
            info(x=("float32", [2]), rate=("int64", [])),
            [tensor("x", [2, 2]), tensor("rate", [], "int64")],
        )


def test_takes_a_run_with_an_empty_past_but_not_one_of_nothing(tmp_path):
    inputs = [tensor("ids", [1, "t"], "int64"), tensor("past", [1, 4, "past", 8])]
    past = np.zeros((1, 4, 0, 8), np.float32)
    ids = np.ones((1, 3), np.int64)
    first = write_npz_archive(tmp_path / "a.zip", {"r.npz": {"ids": ids, "past": past}})
    nothing = write_npz_archive(tmp_path / "b.zip", {"r.npz": {"ids": ids[:, :0], "past": past}})

    assert [sample.feeds["past"].shape for sample in fitted(first, *inputs)] == [(1, 4, 0, 8)]
    with pytest.raises(InvalidDatasetError, match="holds no values"):
        list(fitted(nothing, *inputs))


def test_refuses_an_empty_axis_where_the_graph_fixes_its_size(tmp_path):
    runs = {"r.npz": {"x": np.ones((1, 3), np.float32), "y": np.zeros((1, 0), np.float32)}}
    path = write_npz_archive(tmp_path / "d.zip", runs)

    with pytest.raises(InvalidDatasetError, match="wants the shape"):
        list(fitted(path, tensor("x", [1, 3]), tensor("y", [1, 4])))
