"""Artifacts: the files a job produced."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import NotFoundError
from app.tables import ArtifactKind, ArtifactRow


def add(session: Session, row: ArtifactRow) -> ArtifactRow:
    """Add a job's artifact, in the transaction that finishes the job."""
    session.add(row)
    session.flush()
    return row


def find(session: Session, job_id: str, kind: ArtifactKind) -> ArtifactRow | None:
    """Return the job's artifact of this kind, or None."""
    return session.get(ArtifactRow, (job_id, kind))


def get(session: Session, job_id: str, kind: ArtifactKind) -> ArtifactRow:
    """Return the job's artifact of this kind; the caller has checked the job's workspace.

    Raises:
        NotFoundError: the job has none (yet).
    """
    row = find(session, job_id, kind)
    if row is None:
        raise NotFoundError(f"job {job_id!r} has no {kind}; only a succeeded job has one")
    return row


def list(session: Session, job_id: str) -> Sequence[ArtifactRow]:  # noqa: A001 - as in jobs
    """Return the job's artifacts."""
    query = select(ArtifactRow).where(ArtifactRow.job_id == job_id)
    return session.scalars(query.order_by(ArtifactRow.kind)).all()
