"""A stored file as it is offered for download."""

from dataclasses import dataclass
from datetime import datetime

from app.tables import DatasetRow, ModelRow


@dataclass(frozen=True)
class Content:
    """A blob under the name its reader should save it by."""

    storage_key: str
    file_name: str
    media_type: str
    sha256: str
    size_bytes: int
    created_at: datetime


def media_type_of(file_name: str) -> str:
    """Return the media type of a model or dataset; ONNX itself has none registered."""
    return "application/zip" if file_name.endswith(".zip") else "application/octet-stream"


def uploaded(row: ModelRow | DatasetRow) -> Content:
    """Return the file of an uploaded model or dataset."""
    return Content(
        storage_key=row.storage_key,
        file_name=row.name,
        media_type=media_type_of(row.name),
        sha256=row.sha256,
        size_bytes=row.size_bytes,
        created_at=row.created_at,
    )
