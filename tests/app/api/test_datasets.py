import io
import json
import zipfile

import numpy as np
from PIL import Image

from tests.app.conftest import dataset_bytes, model_bytes

RAW = {"Content-Type": "application/octet-stream"}


def image_archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(2):
            image = io.BytesIO()
            Image.fromarray(np.full((8, 8, 3), number, dtype=np.uint8)).save(image, "PNG")
            archive.writestr(f"{number}.png", image.getvalue())
    return buffer.getvalue()


def test_describes_an_uploaded_dataset(client):
    response = client.post("/v1/datasets?name=a.npz", content=dataset_bytes(), headers=RAW)

    body = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/v1/datasets/{body['id']}"
    assert body["format"] == "npz"
    assert body["sample_count"] == 8
    assert body["arrays"] == [{"name": "x", "dtype": "float32", "shape": [4]}]
    assert body["has_labels"] is False
    assert client.get(f"/v1/datasets/{body['id']}").json() == body


def test_the_same_bytes_again_are_the_same_dataset(client, dataset):
    response = client.post("/v1/datasets", content=dataset_bytes(), headers=RAW)

    assert response.status_code == 200
    assert response.json()["id"] == dataset["id"]


def test_the_same_images_with_another_transform_are_another_dataset(client):
    files = {"file": ("images.zip", image_archive())}

    small = client.post(
        "/v1/datasets", files=files, data={"transform": json.dumps({"size": [4, 4]})}
    )
    large = client.post("/v1/datasets", files=files, data={"transform": "size: [8, 8]"})

    assert small.status_code == large.status_code == 201
    assert small.json()["id"] != large.json()["id"]
    assert small.json()["format"] == "images"
    assert small.json()["transform"] == {"size": [4, 4]}


def test_refuses_a_wrong_transform(client):
    files = {"file": ("images.zip", image_archive())}

    response = client.post("/v1/datasets", files=files, data={"transform": '{"sise": [4, 4]}'})

    assert response.status_code == 422
    assert "sise" in response.json()["detail"]


def test_refuses_a_transform_that_is_no_object(client):
    files = {"file": ("images.zip", b"x")}

    response = client.post("/v1/datasets", files=files, data={"transform": "[4, 4]"})

    assert response.status_code == 422


def test_checks_a_dataset_against_the_given_model(client, model):
    fitting = client.post(
        f"/v1/datasets?model_id={model['id']}", content=dataset_bytes(4), headers=RAW
    )
    unfitting = client.post(
        f"/v1/datasets?model_id={model['id']}", content=dataset_bytes(5), headers=RAW
    )

    assert fitting.status_code == 201
    assert unfitting.status_code == 422
    assert unfitting.json()["code"] == "invalid_dataset"
    assert '"x"' in unfitting.json()["detail"]


def test_checks_a_dataset_that_it_knows_against_the_given_model_too(client, dataset):
    other = client.post("/v1/models", content=model_bytes(5), headers=RAW).json()

    response = client.post(
        f"/v1/datasets?model_id={other['id']}", content=dataset_bytes(), headers=RAW
    )

    assert response.status_code == 422


def test_says_that_the_model_to_check_against_belongs_in_the_address(client, model):
    form = {"data": {"model_id": model["id"]}, "files": {"file": ("a.npz", dataset_bytes())}}

    response = client.post("/v1/datasets", **form)

    assert response.status_code == 422
    assert response.json()["detail"].endswith("; 'model_id' belongs in the address: ?model_id=...")


def test_a_dataset_cannot_be_checked_against_a_model_that_is_not_there(client):
    response = client.post("/v1/datasets?model_id=model_0", content=b"x", headers=RAW)

    assert response.status_code == 404


def test_says_what_is_wrong_with_a_file_that_is_no_dataset(client, context):
    response = client.post("/v1/datasets", content=b"no dataset at all", headers=RAW)

    assert response.status_code == 422
    assert response.json()["code"] == "invalid_dataset"
    assert list(context.storage.spool().iterdir()) == []


def test_lists_datasets(client, dataset):
    assert client.get("/v1/datasets").json() == {"items": [dataset], "next_cursor": None}


def test_does_not_delete_a_dataset_that_a_job_needs(client, model, dataset):
    spec = {"passes": [{"method": "static_quantization"}]}
    body = {"model_id": model["id"], "spec": spec, "calibration_dataset_id": dataset["id"]}
    job = client.post("/v1/jobs", json=body).json()

    refused = client.delete(f"/v1/datasets/{dataset['id']}")
    client.post(f"/v1/jobs/{job['id']}/cancel")
    deleted = client.delete(f"/v1/datasets/{dataset['id']}")

    assert refused.status_code == 409
    assert job["id"] in refused.json()["detail"]
    assert deleted.status_code == 204


def test_gives_back_what_was_uploaded(client, dataset):
    response = client.get(f"/v1/datasets/{dataset['id']}/content")

    assert response.content == dataset_bytes()


def test_others_datasets_are_not_there(stranger, dataset):
    assert stranger.get(f"/v1/datasets/{dataset['id']}").status_code == 404
    assert stranger.delete(f"/v1/datasets/{dataset['id']}").status_code == 404
