import numpy as np
import pytest

from benchmarks.comparison.samples import find_feeds, read_feeds, save_feeds


@pytest.mark.parametrize(
    ("shapes", "suffix"),
    [
        ([(1, 3), (1, 3)], ".npz"),
        ([(1, 3), (1, 5)], ".zip"),
        ([(), ()], ".zip"),
    ],
)
def test_reads_back_what_it_saved(tmp_path, shapes, suffix):
    feeds = [{"x": np.full(shape, 7.0 + index)} for index, shape in enumerate(shapes)]

    path = save_feeds(feeds, tmp_path, "a.model")

    assert path == find_feeds(tmp_path, "a.model")
    assert path.suffix == suffix
    for read, saved in zip(read_feeds(path), feeds, strict=True):
        assert np.array_equal(read["x"], saved["x"])
        assert read["x"].shape == saved["x"].shape


def test_finds_nothing_where_nothing_was_saved(tmp_path):
    assert find_feeds(tmp_path, "model") is None
