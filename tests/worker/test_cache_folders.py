import os
from pathlib import Path

import pytest

from worker.cache_folders import CacheFolders

BLOCK = 4096


@pytest.fixture
def root(storage):
    return storage.spool().parent / "cache"


def folders(settings, storage, **changes):
    return CacheFolders(settings.model_copy(update=changes), storage)


def fill(folder, size_bytes, age_seconds):
    """Leave a file of some size in a folder that was last used some time ago."""
    path = Path(folder) / "entry.npz"
    path.write_bytes(os.urandom(size_bytes))
    then = path.stat().st_mtime - age_seconds
    os.utime(folder, (then, then))


def test_gives_each_model_a_private_folder_of_its_own(settings, storage):
    cache = folders(settings, storage)

    one, other, same = cache.take("model_1"), cache.take("model_2"), cache.take("model_1")

    assert one == same != other
    assert Path(one).stat().st_mode & 0o777 == 0o700
    assert sorted(cache.models()) == ["model_1", "model_2"]


def test_keeps_nothing_where_nothing_may_be_kept(settings, storage, root):
    fill(folders(settings, storage).take("model_1"), BLOCK, age_seconds=0)
    cache = folders(settings, storage, cache_max_bytes=0)

    cache.evict()

    assert cache.take("model_1") is None
    assert list(root.iterdir()) == []


def test_removes_what_was_used_least_recently(settings, storage):
    cache = folders(settings, storage, cache_max_bytes=2 * BLOCK)
    for model_id, age_seconds in (("model_1", 30), ("model_2", 10), ("model_3", 20)):
        fill(cache.take(model_id), BLOCK, age_seconds)

    cache.evict()

    assert sorted(cache.models()) == ["model_2", "model_3"]


def test_taking_a_folder_makes_it_the_one_used_last(settings, storage):
    cache = folders(settings, storage, cache_max_bytes=BLOCK)
    fill(cache.take("model_1"), BLOCK, age_seconds=30)
    fill(cache.take("model_2"), BLOCK, age_seconds=10)

    cache.take("model_1")
    cache.evict()

    assert cache.models() == ["model_1"]


def test_follows_no_link(settings, storage, root, tmp_path):
    cache = folders(settings, storage, cache_max_bytes=1)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(bytes(10 * BLOCK))
    (Path(cache.take("model_1")) / "link").symlink_to(outside)
    fill(root / "model_1", BLOCK, age_seconds=0)

    cache.evict()

    assert cache.models() == []
    assert (outside / "kept").exists()


def test_removes_a_folder_in_which_something_else_than_files_lies(settings, storage):
    cache = folders(settings, storage)
    inner = Path(cache.take("model_1")) / "inner"
    inner.mkdir()
    fill(cache.take("model_2"), BLOCK, age_seconds=10)

    cache.evict()

    assert cache.models() == ["model_2"]


def test_finishes_what_a_lost_worker_began_to_remove(settings, storage, root):
    cache = folders(settings, storage)
    cache.take("model_1")
    (root / "model_1").rename(root / "removed-0123")

    assert cache.models() == []
    cache.evict()

    assert list(root.iterdir()) == []


def test_removing_twice_is_no_fault(settings, storage):
    cache = folders(settings, storage)
    cache.take("model_1")

    cache.remove("model_1")
    cache.remove("model_1")

    assert cache.models() == []
