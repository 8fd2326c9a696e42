"""Writes small datasets to disk, in each of the formats that can be uploaded."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image


def write_npz(path, **arrays) -> Path:
    """A `.npz` of arrays by name."""
    np.savez(path, **arrays)
    return path


def write_npz_archive(path, runs) -> Path:
    """A `.zip` of `.npz` files; `runs` are their arrays by file name."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, arrays in runs.items():
            buffer = io.BytesIO()
            np.savez(buffer, **arrays)
            archive.writestr(name, buffer.getvalue())
    return path


def write_images(path, images, transform=None, labels=None) -> Path:
    """A `.zip` of PNG images by file name, with `transform.json` and `labels.csv` where given."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, pixels in images.items():
            buffer = io.BytesIO()
            Image.fromarray(np.asarray(pixels, np.uint8)).save(buffer, "PNG")
            archive.writestr(name, buffer.getvalue())
        if transform is not None:
            archive.writestr("transform.json", json.dumps(transform))
        if labels is not None:
            archive.writestr("labels.csv", labels)
    return path
