import hashlib
from base64 import b64encode
from email.message import Message

import pytest
import zstandard

from app.api.downloads import content_disposition
from tests.app.conftest import model_bytes

DATA = model_bytes()
SHA256 = hashlib.sha256(DATA).hexdigest()
DIGEST = f"sha-256=:{b64encode(hashlib.sha256(DATA).digest()).decode()}:"
IDENTITY = {"Accept-Encoding": "identity"}


@pytest.fixture
def url(model):
    return f"/v1/models/{model['id']}/content"


def test_serves_the_whole_file_with_its_digest(client, url):
    response = client.get(url, headers=IDENTITY)

    assert response.status_code == 200
    assert response.content == DATA
    assert response.headers["content-length"] == str(len(DATA))
    assert response.headers["etag"] == f'"{SHA256}"'
    assert response.headers["repr-digest"] == DIGEST
    assert response.headers["accept-ranges"] == "bytes"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-disposition"] == 'attachment; filename="linear.onnx"'
    assert response.headers["vary"] == "Accept-Encoding"


def test_head_has_the_headers_and_no_body(client, url):
    response = client.head(url, headers=IDENTITY)

    assert response.status_code == 200
    assert response.content == b""
    assert response.headers["content-length"] == str(len(DATA))
    assert response.headers["etag"] == f'"{SHA256}"'


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-9", 5, 10),
        ("bytes=10-", 10, len(DATA)),
        ("bytes=-3", len(DATA) - 3, len(DATA)),
        ("bytes=-99999", 0, len(DATA)),
        ("bytes=5-99999", 5, len(DATA)),
        ("BYTES = 5 - 9", 5, 10),
    ],
)
def test_serves_a_range(client, url, asked, start, end):
    response = client.get(url, headers={"Range": asked, "Accept-Encoding": "zstd"})

    assert response.status_code == 206
    assert response.content == DATA[start:end]
    assert response.headers["content-length"] == str(end - start)
    assert response.headers["content-range"] == f"bytes {start}-{end - 1}/{len(DATA)}"
    assert response.headers["repr-digest"] == DIGEST
    assert "content-encoding" not in response.headers


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=9-5",
        "bytes=0-1,3-4",
        "lines=0-1",
        "bytes=" + "9" * 50 + "-",
    ],
)
def test_ignores_a_range_that_makes_no_sense(client, url, asked):
    response = client.get(url, headers={"Range": asked} | IDENTITY)

    assert response.status_code == 200
    assert response.content == DATA


@pytest.mark.parametrize("asked", [f"bytes={len(DATA)}-", "bytes=99999-", "bytes=-0"])
def test_refuses_a_range_outside_the_file(client, url, asked):
    response = client.get(url, headers={"Range": asked})

    assert response.status_code == 416
    assert response.headers["content-range"] == f"bytes */{len(DATA)}"
    assert response.json()["code"] == "range_not_satisfiable"


@pytest.mark.parametrize(
    ("tag", "status"), [(f'"{SHA256}"', 206), ('"other"', 200), (f'W/"{SHA256}"', 200)]
)
def test_a_range_of_another_version_is_the_whole_file(client, url, tag, status):
    response = client.get(url, headers={"Range": "bytes=0-0", "If-Range": tag} | IDENTITY)

    assert response.status_code == status


@pytest.mark.parametrize("tags", [f'"{SHA256}"', f'"x", W/"{SHA256}"', "*"])
def test_says_that_nothing_changed(client, url, tags):
    response = client.get(url, headers={"If-None-Match": tags})

    assert response.status_code == 304
    assert response.content == b""
    assert response.headers["etag"] == f'"{SHA256}"'


def test_serves_a_changed_file(client, url):
    assert client.get(url, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("accepted", ["zstd", "gzip, ZSTD;q=0.5"])
def test_compresses_for_who_accepts_it(client, url, accepted):
    with client.stream("GET", url, headers={"Accept-Encoding": accepted}) as response:
        body = b"".join(response.iter_raw())

    assert response.headers["content-encoding"] == "zstd"
    assert zstandard.ZstdDecompressor().decompressobj().decompress(body) == DATA
    assert response.headers["etag"] == f'W/"{SHA256}"'
    assert response.headers["vary"] == "Accept-Encoding"
    assert "repr-digest" not in response.headers
    assert "content-length" not in response.headers


@pytest.mark.parametrize("accepted", ["gzip", "zstd;q=0", "zstd; q=0.000", "xzstd"])
def test_does_not_compress_for_who_does_not(client, url, accepted):
    response = client.get(url, headers={"Accept-Encoding": accepted})

    assert "content-encoding" not in response.headers


@pytest.mark.parametrize(
    "name", ["plain.onnx", "Größe 模型.onnx", 'a"b\\c;d%41.onnx', "a\r\nX-Evil: 1", "\ud800.onnx"]
)
def test_any_name_makes_one_safe_header(name):
    header = content_disposition(name)

    header.encode("ascii")
    assert header.isprintable()
    assert header.count('"') == 2


def test_the_extended_name_is_the_name():
    message = Message()
    message["Content-Disposition"] = content_disposition("Größe 模型.onnx")

    assert message.get_filename() == "Gr__e __.onnx"
    assert "filename*=UTF-8''Gr%C3%B6%C3%9Fe%20%E6%A8%A1%E5%9E%8B.onnx" in str(
        message["Content-Disposition"]
    )
