"""A stored file as it is offered for download."""

from dataclasses import dataclass
from datetime import datetime


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
