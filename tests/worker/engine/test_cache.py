import io
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from tests.engine_runs import GivenSamples
from worker.engine.cache import Cache, cache_key, samples_sha256
from worker.engine.datasets.splitting import hold_out
from worker.engine.datasets.synthetic import SyntheticSamples, Trial
from worker.engine.requests import TensorInfo

KEY = cache_key("test", "model", "data")


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path)


def npz(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3)),
        np.array(1.5),
        np.zeros((0, 4), np.uint8),
    ],
)
def test_returns_what_was_saved(cache, array):
    cache.save(KEY, {"a/b:0": array, "other": np.array([True])})

    found = cache.load(KEY)

    assert list(found) == ["a/b:0", "other"]
    assert (found["a/b:0"].dtype, found["a/b:0"].shape) == (array.dtype, array.shape)
    assert np.array_equal(found["a/b:0"], array)


def test_what_is_loaded_can_be_written_to(cache):
    cache.save(KEY, {"counts": np.zeros(3, np.int64)})

    cache.load(KEY)["counts"][0] += 1


def test_works_a_result_out_once(cache):
    calls = []

    def make():
        calls.append(1)
        return {"a": np.ones(2)}

    assert cache.arrays(KEY, make)["a"].tolist() == [1, 1]
    assert cache.arrays(KEY, make)["a"].tolist() == [1, 1]
    assert len(calls) == 1


def test_leaves_only_the_finished_file(cache, tmp_path):
    cache.save(KEY, {"a": np.ones(2)})

    assert [path.name for path in tmp_path.iterdir()] == [f"{KEY}.npz"]


def test_knows_nothing_of_other_keys(cache):
    cache.save(KEY, {"a": np.ones(2)})

    assert cache.load(cache_key("test", "model", "other data")) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no zip file",
        npz(a=b"no array"),
        npz(a=npy(np.ones(4))[:-8]),
        npz(a=npy(np.ones(4)) + b"more"),
        npz(a=npy(np.ones(4)).replace(b"(4,)", b"(9,)")),
        npz(a=npy(np.array([{}]))),
        npz(a=pickle.dumps({"a": 1})),
        npz(a=npy(np.ones(4))).replace(b"\xf0\x3f", b"\xf0\x3e"),
    ],
)
def test_takes_a_damaged_or_foreign_file_for_none(cache, tmp_path, content):
    (tmp_path / f"{KEY}.npz").write_bytes(content)

    assert cache.load(KEY) is None


def test_refuses_compressed_members_which_may_unpack_to_anything(cache, tmp_path):
    with zipfile.ZipFile(tmp_path / f"{KEY}.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", npy(np.zeros(10**6)))

    assert cache.load(KEY) is None


def test_does_without_a_folder_that_is_gone(tmp_path):
    cache = Cache(tmp_path / "gone")

    cache.save(KEY, {"a": np.ones(2)})

    assert cache.load(KEY) is None


def test_keeps_nothing_without_a_folder():
    assert Cache().arrays(KEY, lambda: {"a": np.ones(2)})["a"].tolist() == [1, 1]
    assert Cache().load(KEY) is None


def test_a_key_tells_where_one_part_ends():
    assert cache_key("test", "ab", "c") != cache_key("test", "a", "bc")
    assert cache_key("test", "ab") == cache_key("test", b"ab")


def test_a_key_changes_with_the_engine(tmp_path, monkeypatch):
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    (tmp_path / "old/rounding.py").write_text("up")
    (tmp_path / "new/rounding.py").write_text("down")

    keys = []
    for engine in ("old", "new", "old"):
        monkeypatch.setattr("worker.engine.cache.ENGINE", tmp_path / engine)
        keys.append(cache_key("grid", "model"))

    assert keys[0] == keys[2] != keys[1]


def test_data_is_told_apart_by_values_shapes_and_names():
    values = np.arange(4, dtype=np.float32)
    digests = {
        samples_sha256(GivenSamples([feeds]))
        for feeds in (
            {"x": values},
            {"x": values + 1},
            {"x": values.reshape(2, 2)},
            {"x": values.astype(np.int32)},
            {"y": values},
            {"y": np.array(["a", "b"], object)},
            {"y": np.array(["a", "c"], object)},
        )
    }

    assert len(digests) == 7
    assert samples_sha256(GivenSamples([{"x": values.copy()}])) in digests


def test_made_up_samples_and_parts_of_them_have_digests():
    inputs = [TensorInfo(name="x", dtype="float32", shape=[2])]
    made_up = SyntheticSamples(inputs, {}, Trial(size=1, scalar=1), seed=0)
    sources = [made_up, *hold_out(made_up)]

    digests = {samples_sha256(source) for source in sources}

    assert len(digests) == 3
    assert samples_sha256(replace(made_up)) in digests


def test_samples_are_read_once_for_their_digest():
    class Counted(GivenSamples):
        reads = 0

        def __iter__(self):
            self.reads += 1
            return super().__iter__()

    samples = Counted([{"x": np.zeros(3, np.float32)}])

    assert samples_sha256(samples) == samples_sha256(samples)
    assert samples.reads == 1
