import json

import pytest

from app.repositories import jobs
from app.services import jobs as job_service


def follow(client, job, **headers):
    """The ids and the data of the events of a whole stream."""
    response = client.get(job["urls"]["events"], headers=headers)
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = [event.splitlines() for event in response.text.split("\n\n") if event]
    return [(each[0].removeprefix("id: "), json.loads(each[1][6:])) for each in lines]


@pytest.fixture
def moves(monkeypatch, context, client, job):
    """Before each look at the job, the next of these is done."""
    todo = []
    look = job_service.get

    def move_and_look(*arguments):
        if todo:
            todo.pop(0)()
        return look(*arguments)

    monkeypatch.setattr(job_service, "get", move_and_look)
    return todo


def test_tells_each_change_until_the_end(client, context, job, moves):
    def work():
        with context.session_factory.begin() as session:
            row = jobs.claim(session, job["id"], lease_seconds=60, max_attempts=9)
            progress = {"stage": "measuring", "progress": 0.5}
            jobs.heartbeat(session, row.id, row.token, lease_seconds=60, **progress)
            token.append(row.token)

    def end():
        with context.session_factory.begin() as session:
            error = {"type": "x", "title": "x", "status": 422, "detail": "x", "code": "x"}
            jobs.fail(session, job["id"], token[0], error=error, retention=None)

    token = []
    moves += [lambda: None, lambda: None, work, lambda: None, end]

    events = follow(client, job)

    assert [data for _, data in events] == [
        {"state": "queued", "stage": None, "progress": 0.0, "attempt": 0},
        {"state": "running", "stage": "measuring", "progress": 0.5, "attempt": 1},
        {"state": "failed", "stage": "measuring", "progress": 0.5, "attempt": 1},
    ]


def test_goes_on_after_the_last_event(client, job, moves):
    cancel = f"{job['urls']['self']}/cancel"
    moves += [lambda: None] * 2 + [lambda: client.post(cancel)]
    queued, cancelled = follow(client, job)
    last = {"Last-Event-ID": cancelled[0]}

    assert follow(client, job, **{"Last-Event-ID": queued[0]}) == [cancelled]
    assert client.get(job["urls"]["events"], headers=last).status_code == 204


def test_a_silent_stream_says_that_it_lives(client, job, moves, monkeypatch):
    monkeypatch.setattr("app.api.events._LONGEST_SILENCE_SECONDS", 0)
    cancel = f"{job['urls']['self']}/cancel"
    moves += [lambda: None] * 3 + [lambda: client.post(cancel)]

    text = client.get(job["urls"]["events"]).text

    assert [event[:2] for event in text.split("\n\n")] == ["id", ": ", "id", ""]


def test_a_job_that_is_deleted_meanwhile_ends_its_events(client, context, job, moves):
    def delete():
        with context.session_factory.begin() as session:
            session.delete(jobs.get(session, client_workspace, job["id"]))

    with context.session_factory() as session:
        client_workspace = session.get(jobs.JobRow, job["id"]).workspace
    moves += [lambda: None, lambda: None, delete]

    assert len(follow(client, job)) == 1


def test_others_jobs_have_no_events(stranger, job):
    assert stranger.get(job["urls"]["events"]).status_code == 404
