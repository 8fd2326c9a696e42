"""Tests of the artifact repository, on both databases."""

from datetime import UTC, datetime

import pytest

from app.errors import NotFoundError
from app.repositories import artifacts, jobs
from app.repositories.jobs import NewJob
from app.tables import ArtifactRow
from tests.conftest import both_databases

pytestmark = both_databases


@pytest.fixture
def job(session):
    return jobs.add(session, NewJob("ours", "mdl_1", {}), resend_seconds=30)


def add(session, job, kind):
    row = ArtifactRow(
        job_id=job.id,
        kind=kind,
        file_name=f"{kind}.bin",
        sha256="0" * 64,
        size_bytes=1,
        storage_key=f"blobs/{kind}",
        created_at=datetime.now(UTC),
    )
    return artifacts.add(session, row)


def test_job_has_one_artifact_of_a_kind(session, job):
    model, report = add(session, job, "model"), add(session, job, "report")

    assert artifacts.get(session, job.id, "model") is model
    assert artifacts.list(session, job.id) == [model, report]


def test_job_without_artifact_says_so(session, job):
    with pytest.raises(NotFoundError, match="has no model"):
        artifacts.get(session, job.id, "model")
