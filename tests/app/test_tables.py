"""Tests of what the tables promise, on both databases."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from app.repositories import artifacts, jobs
from app.repositories.jobs import NewJob
from app.tables import ArtifactRow, Base, JobRow, ModelRow
from tests.conftest import both_databases

pytestmark = both_databases


def model(model_id, workspace="ours", **columns):
    values = {
        "name": "model.onnx",
        "sha256": "0" * 64,
        "size_bytes": 5 * 2**32,
        "storage_key": "blobs/key",
        "info": {"opset": 21, "inputs": [{"name": "x", "shape": [None, 3]}]},
        "created_at": datetime.now(UTC),
    }
    return ModelRow(id=model_id, workspace=workspace, **(values | columns))


def test_same_bytes_are_one_model_of_a_workspace(session_factory):
    with session_factory.begin() as session:
        session.add_all([model("m1"), model("m2", workspace="theirs")])

    with pytest.raises(IntegrityError), session_factory.begin() as session:
        session.add(model("m3"))


def test_json_and_large_sizes_come_back_as_they_were(session_factory):
    name = "größe " + "x" * 400
    with session_factory.begin() as session:
        session.add(model("m1", name=name))

    with session_factory() as session:
        row = session.get_one(ModelRow, "m1")
        assert row.name == name
        assert row.size_bytes == 5 * 2**32
        assert row.info == {"opset": 21, "inputs": [{"name": "x", "shape": [None, 3]}]}


def test_absent_json_is_null_in_sql(session):
    jobs.add(session, NewJob("ours", "mdl_1", {}), resend_seconds=30)

    assert session.scalar(text("SELECT count(*) FROM jobs WHERE verdict IS NULL")) == 1


def test_metrics_can_be_queried(session):
    job = jobs.add(session, NewJob("ours", "mdl_1", {}), resend_seconds=30)
    job.metrics = {"size_ratio": 0.27}
    session.flush()

    is_small = JobRow.metrics["size_ratio"].as_float() < 0.3
    assert session.scalars(select(JobRow.id).where(is_small)).all() == [job.id]


def test_artifacts_go_with_their_job(session_factory):
    with session_factory.begin() as session:
        job = jobs.add(session, NewJob("ours", "mdl_1", {}), resend_seconds=30)
        artifacts.add(
            session,
            ArtifactRow(
                job_id=job.id,
                kind="report",
                file_name="report.json",
                sha256="0" * 64,
                size_bytes=1,
                storage_key="blobs/key",
                created_at=datetime.now(UTC),
            ),
        )

    with session_factory.begin() as session:
        session.delete(session.get_one(JobRow, job.id))

    with session_factory() as session:
        assert artifacts.find(session, job.id, "report") is None


def test_every_constraint_has_a_name(database):
    unnamed = [
        constraint
        for table in Base.metadata.tables.values()
        for constraint in table.constraints
        if constraint.name is None
    ]

    assert unnamed == []
