"""Datasets made to break what reads them: headers that lie, images that explode, odd labels."""

import io
import json
import struct
import zipfile
import zlib

import numpy as np
from PIL import Image

from tests.hostile_archives import zipped

SIZE_4 = {"size": [4, 4]}


def npz(**arrays) -> bytes:
    """A `.npz` of these arrays."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def floats(*shape):
    """An array of ones."""
    return np.ones(shape, np.float32)


def pickled_objects() -> bytes:
    return npz(x=np.array([{"a": 1}, None], object))


def npy(header, data=b"", version=1) -> bytes:
    """A `.npy` with this header text."""
    text = header.encode() + b"\n"
    size = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + data


def header(shape, descr="'<f4'", order="False") -> str:
    """The header text of an array."""
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


def npz_with_header(text, data=b"", version=1) -> bytes:
    """A `.npz` whose only array has this header."""
    return zipped({"x.npy": npy(text, data, version)})


def header_of_four_gigabytes() -> bytes:
    """A `.npy` that says its header has 4 GB."""
    return zipped({"x.npy": b"\x93NUMPY\x02\x00" + b"\xff" * 4 + b"{"})


def text_of(codes) -> bytes:
    """An `.npz` of one text of one character, given by its four bytes."""
    return npz_with_header(header("(1,)", "'<U1'"), codes)


def run_with_an_empty_batch() -> bytes:
    """A zip of one run whose batch is 0."""
    return zipped({"a.npz": npz(x=floats(3, 0, 8))})


def blown_up() -> bytes:
    """A tiny image that its transform makes a sample of 800 MB."""
    return images({"a.png": png()}, {"size": [8192, 8192]})


def fortran_order() -> bytes:
    return npz(x=np.asfortranarray(np.arange(32, dtype=np.float32).reshape(8, 4)))


def with_nan() -> bytes:
    values = floats(8, 4)
    values[3, 2] = np.nan
    return npz(x=values)


def bomb(unpacked_bytes) -> bytes:
    """An `.npz` of zeros that takes a thousandth of their size."""
    content = npy(header(f"({unpacked_bytes // 16}, 4)"), bytes(unpacked_bytes))
    return zipped({"x.npy": content}, zipfile.ZIP_DEFLATED)


def many_arrays(count) -> bytes:
    """An `.npz` of as many arrays, one number each."""
    content = npy(header("(1,)"), bytes(4))
    return zipped({f"a{index}.npy": content for index in range(count)})


def images(files, transform=SIZE_4, labels_csv=None) -> bytes:
    """A zip of image files, with the transform, as an object or as text, and labels if given."""
    is_text = isinstance(transform, str)
    others = {
        "transform.json": transform if is_text else json.dumps(transform),
        "labels.csv": labels_csv,
    }
    if transform is None:
        del others["transform.json"]
    if labels_csv is None:
        del others["labels.csv"]
    return zipped(files | others)


def png(width=4, height=4) -> bytes:
    """A black image."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def bomb_png(side) -> bytes:
    """A PNG whose header promises as many pixels a side, and next to no data."""
    size = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    chunks = ((b"IHDR", size), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def text_bomb_png() -> bytes:
    """A PNG with a compressed comment of 100 MB."""
    comment = b"Comment\0\0" + zlib.compress(bytes(10**8), 9)
    return png()[:33] + _chunk(b"zTXt", comment) + png()[33:]


def tiff() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "TIFF")
    return buffer.getvalue()


def _chunk(kind, data) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
