"""Sizes and contents of a model: bytes on disk and packed, parameters, zeros, operators, work."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import zstandard
from onnx import numpy_helper

from worker.engine.deflating import DeflatedSize
from worker.engine.graphs import walk_tensors
from worker.engine.inspection import count_operators, count_parameters
from worker.engine.macs import count_macs
from worker.engine.report.contents import ModelMeasures
from worker.engine.samples import Feeds

CHUNK_BYTES = 2**20
ZSTD_LEVEL = 9


def measure(model: onnx.ModelProto, files: Sequence[Path], feeds: Feeds | None) -> ModelMeasures:
    """Return a model's measures; `files` are the model and its external data, `feeds` one run's."""
    deflated = DeflatedSize()
    zstd = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compressobj()
    size = packed = 0
    for chunk in _chunks(files):
        size += len(chunk)
        deflated.feed(chunk)
        packed += len(zstd.compress(chunk))
    return ModelMeasures(
        size_bytes=size,
        deflated_bytes=deflated.total(),
        zstd_bytes=packed + len(zstd.flush()),
        parameter_count=count_parameters(model),
        zero_fraction=zero_fraction(model),
        op_counts=count_operators(model),
        macs=None if feeds is None else count_macs(model, feeds),
    )


def zero_fraction(model: onnx.ModelProto) -> float:
    """Return the share of zeros among all stored numbers."""
    values = zeros = 0
    for tensor in walk_tensors(model):
        if tensor.data_type != onnx.TensorProto.STRING:
            array = numpy_helper.to_array(tensor)
            values += array.size
            zeros += array.size - int(np.count_nonzero(array))
    return zeros / values if values else 0.0


def _chunks(files: Sequence[Path]) -> Iterator[bytes]:
    for path in files:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
