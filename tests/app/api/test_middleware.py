import pytest


def test_echoes_the_callers_request_id(client):
    response = client.get("/livez", headers={"X-Request-Id": "build-7.3:a_b"})

    assert response.headers["x-request-id"] == "build-7.3:a_b"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\tb", "<script>"])
def test_replaces_a_request_id_that_is_not_safe(client, given):
    response = client.get("/livez", headers={"X-Request-Id": given})

    assert response.headers["x-request-id"] != given
    assert len(response.headers["x-request-id"]) == 32
