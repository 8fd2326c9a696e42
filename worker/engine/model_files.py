"""Writing models to files, and taking large weights out of them and back."""

import math
import shutil
import zipfile
from pathlib import Path

import onnx

from worker.engine.errors import PassError
from worker.engine.graphs import walk_tensors

MAX_FILE_BYTES = 2**31 - 2**20
"""Largest file that protobuf reads, less a margin for what is not weights."""
LARGE_TENSOR_BYTES = 1024
PAGE_BYTES = 4096
DATA_FILE = "model.onnx.data"
PACKED_BITS: dict[int, int] = {
    onnx.TensorProto.INT2: 2,
    onnx.TensorProto.UINT2: 2,
    onnx.TensorProto.INT4: 4,
    onnx.TensorProto.UINT4: 4,
    onnx.TensorProto.FLOAT4E2M1: 4,
}
OLDEST_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def serialize(model: onnx.ModelProto) -> bytes:
    """Return the model's bytes, the same for the same model."""
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def needs_external_data(model: onnx.ModelProto) -> bool:
    """Return whether a model is too large for one protobuf file."""
    inside = (t for t in walk_tensors(model) if t.data_location != onnx.TensorProto.EXTERNAL)
    return sum(map(tensor_bytes, inside)) > MAX_FILE_BYTES


def tensor_bytes(tensor: onnx.TensorProto) -> int:
    """Return how many bytes a tensor's values take, told from its type and dimensions."""
    if tensor.data_type == onnx.TensorProto.STRING:
        return sum(len(text) for text in tensor.string_data)
    bits = PACKED_BITS.get(tensor.data_type)
    if bits is None:
        bits = 8 * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    elements: int = math.prod(tensor.dims)
    return (elements * bits + 7) // 8


def write(model: onnx.ModelProto, folder: Path) -> Path:
    """Write `model.onnx`, and its large weights to a second file where one cannot hold all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    if not needs_external_data(model):
        path.write_bytes(serialize(model))
        return path
    outline, weights = without_weights(model)
    with (folder / DATA_FILE).open("wb") as file:
        for reference in outline.graph.initializer:
            if reference.name in weights and reference.data_location == onnx.TensorProto.EXTERNAL:
                file.write(bytes(-file.tell() % PAGE_BYTES))
                data = weights[reference.name].raw_data
                _refer(reference, DATA_FILE, file.tell(), len(data))
                file.write(data)
    if needs_external_data(outline):
        raise PassError("the model holds over 2 GiB outside its initializers, which no file can")
    path.write_bytes(serialize(outline))
    return path


def write_artifact(model: onnx.ModelProto, folder: Path) -> Path:
    """Write `model.onnx` or, where it needs a second file, `model.zip` with both; nothing else."""
    path = write(model, folder)
    data = folder / DATA_FILE
    if not data.exists():
        return path
    archive = folder / "model.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for source in (path, data):
            # A fixed date, so that the same model gives the same bytes.
            info = zipfile.ZipInfo(source.name, OLDEST_ZIP_DATE)
            info.external_attr = 0o644 << 16
            with source.open("rb") as content, file.open(info, "w", force_zip64=True) as member:
                shutil.copyfileobj(content, member, 1 << 20)
            source.unlink()
    return archive


def without_weights(
    model: onnx.ModelProto,
) -> tuple[onnx.ModelProto, dict[str, onnx.TensorProto]]:
    """Return a copy whose large initializers are only references, and those initializers.

    Tools that serialize the model then work on models of any size, and faster on most.
    """
    outline = onnx.ModelProto()
    _copy_fields(model, outline, but="graph")
    _copy_fields(model.graph, outline.graph, but="initializer")
    weights = {}
    for tensor in model.graph.initializer:
        # To look at raw_data is to copy it, so its size is told from the dimensions.
        size = tensor_bytes(tensor)
        if size < LARGE_TENSOR_BYTES or not tensor.HasField("raw_data"):
            outline.graph.initializer.append(tensor)
            continue
        reference = outline.graph.initializer.add(name=tensor.name, dims=tensor.dims)
        reference.data_type = tensor.data_type
        _refer(reference, DATA_FILE, 0, size)
        weights[tensor.name] = tensor
    return outline, weights


def put_weights_back(model: onnx.ModelProto, weights: dict[str, onnx.TensorProto]) -> None:
    """Fill in the references that `without_weights` left."""
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL and tensor.name in weights:
            tensor.CopyFrom(weights[tensor.name])


def _copy_fields(
    source: onnx.ModelProto | onnx.GraphProto, target: onnx.ModelProto | onnx.GraphProto, but: str
) -> None:
    """Copy every field of a message except one, which is never in memory twice."""
    for field, value in source.ListFields():
        if field.name == but:
            continue
        if field.is_repeated:
            getattr(target, field.name).extend(value)
        elif field.message_type is not None:
            getattr(target, field.name).CopyFrom(value)
        else:
            setattr(target, field.name, value)


def _refer(tensor: onnx.TensorProto, location: str, offset: int, length: int) -> None:
    """Make a tensor point into a data file."""
    tensor.data_location = onnx.TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
