import base64
import hashlib
from itertools import chain, repeat

import pytest

from app.storage import blob_key
from tests.app.conftest import MAX_UPLOAD_BYTES, model_bytes, save_bytes, save_model
from tests.hostile_runs import giant_constant

RAW = {"Content-Type": "application/octet-stream"}


def spool_of(context):
    return [path.name for path in context.storage.spool().iterdir()]


def test_describes_an_uploaded_model(client):
    data = model_bytes()

    response = client.post("/v1/models?name=linear.onnx", content=data, headers=RAW)

    body = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/v1/models/{body['id']}"
    assert body["name"] == "linear.onnx"
    assert body["sha256"] == hashlib.sha256(data).hexdigest()
    assert body["size_bytes"] == len(data)
    assert body["opset"] == 17
    assert body["op_counts"] == {"Add": 1, "MatMul": 1}
    assert body["parameter_count"] == 4 * 4 + 4
    assert body["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["batch", 4]}]
    assert body["expires_at"] > body["created_at"]


def test_the_same_bytes_again_are_the_same_model(client, model):
    response = client.post("/v1/models?name=other.onnx", content=model_bytes(), headers=RAW)

    assert response.status_code == 200
    assert response.json()["id"] == model["id"]


def test_another_workspace_gets_its_own_model_of_the_same_bytes(stranger, model):
    response = stranger.post("/v1/models", content=model_bytes(), headers=RAW)

    assert response.status_code == 201
    assert response.json()["id"] != model["id"]


def test_takes_a_form_with_one_file(client):
    response = client.post("/v1/models", files={"file": ("from-form.onnx", model_bytes(5))})

    assert response.status_code == 201
    assert response.json()["name"] == "from-form.onnx"


def test_says_what_is_wrong_with_a_file_that_is_no_model(client, context):
    response = client.post("/v1/models", content=b"no model at all", headers=RAW)

    assert response.status_code == 422
    assert response.json()["code"] == "invalid_model"
    assert response.json()["detail"]
    assert spool_of(context) == []


def test_stops_an_upload_past_the_cap_though_its_length_is_not_announced(client, context):
    chunks = (b"x" * 100_000 for _ in range(100))

    response = client.post("/v1/models", content=chunks, headers=RAW)

    assert response.status_code == 413
    assert str(MAX_UPLOAD_BYTES) in response.json()["detail"]
    assert spool_of(context) == []


def test_refuses_an_announced_length_past_the_cap_without_reading(client):
    headers = RAW | {"Content-Length": str(10**12)}

    response = client.post("/v1/models", content=b"x", headers=headers)

    assert response.status_code == 413


def test_stops_a_form_whose_file_passes_the_cap(client, context):
    response = client.post("/v1/models", files={"file": ("x", b"x" * (MAX_UPLOAD_BYTES + 1))})

    assert response.status_code == 413
    assert spool_of(context) == []


def test_stops_a_form_that_goes_on_after_its_end(client, context):
    form = b'--B\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--B--\r\n'
    pieces = chain([form], repeat(b"x" * 65536, 100))
    headers = {"Content-Type": "multipart/form-data; boundary=B"}

    response = client.post("/v1/models", content=pieces, headers=headers)

    assert response.status_code == 413
    assert spool_of(context) == []


@pytest.mark.parametrize("header", ["Content-Digest", "Repr-Digest"])
def test_checks_the_digest_that_the_sender_gives(client, header):
    right = base64.b64encode(hashlib.sha256(model_bytes()).digest()).decode()
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()

    accepted = client.post(
        "/v1/models", content=model_bytes(), headers=RAW | {header: f"sha-256=:{right}:"}
    )
    refused = client.post(
        "/v1/models", content=model_bytes(), headers=RAW | {header: f"sha-256=:{wrong}:"}
    )

    assert accepted.status_code == 201
    assert refused.status_code == 400
    assert refused.json()["code"] == "digest_mismatch"


@pytest.mark.parametrize("digest", ["sha-256=nonsense", "sha-256=:===:", "sha-256=:A:"])
def test_refuses_a_malformed_digest(client, digest):
    headers = RAW | {"Content-Digest": digest}

    response = client.post("/v1/models", content=model_bytes(), headers=headers)

    assert response.status_code == 400


def test_a_hostile_name_stays_a_name(client):
    name = '../../a"b;X-Evil: 1 模型.onnx'

    response = client.post("/v1/models", params={"name": name}, content=model_bytes(), headers=RAW)
    content = client.get(response.headers["location"] + "/content")

    assert response.json()["name"] == 'a"b;X-Evil: 1 模型.onnx'
    assert content.status_code == 200
    assert "x-evil" not in content.headers
    assert content.headers["content-disposition"].startswith('attachment; filename="a_b_X-Evil: 1')


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/html"}, 415),
        ({"Content-Type": "multipart/form-data"}, 400),
        ({"Content-Type": "multipart/form-data; boundary=" + "b" * 300}, 400),
        (RAW | {"Content-Encoding": "gzip"}, 415),
    ],
)
def test_refuses_a_body_it_does_not_know(client, headers, status):
    response = client.post("/v1/models", content=b"x", headers=headers)

    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


def test_refuses_a_form_that_breaks_off(client, context):
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + b"x" * 2000
    headers = {"Content-Type": "multipart/form-data; boundary=b"}

    response = client.post("/v1/models", content=body, headers=headers)

    assert response.status_code == 400
    assert response.json()["code"] == "invalid_form"
    assert spool_of(context) == []


