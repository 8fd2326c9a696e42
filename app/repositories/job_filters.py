"""Filters of the list of jobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement

from app.tables import JobRow, JobState


@dataclass(frozen=True)
class JobFilter:
    """Which jobs to list; None does not filter. `label` is a key and its value."""

    state: JobState | None = None
    model_id: str | None = None
    sweep_id: str | None = None
    label: tuple[str, str] | None = None
    created_after: datetime | None = None


def conditions(which: JobFilter) -> Sequence[ColumnElement[bool]]:
    """Return the filter as conditions on the jobs' table."""
    equal = (
        (JobRow.state, which.state),
        (JobRow.model_id, which.model_id),
        (JobRow.sweep_id, which.sweep_id),
    )
    found = [column == value for column, value in equal if value is not None]
    if which.created_after is not None:
        found.append(JobRow.created_at > which.created_after)
    if which.label is not None:
        key, value = which.label
        found.append(JobRow.labels[key].as_string() == value)
    return found
