"""Weights kept in files beside the model: checked before anything opens them, then read."""

from pathlib import Path, PurePosixPath

import onnx

from worker.engine.errors import InvalidModelError
from worker.engine.graphs import walk_tensors
from worker.engine.model_files import tensor_bytes

KNOWN_ENTRIES = ("location", "offset", "length", "checksum", "prepacked")
"""What keys in `TensorProto.external_data` begin with; onnxruntime knows the last one."""


def read_external_data(model: onnx.ModelProto, folder: Path | None) -> list[Path]:
    """Put the external weights into the model; return the files they came from.

    `folder` holds what was uploaded together with the model; None where that was the model alone.
    onnxruntime's own check lets a hard link out of the folder, so nothing is left to it.

    Raises:
        InvalidModelError: a file is missing or not allowed, or a weight is not wholly inside it.
    """
    external = [
        tensor
        for tensor in walk_tensors(model)
        if tensor.data_location == onnx.TensorProto.EXTERNAL
    ]
    sizes: dict[Path, int] = {}
    for tensor in external:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        unknown = [key for key in entries if not key.startswith(KNOWN_ENTRIES)]
        if unknown:
            raise InvalidModelError(
                f"the weight {tensor.name!r} has the unknown external data entry "
                f"{unknown[0][:200]!r}; save the model again"
            )
        location = entries.get("location", "")
        if folder is None:
            raise InvalidModelError(
                f"the model keeps weights in another file, {location[:200]!r}; upload both in one "
                ".zip or .tar"
            )
        path = _uploaded_file(location, folder)
        sizes[path] = path.stat().st_size
        offset, length = _extent(tensor, entries, sizes[path])
        with path.open("rb") as file:
            file.seek(offset)
            tensor.raw_data = file.read(length)
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
    return sorted(sizes)


def _uploaded_file(location: str, folder: Path) -> Path:
    """Return the file that a weight refers to, if it was uploaded with the model."""
    relative = PurePosixPath(location)
    if not location or relative.is_absolute() or ".." in relative.parts or "\\" in location:
        raise InvalidModelError(
            f"the model keeps weights in {location[:200]!r}, which is not a path relative to it; "
            "save it again with its external data beside it"
        )
    path = folder / relative
    if not _is_plain_file(path):
        raise InvalidModelError(
            f"the model keeps weights in {location[:200]!r}, which is not in the archive; add it"
        )
    return path


def _is_plain_file(path: Path) -> bool:
    """Return whether a path is a file of its own: no link, and no other name for it elsewhere."""
    try:
        return path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1
    except OSError:  # the name is too long
        return False


def _extent(tensor: onnx.TensorProto, entries: dict[str, str], file_bytes: int) -> tuple[int, int]:
    """Return where in its file a weight starts and how long it is."""
    expected = tensor_bytes(tensor)
    try:
        offset = int(entries.get("offset", "0"))
        length = int(entries.get("length", expected))
    except ValueError as error:
        raise InvalidModelError(
            f"the weight {tensor.name!r} has an offset or length that is no number"
        ) from error
    if length != expected:
        raise InvalidModelError(
            f"the weight {tensor.name!r} takes {expected} bytes, but {length} are stored for it"
        )
    if offset < 0 or offset + length > file_bytes:
        raise InvalidModelError(
            f"the weight {tensor.name!r} reaches beyond the end of its file "
            f"({offset} + {length} of {file_bytes} bytes)"
        )
    return offset, length
