"""Tests of the blobs that rows name, on both databases."""

from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime

from app.repositories import artifacts, blobs, jobs, models
from app.repositories.jobs import NewJob
from app.tables import ArtifactRow, ModelRow
from tests.conftest import both_databases

pytestmark = both_databases


def test_blobs_are_named_by_models_datasets_and_artifacts(session):
    job = jobs.add(session, NewJob("ours", "mdl_1", {}), resend_seconds=30)
    common = {"sha256": "0" * 64, "size_bytes": 1, "created_at": datetime.now(UTC)}
    artifact = ArtifactRow(
        job_id=job.id, kind="report", file_name="x", storage_key="blobs/report", **common
    )
    artifacts.add(session, artifact)
    model = ModelRow(
        id="mdl_1", workspace="ours", name="x", storage_key="blobs/original", info={}, **common
    )
    models.add(session, model)

    keys = ["blobs/original", "blobs/report", "blobs/orphan"]
    assert blobs.named(session, keys) == {"blobs/original", "blobs/report"}


def test_one_at_a_time_holds_a_blob(session_factory):
    def hold():
        with session_factory.begin() as session:
            blobs.hold(session, ["blobs/a"])

    with ThreadPoolExecutor(1) as pool:
        with session_factory.begin() as session:
            blobs.hold(session, ["blobs/b", "blobs/a"])
            second = pool.submit(hold)
            wait([second], timeout=0.3)
            assert not second.done()
        second.result()
