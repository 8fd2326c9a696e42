"""A `.zip` of images, turned into a graph input by a declared transform."""

import io
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

import numpy as np
from PIL import Image, ImageOps
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from worker.engine.datasets.archive import member_names, reading
from worker.engine.datasets.image_labels import ImageLabels
from worker.engine.datasets.rows import LABELS, Row
from worker.engine.errors import InvalidDatasetError
from worker.engine.requests import ArrayInfo, DatasetInfo
from worker.engine.samples import Array

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp"}
FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
TRANSFORM_NAME = "transform.json"
MAX_PIXELS = 64 * 10**6
MAX_FILE_BYTES = 2**28

Side = Annotated[int, Field(ge=1, le=8192)]
Number = Annotated[float, Field(ge=-1e6, le=1e6)]
Divisor = Annotated[float, Field(ge=1e-6, le=1e6)]


class ImageTransform(BaseModel):
    """How an image becomes a sample: `(pixel * scale - mean) / std`, channel by channel."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    size: tuple[Side, Side]
    """Height and width in pixels."""
    input: Annotated[str, Field(max_length=1000)] | None = None
    """The graph input it feeds; left out, the model's only one."""
    layout: Literal["nchw", "nhwc"] = "nchw"
    """Whether channels come before or after height and width."""
    color: Literal["rgb", "bgr", "grey"] = "rgb"
    """Channels and their order; `grey` has one."""
    scale: Number = 1 / 255
    """What 8-bit pixels are multiplied by."""
    mean: list[Number] = [0.0]
    """Subtracted after scaling: one number, or one for each channel in the order of `color`."""
    std: list[Divisor] = [1.0]
    """Divided by afterwards: one number, or one for each channel."""
    resize: Literal["stretch", "crop", "pad"] = "stretch"
    """`crop` scales the shorter side and cuts the centre; `pad` scales the longer one and fills
    the rest with black."""
    resample: Literal["nearest", "bilinear", "bicubic"] = "bilinear"
    """How pixels are interpolated."""
    dtype: Literal["float32", "float16", "uint8"] = "float32"
    """Of the graph input; `uint8` passes pixels as they are."""

    @property
    def channels(self) -> int:
        """How many channels a sample has."""
        return 1 if self.color == "grey" else 3

    @model_validator(mode="after")
    def _check_channels(self) -> Self:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in {1, self.channels}:
                raise ValueError(
                    f"{name} has {len(values)} values for {self.channels} channels of {self.color}"
                )
        return self

    def shape(self) -> tuple[int, int, int]:
        """Return the shape of one sample, without the batch axis."""
        if self.layout == "nchw":
            return (self.channels, *self.size)
        return (*self.size, self.channels)

    def apply(self, image: Image.Image) -> Array:
        """Return an image as one sample."""
        resized = self._resize(image.convert("L" if self.color == "grey" else "RGB"))
        pixels = np.asarray(resized).reshape(*self.size, self.channels)
        if self.color == "bgr":
            pixels = pixels[..., ::-1]
        if self.dtype != "uint8":
            values = pixels.astype(np.float32) * np.float32(self.scale)
            mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
            pixels = ((values - mean) / std).astype(self.dtype)
        if self.layout == "nchw":
            pixels = pixels.transpose(2, 0, 1)
        return np.ascontiguousarray(pixels)

    def _resize(self, image: Image.Image) -> Image.Image:
        height, width = self.size
        method = Image.Resampling[self.resample.upper()]
        if self.resize == "crop":
            return ImageOps.fit(image, (width, height), method)
        if self.resize == "pad":
            return ImageOps.pad(image, (width, height), method)
        return image.resize((width, height), method)


class ImageDataset:
    """Images in the order of their file names; `labels.csv` or `labels.npz` may label them."""

    def __init__(self, path: Path, transform_json: str | None) -> None:
        self._path = path
        with zipfile.ZipFile(path) as archive:
            names = member_names(archive)
            self.transform = _read_transform(archive, names, transform_json)
            self._names = [name for name in names if is_image(name)]
            self._labels = ImageLabels(archive, self._names)
        self.info = DatasetInfo(
            format="images",
            sample_count=len(self._names),
            arrays=[
                ArrayInfo(
                    name=self.transform.input or "",
                    dtype=self.transform.dtype,
                    shape=list(self.transform.shape()),
                ),
                *self._labels.fields(self.transform.input or ""),
            ],
            has_labels=self._labels.has_labels,
        )

    def rows(self) -> Iterator[Row]:
        """Yield each image, transformed."""
        with zipfile.ZipFile(self._path) as archive:
            for name, fields in zip(self._names, self._labels.rows(archive), strict=True):
                sample = self.transform.apply(_decode(archive, name))
                label = fields.pop(LABELS, None)
                yield Row(f'"{name}"', {self.transform.input or "": sample, **fields}, label)


def is_image(name: str) -> bool:
    """Return whether a member is an image by its name."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def parse_transform(text: str | bytes) -> ImageTransform:
    """Return the transform that a JSON text declares.

    Raises:
        InvalidDatasetError: it is not one; the message names each wrong field.
    """
    try:
        return ImageTransform.model_validate_json(text)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'transform'}: {e['msg']}" for e in error.errors()
        )
        known = ", ".join(ImageTransform.model_fields)
        message = f"the image transform is wrong: {wrong} (known fields: {known})"
        raise InvalidDatasetError(message) from error


def _decode(archive: zipfile.ZipFile, name: str) -> Image.Image:
    """Return an image of the archive; reading and decoding are bounded."""
    if archive.getinfo(name).file_size > MAX_FILE_BYTES:
        raise InvalidDatasetError(f'"{name}" is larger than {MAX_FILE_BYTES} bytes')
    with reading(f'"{name}"'):
        data = archive.read(name)
    try:
        return _open_image(data)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidDatasetError(f'"{name}" has over {MAX_PIXELS} pixels') from error
    except (OSError, SyntaxError, ValueError) as error:
        message = f'"{name}" is not a readable PNG, JPEG, BMP or WebP image'
        raise InvalidDatasetError(message) from error


def _open_image(data: bytes) -> Image.Image:
    """Decode an image whose header promises a bearable number of pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError
    image.load()
    return image


def _read_transform(
    archive: zipfile.ZipFile, names: list[str], given: str | None
) -> ImageTransform:
    if given is not None:
        return parse_transform(given)
    if TRANSFORM_NAME not in names:
        raise InvalidDatasetError(
            f"images need a transform: put {TRANSFORM_NAME} at the root of the zip, such as"
            ' {"size": [224, 224]}, or give it beside the upload'
        )
    with reading(TRANSFORM_NAME):
        return parse_transform(archive.read(TRANSFORM_NAME))
