import pytest

from app.repositories import keys


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer nonsense",
        "Bearer onnxpress_.",
        "Bearer onnxpress_0123456789abcdef.secret",
        "Bearer onnxpress_" + "x" * 5000,
        "Basic YTpi",
        "Bearer \xff.\xff",
    ],
)
def test_answers_every_wrong_key_alike(anonymous, header):
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}

    response = anonymous.get("/v1/models", headers=headers)

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="onnxpress"'
    assert response.json()["detail"] == (
        "give a valid API key as `Authorization: Bearer onnxpress_<id>.<secret>`"
    )


def test_refuses_a_right_key_with_a_wrong_secret(anonymous, client):
    key = client.headers["authorization"]

    response = anonymous.get("/v1/models", headers={"Authorization": f"{key[:-1]}!"})

    assert response.status_code == 401


def test_refuses_a_revoked_key(client, context):
    key_id = client.headers["authorization"].split("_")[1].split(".")[0]
    with context.session_factory.begin() as session:
        keys.revoke(session, key_id)

    assert client.get("/v1/models").status_code == 401


def test_a_key_that_may_read_may_not_write(reader, model):
    read = reader.get(f"/v1/models/{model['id']}")
    write = reader.delete(f"/v1/models/{model['id']}")

    assert read.status_code == 200
    assert write.status_code == 403
    assert "'write'" in write.json()["detail"]


def test_asks_for_the_key_before_it_takes_the_body(anonymous, context):
    response = anonymous.post("/v1/models", content=b"x" * 10_000_000)

    assert response.status_code == 401
    assert list(context.storage.spool().iterdir()) == []
