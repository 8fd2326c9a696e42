"""Tests of the storage, on a local folder and on S3."""

import hashlib
import os
import shutil
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from app.errors import StorageError, UnavailableError
from app.storage import CHUNK_BYTES, Storage, blob_key
from tests.full_disks import full_disk

CONTENT = b"weights" * 1000
KEY = blob_key(hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture(params=["local", "s3"])
def storage(request, settings):
    chosen = request.getfixturevalue("s3_settings") if request.param == "s3" else settings
    return Storage(chosen)


@pytest.fixture
def local(settings):
    return Storage(settings)


def spooled(storage, content=CONTENT, name="upload"):
    path = storage.spool() / name
    path.write_bytes(content)
    return path


def stored_path(settings):
    return settings.data_dir / "storage" / KEY


def test_key_spreads_blobs_over_folders():
    assert blob_key("ab" + "0" * 62) == "blobs/sha256/ab/" + "0" * 62


def test_stored_file_is_read_back(storage):
    storage.put(spooled(storage), KEY)

    assert storage.exists(KEY)
    assert b"".join(storage.read(KEY)) == CONTENT


@pytest.mark.parametrize(
    ("start", "end"), [(0, 1), (3, 20), (6990, None), (6990, 99999), (5, 5), (9999, None)]
)
def test_reads_a_range(storage, start, end):
    storage.put(spooled(storage), KEY)

    assert b"".join(storage.read(KEY, start, end)) == CONTENT[start:end]


def test_reads_in_bounded_chunks(storage):
    content = bytes(2 * CHUNK_BYTES + 1)
    key = blob_key(hashlib.sha256(content).hexdigest())
    storage.put(spooled(storage, content), key)

    assert [len(chunk) for chunk in storage.read(key)] == [CHUNK_BYTES, CHUNK_BYTES, 1]


def test_empty_file_is_stored(storage):
    key = blob_key(hashlib.sha256(b"").hexdigest())

    storage.put(spooled(storage, b""), key)

    assert list(storage.read(key)) == []


def test_storing_twice_is_harmless(storage):
    storage.put(spooled(storage), KEY)
    storage.put(spooled(storage), KEY)

    assert [stored.key for stored in storage.list()] == [KEY]


def test_fetches_a_private_copy(storage, tmp_path):
    storage.put(spooled(storage), KEY)
    path = tmp_path / "copy"

    storage.fetch(KEY, path)

    assert path.read_bytes() == CONTENT
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_nlink == 1


def test_fetch_notices_a_damaged_file(storage, tmp_path):
    storage.put(spooled(storage, b"something else"), KEY)

    with pytest.raises(StorageError, match="damaged") as caught:
        storage.fetch(KEY, tmp_path / "copy")
    assert caught.value.code == "storage_damaged"


def test_missing_file_shows_before_the_first_chunk(storage):
    with pytest.raises(StorageError, match="not in the storage") as caught:
        storage.read(KEY)
    assert caught.value.code == "storage_missing"


def test_missing_file_does_not_exist_and_is_deleted_without_fault(storage):
    assert not storage.exists(KEY)
    storage.delete(KEY)


def test_requires_what_is_to_be_there(storage):
    storage.put(spooled(storage), KEY)
    storage.require([KEY])

    with pytest.raises(StorageError, match="deleted"):
        storage.require([KEY, blob_key("0" * 64)])


def test_deleted_file_is_gone(storage):
    storage.put(spooled(storage), KEY)

    storage.delete(KEY)

    assert not storage.exists(KEY)
    assert list(storage.list()) == []


def test_lists_what_is_stored(storage):
    storage.put(spooled(storage), KEY)

    (stored,) = storage.list()

    assert (stored.key, stored.size_bytes) == (KEY, len(CONTENT))
    assert abs(datetime.now(UTC) - stored.modified) < timedelta(minutes=5)


def test_check_passes_on_a_storage_that_works_and_leaves_nothing(storage):
    storage.check()

    assert list(storage.spool().iterdir()) == []
    assert not storage.exists("check")


def test_stores_no_link(storage, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    link = storage.spool() / "link"
    link.symlink_to(secret)

    with pytest.raises(StorageError):
        storage.put(link, KEY)
    assert not storage.exists(KEY)


def test_local_file_is_moved_from_the_spool_and_made_private(local, settings):
    path = spooled(local)
    inode = path.stat().st_ino

    local.put(path, KEY)

    assert not path.exists()
    assert stored_path(settings).stat().st_ino == inode
    assert stored_path(settings).stat().st_mode & 0o777 == 0o600


def test_local_file_from_elsewhere_is_copied(local, settings, tmp_path):
    path = tmp_path / "elsewhere"
    path.write_bytes(CONTENT)

    local.put(path, KEY)

    assert path.read_bytes() == CONTENT
    assert list(local.spool().iterdir()) == []


def test_file_with_a_second_name_is_copied(local, settings):
    path = spooled(local)
    os.link(path, local.spool() / "second name")

    local.put(path, KEY)

    assert stored_path(settings).stat().st_nlink == 1


def test_storing_renews_the_time(local, settings):
    path = spooled(local)
    os.utime(path, (0, 0))

    local.put(path, KEY)

    (stored,) = local.list()
    assert datetime.now(UTC) - stored.modified < timedelta(minutes=5)


def test_spool_is_private(storage):
    assert storage.spool().stat().st_mode & 0o777 == 0o700


def test_a_work_folder_goes_with_all_that_is_in_it(local):
    with local.work_folder("work") as folder:
        (folder / "closed").mkdir()
        (folder / "closed" / "file").write_text("x")
        (folder / "closed").chmod(0)

    assert list(local.spool().iterdir()) == []


def test_a_work_folder_that_cannot_be_made_is_a_fault(local):
    local.spool().rmdir()

    with pytest.raises(StorageError), local.work_folder("work"):
        pass


def test_cleaning_the_spool_keeps_what_is_new(local):
    spooled(local, name="new")
    spooled(local, name="old")
    (local.spool() / "old folder").mkdir()
    (local.spool() / "old folder" / "file").touch()
    for name in ("old", "old folder"):
        os.utime(local.spool() / name, (0, 0))

    local.clean_spool()

    assert [path.name for path in local.spool().iterdir()] == ["new"]


def test_unreachable_s3_is_unavailable(s3_settings):
    storage = Storage(s3_settings.model_copy(update={"s3_endpoint": "http://127.0.0.1:1"}))

    with pytest.raises(UnavailableError, match="storage"):
        storage.check()


def test_missing_bucket_fails_the_check(s3_settings):
    storage = Storage(s3_settings.model_copy(update={"storage_url": "s3://no-such-bucket/x"}))

    with pytest.raises(StorageError):
        storage.check()


def test_full_disk_fails_the_check(local):
    with full_disk(), pytest.raises(StorageError):
        local.check()

    assert list(local.spool().iterdir()) == []


def test_missing_spool_fails_the_check(local):
    local.spool().rmdir()

    with pytest.raises(StorageError):
        local.check()


def test_s3_without_space_fails_the_check(s3_settings):
    class Full(BaseHTTPRequestHandler):
        def do_PUT(self):
            self.rfile.read(int(self.headers["content-length"]))
            self.send_error(HTTPStatus.FORBIDDEN, "QuotaExceeded")

        def log_message(self, *_arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Full) as server:
        threading.Thread(target=server.serve_forever).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        storage = Storage(s3_settings.model_copy(update={"s3_endpoint": endpoint}))
        with pytest.raises(StorageError, match="cannot store 'check'"):
            storage.check()
        server.shutdown()


def test_tells_how_much_space_is_left(local):
    assert 0 < local.free_bytes() <= shutil.disk_usage(local.spool()).total
    local.spool().rmdir()
    assert local.free_bytes() == 0


@pytest.mark.parametrize("url", ["ftp://host/folder", "/plain/folder", "file://folder", "s3:"])
def test_unknown_storage_url_is_refused(settings, url):
    with pytest.raises(StorageError, match="s3://bucket/prefix"):
        Storage(settings.model_copy(update={"storage_url": url}))


def test_bucket_of_aws_itself_needs_no_endpoint(s3_settings):
    Storage(s3_settings.model_copy(update={"s3_endpoint": None}))


def test_folder_with_spaces_and_accents_works(settings, tmp_path):
    folder = tmp_path / "größe 100%"
    storage = Storage(settings.model_copy(update={"storage_url": folder.as_uri()}))

    storage.put(spooled(storage), KEY)

    assert (folder / KEY).read_bytes() == CONTENT


STREAM = """
import hashlib, resource, sys
from pathlib import Path
from app.settings import Settings
from app.storage import Storage, blob_key

unit = 1 if sys.platform == "darwin" else 1024

def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

storage = Storage(Settings())
path = storage.spool() / "large"
digest = hashlib.sha256()
with path.open("wb") as file:
    for index in range(64):
        chunk = bytes([index]) * 2**20
        digest.update(chunk)
        file.write(chunk)
key = blob_key(digest.hexdigest())
storage.check()
before = peak_bytes()
storage.put(path, key)
storage.fetch(key, path)
print(peak_bytes() - before)
"""


@pytest.mark.parametrize("kind", ["settings", "s3_settings"])
def test_memory_does_not_grow_with_the_file(request, kind):
    settings = request.getfixturevalue(kind)
    environment = os.environ | {
        "ONNXPRESS_DATA_DIR": str(settings.data_dir),
        "ONNXPRESS_STORAGE_URL": settings.resolved_storage_url,
        **({"ONNXPRESS_S3_ENDPOINT": settings.s3_endpoint} if settings.s3_endpoint else {}),
    }

    command = [sys.executable, "-c", STREAM]
    result = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)

    assert int(result.stdout) < 40 * 2**20
