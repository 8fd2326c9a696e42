"""Loading an uploaded model, with every check it must pass, and saving a compressed one."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from worker.engine.archives import is_archive, unpack
from worker.engine.errors import EngineError, InvalidModelError, UnsupportedModelError
from worker.engine.external_data import read_external_data
from worker.engine.graphs import (
    DEFAULT_DOMAINS,
    expanded_node_count,
    has_text_that_is_not_utf8,
    walk_tensors,
)
from worker.engine.model_files import write_artifact
from worker.engine.requests import UnpackLimits
from worker.engine.runtime import bounded, open_session

PROTOBUF_LIMIT_BYTES = 2**31
FOREIGN_FORMATS = {
    b"\x89HDF": "a Keras HDF5 file",
    b"\x80\x02": "a Python pickle",
    b"\x80\x03": "a Python pickle",
    b"\x80\x04": "a Python pickle",
    b"\x93NUM": "a NumPy array",
    b"GGUF": "a GGUF file",
}
# The checker wants a shape field on every graph output; onnxruntime does not, and real exporters
# leave it out, so this one of its messages is no reason to refuse a model that loads.
TOLERATED_CHECK = "Field 'shape' of 'type' is required but missing"
UNKNOWN_OPERATOR = (
    r"(?P<domain>[\w.]+):(?P<op>\w+)\(-?\d+\) is not a registered function/op",
    r"No Op registered for (?P<op>\w+)(?: with domain_version of (?P<version>\d+))?",
    r"Could not find an implementation for (?P<op>\w+)\((?P<version>\d+)\)",
)


@dataclass(frozen=True)
class LoadedModel:
    """A checked model, its external data in memory, and the file it came from."""

    model: onnx.ModelProto
    path: Path
    """The `.onnx` file, its external data beside it."""
    sha256: str
    """Of the file or archive that was uploaded."""
    files: tuple[Path, ...]
    """The model and the external data it refers to, unpacked; not what else was in the archive."""

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(path.stat().st_size for path in self.files)


def load(upload: Path, workdir: Path, limits: UnpackLimits | None = None) -> LoadedModel:
    """Load a `.onnx` file, or the one in an archive together with its external data.

    Raises:
        InvalidModelError: the file is not a valid and self-contained ONNX model.
        UnsupportedModelError: it is, but this onnxruntime cannot run it.
        ResourceError: it does not fit the memory.
    """
    loaded = read(upload, workdir, limits)
    _check(loaded.path)
    return loaded


def read(upload: Path, workdir: Path, limits: UnpackLimits | None = None) -> LoadedModel:
    """Do as `load` for an upload that passed the ONNX checker and onnxruntime when it came.

    Raises:
        InvalidModelError: the file is not a valid and self-contained ONNX model.
        UnsupportedModelError: it is of a version that is not known here.
    """
    with upload.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    path, folder = upload, None
    if is_archive(upload):
        path = _only_model(
            unpack(upload, workdir / "model", _or_default(limits), InvalidModelError)
        )
        folder = path.parent
    with bounded("reading the model", InvalidModelError):
        model = _parse(path)
        if has_text_that_is_not_utf8(model):
            raise InvalidModelError("a name or description in the model is not valid UTF-8")
        _check_versions(model)
        _check_tensor_types(model)
        expanded_node_count(model)
        data_files = read_external_data(model, folder)
    return LoadedModel(model, path, sha256, (path, *data_files))


def save(model: onnx.ModelProto, folder: Path) -> Path:
    """Write `model.onnx`, or `model.zip` where the model needs external data, and return it."""
    return write_artifact(model, folder)


def _or_default(limits: UnpackLimits | None) -> UnpackLimits:
    return UnpackLimits() if limits is None else limits


def _only_model(paths: list[Path]) -> Path:
    """Return the one `.onnx` file of an archive."""
    models = [path for path in paths if path.suffix.lower() == ".onnx"]
    if len(models) != 1:
        found = ", ".join(repr(path.name) for path in models[:5]) or "none"
        raise InvalidModelError(
            f"an archive must hold exactly one .onnx file, and its external data; found {found}"
        )
    return models[0]


def _parse(path: Path) -> onnx.ModelProto:
    """Return the model in a file, or say in plain words what the file is not."""
    size = path.stat().st_size
    if size == 0:
        raise InvalidModelError("the file is empty; upload an ONNX model")
    if size >= PROTOBUF_LIMIT_BYTES:
        raise InvalidModelError(
            "an .onnx file may not be over 2 GiB; save the weights as external data and upload "
            "both in one .zip or .tar"
        )
    data = path.read_bytes()
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise InvalidModelError(_what_it_is(data)) from error
    if model.ir_version == 0 or not model.HasField("graph") or not model.opset_import:
        raise InvalidModelError(_what_it_is(data))
    if not model.graph.node:
        raise InvalidModelError("the model's graph has no nodes; export it again")
    return model


def _what_it_is(data: bytes) -> str:
    """Return why bytes that do not parse are no ONNX model."""
    for magic, name in FOREIGN_FORMATS.items():
        if data.startswith(magic):
            return f"the file is {name}, not an ONNX model; export the model to ONNX first"
    if data[4:8] == b"TFL3":
        return "the file is a TensorFlow Lite model, not an ONNX model; export to ONNX first"
    head = data[:512]
    if all(byte >= 32 or byte in b"\t\n\r" for byte in head):
        return "the file is text, not an ONNX model"
    return "the file is not an ONNX model, or is damaged or cut off; export or upload it again"


def _check_versions(model: onnx.ModelProto) -> None:
    """Refuse an opset or IR version that this onnx and onnxruntime do not know."""
    highest = onnx.defs.onnx_opset_version()
    for opset in model.opset_import:
        if opset.domain in DEFAULT_DOMAINS and not 1 <= opset.version <= highest:
            raise UnsupportedModelError(
                f"the model uses opset {opset.version}; opsets 1 to {highest} are supported, so "
                "export it again at one of them"
            )
    if model.ir_version > onnx.IR_VERSION:
        raise UnsupportedModelError(
            f"the model uses IR version {model.ir_version}; up to {onnx.IR_VERSION} is supported, "
            "so export it again with an older one"
        )


def _check_tensor_types(model: onnx.ModelProto) -> None:
    """Refuse element types and dimensions that do not exist."""
    known = set(onnx.TensorProto.DataType.values()) - {onnx.TensorProto.UNDEFINED}
    for tensor in walk_tensors(model):
        if tensor.data_type not in known:
            raise InvalidModelError(
                f"the tensor {tensor.name!r} has the unknown element type {tensor.data_type}"
            )
        if any(size < 0 for size in tensor.dims):
            raise InvalidModelError(
                f"the tensor {tensor.name!r} has the negative size {min(tensor.dims)}"
            )


def _check(path: Path) -> None:
    """Have the ONNX checker and then onnxruntime accept the model, external data beside it.

    The checker's `full_check` is left out: its strict shape inference refuses shape records that
    are merely stale, which onnxruntime ignores, and what else it finds, onnxruntime finds too.
    """
    try:
        with bounded("checking the model", InvalidModelError):
            onnx.checker.check_model(str(path))
    except InvalidModelError as error:
        if TOLERATED_CHECK not in str(error):
            raise _explained(error) from error.__cause__
    try:
        open_session(path, optimize=False, failure=InvalidModelError)
    except InvalidModelError as error:
        raise _explained(error) from error.__cause__


def _explained(error: InvalidModelError) -> EngineError:
    """Return the error again, as `UnsupportedModelError` where the model asks for too much."""
    text = str(error)
    for pattern in UNKNOWN_OPERATOR:
        found = re.search(pattern, text)
        if found is not None:
            groups = found.groupdict()
            domain = f" of domain {groups['domain']}" if groups.get("domain") else ""
            version = f" at version {groups['version']}" if groups.get("version") else ""
            return UnsupportedModelError(
                f"onnxruntime has no operator {groups['op']}{domain}{version}; export the model "
                "with standard operators only"
            )
    if "opset" in text and "is under development" in text:
        return UnsupportedModelError(text)
    return error
