from dataclasses import replace
from functools import partial

import anyio
import pytest

from tests.app.conftest import MAX_UPLOAD_BYTES, model_bytes


async def post(app, key, messages):
    """Send a request as a server does; return the status of the answer."""
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/models",
        "raw_path": b"/v1/models",
        "query_string": b"",
        "headers": [
            (b"authorization", key.encode()),
            (b"content-type", b"application/octet-stream"),
        ],
    }
    answers = []

    async def receive():
        if not messages:
            await anyio.sleep_forever()
        return messages.pop(0)

    async def send(message):
        answers.append(message)

    await app(scope, receive, send)
    return answers[0]["status"]


@pytest.mark.parametrize("received_bytes", [10, MAX_UPLOAD_BYTES])
def test_a_client_that_goes_away_leaves_nothing_behind(
    running_app, context, client, received_bytes
):
    body = {"type": "http.request", "body": b"x" * received_bytes, "more_body": True}
    messages = [body, {"type": "http.disconnect"}]

    status = anyio.run(partial(post, running_app, client.headers["authorization"], messages))

    assert status == 400
    assert list(context.storage.spool().iterdir()) == []


def test_a_client_that_falls_silent_is_given_up(running_app, context, client):
    hasty = context.settings.model_copy(update={"upload_idle_seconds": 0.1})
    running_app.state.context = replace(context, settings=hasty)
    messages = [{"type": "http.request", "body": b"x", "more_body": True}]

    status = anyio.run(partial(post, running_app, client.headers["authorization"], messages))

    assert status == 408
    assert list(context.storage.spool().iterdir()) == []


def test_nothing_is_checked_for_a_client_that_did_not_wait(running_app, context, client):
    body = {"type": "http.request", "body": model_bytes(), "more_body": False}
    messages = [body, {"type": "http.disconnect"}]

    status = anyio.run(partial(post, running_app, client.headers["authorization"], messages))

    assert status == 400
    assert client.get("/v1/models").json()["items"] == []
    assert list(context.storage.spool().iterdir()) == []


def test_an_upload_waits_for_its_check_up_to_a_bound(running_app, context, client):
    hasty = context.settings.model_copy(update={"validation_wait_seconds": 0.1})
    running_app.state.context = replace(context, settings=hasty)
    body = {"type": "http.request", "body": model_bytes(), "more_body": False}
    limiter = running_app.state.validation_limiter

    async def post_while_others_are_checked():
        others = [object() for _ in range(int(limiter.total_tokens))]
        for other in others:
            limiter.acquire_on_behalf_of_nowait(other)
        status = await post(running_app, client.headers["authorization"], [body])
        for other in others:
            limiter.release_on_behalf_of(other)
        return status

    assert anyio.run(post_while_others_are_checked) == 503
    assert list(context.storage.spool().iterdir()) == []
    assert client.post("/v1/models", content=model_bytes()).status_code == 201