def test_names_the_known_parts_of_a_form(client):
    response = client.post("/v1/models", files={"model": ("a", b"x")})

    assert response.status_code == 422
    assert response.json()["detail"] == "unknown form field 'model'; the known ones are file"


def test_refuses_a_form_without_its_file(client):
    headers = {"Content-Type": "multipart/form-data; boundary=b"}

    response = client.post("/v1/models", content=b"--b--\r\n", headers=headers)

    assert response.status_code == 422
    assert response.json()["code"] == "missing_file"


def test_lists_in_pages_newest_first(client, context, workspace):
    made = [save_model(context, workspace, width) for width in (2, 3, 4)]

    first = client.get("/v1/models?limit=2").json()
    second = client.get("/v1/models", params={"limit": 2, "cursor": first["next_cursor"]}).json()

    assert [it["id"] for it in first["items"]] == [made[2], made[1]]
    assert [it["id"] for it in second["items"]] == [made[0]]
    assert second["next_cursor"] is None


def test_others_things_are_not_there(stranger, model):
    url = f"/v1/models/{model['id']}"

    assert stranger.get(url).status_code == 404
    assert stranger.get(f"{url}/content").status_code == 404
    assert stranger.delete(url).status_code == 404
    assert stranger.get("/v1/models").json()["items"] == []


def test_does_not_delete_a_model_that_a_job_needs(client, model, job):
    response = client.delete(f"/v1/models/{model['id']}")

    assert response.status_code == 409
    assert response.json()["code"] == "model_in_use"
    assert job["id"] in response.json()["detail"]


def test_deletes_a_model_that_no_job_needs(client, model, job):
    client.post(f"/v1/jobs/{job['id']}/cancel")

    response = client.delete(f"/v1/models/{model['id']}")

    assert response.status_code == 204
    assert response.content == b""
    assert client.get(f"/v1/models/{model['id']}").status_code == 404
    assert client.get(f"/v1/jobs/{job['id']}").status_code == 200


def test_gives_back_what_was_uploaded(client, model):
    response = client.get(f"/v1/models/{model['id']}/content")

    assert response.content == model_bytes()
    assert response.headers["etag"] == f'"{model["sha256"]}"'


def test_a_model_whose_bytes_are_lost_is_gone_until_they_come_again(client, context, model):
    url = f"/v1/models/{model['id']}/content"
    context.storage.delete(blob_key(model["sha256"]))

    lost = client.get(url)
    client.post("/v1/models", content=model_bytes(), headers=RAW)

    assert lost.status_code == 410
    assert client.get(url).content == model_bytes()


def test_foretells_what_methods_make_of_a_model(client, context, workspace):
    url = f"/v1/models/{save_model(context, workspace, width=64)}/preflight"

    response = client.get(url)

    body = response.json()
    assert response.status_code == 200
    assert body["model"]["weight_bytes"] == {"float32": 4 * (64 * 64 + 64)}
    assert body["forecasts"][0]["passes"][0]["method"] == "weight_quantization"
    assert body["forecasts"][0]["touched"] == ["matmul"]
    assert spool_of(context) == []


def test_a_recommended_spec_is_one_that_a_job_takes(client, context, workspace):
    model_id = save_model(context, workspace, width=64)
    found = client.get(f"/v1/models/{model_id}/preflight").json()
    spec = found["recommended_without_data"]["spec"]

    response = client.post("/v1/jobs", json={"model_id": model_id, "spec": spec})

    assert response.status_code == 202
    assert response.json()["spec"] == spec


def test_a_preflight_is_made_once(client, context, model):
    first = client.get(f"/v1/models/{model['id']}/preflight").json()
    context.storage.delete(blob_key(model["sha256"]))

    again = client.get(f"/v1/models/{model['id']}/preflight")

    assert again.status_code == 200
    assert again.json() == first


def test_a_preflight_goes_with_the_last_model_of_its_bytes(client, context, workspace):
    model_id = save_model(context, workspace, width=63)
    client.get(f"/v1/models/{model_id}/preflight")
    client.delete(f"/v1/models/{model_id}")
    new_id = save_model(context, workspace, width=63)
    context.storage.delete(blob_key(client.get(f"/v1/models/{new_id}").json()["sha256"]))

    response = client.get(f"/v1/models/{new_id}/preflight")

    assert response.status_code == 410
    assert response.json()["code"] == "gone"


def test_a_preflight_is_of_the_workspaces_own_models(stranger, reader, model):
    url = f"/v1/models/{model['id']}/preflight"

    assert stranger.get(url).status_code == 404
    assert reader.get(url).status_code == 200


def test_a_preflight_says_what_is_wrong_with_a_model(client, context, workspace):
    url = f"/v1/models/{save_bytes(context, workspace, b'no model')}/preflight"

    response = client.get(url)

    assert response.status_code == 422
    assert response.json()["code"] == "invalid_model"
    assert spool_of(context) == []


def test_a_preflight_out_of_memory_is_a_problem(client, context, workspace):
    url = f"/v1/models/{save_bytes(context, workspace, giant_constant(2**34))}/preflight"

    response = client.get(url)

    assert response.status_code == 422
    assert response.json()["code"] == "out_of_memory"
    assert spool_of(context) == []
