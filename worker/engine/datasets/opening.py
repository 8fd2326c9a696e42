"""Opening an uploaded dataset, whichever of the three formats it has."""

from pathlib import Path

from worker.engine.datasets.archive import check_archive
from worker.engine.datasets.fitting import FittedSamples
from worker.engine.datasets.images import ImageDataset, is_image
from worker.engine.datasets.npz import SUFFIX, NpzDataset
from worker.engine.datasets.npz_archive import NpzArchiveDataset
from worker.engine.datasets.rows import Dataset, checked_rows
from worker.engine.errors import InvalidDatasetError
from worker.engine.requests import DatasetInfo, InspectDataset, UnpackLimits


def open_dataset(path: Path, limits: UnpackLimits, image_transform: str | None = None) -> Dataset:
    """Open a dataset by what its members are.

    Raises:
        InvalidDatasetError: it has none of the three formats, or is malformed.
    """
    names = check_archive(path, limits)
    if not names:
        raise InvalidDatasetError("the dataset has no samples: the archive is empty")
    if any(is_image(name) for name in names):
        return ImageDataset(path, image_transform)
    if image_transform is not None:
        raise InvalidDatasetError("an image transform was given, and the archive has no images")
    if all(name.endswith(SUFFIX) for name in names):
        return NpzDataset(path)
    if all(name.endswith(".npz") for name in names):
        return NpzArchiveDataset(path)
    raise InvalidDatasetError(
        f'the archive holds "{names[0]}": expected a .npz, a .zip of .npz files, or a .zip of'
        " PNG, JPEG, BMP or WebP images with transform.json"
    )


def inspect_dataset(request: InspectDataset) -> DatasetInfo:
    """Read a dataset through once, against the model where one is given, and describe it.

    Raises:
        InvalidDatasetError: it is malformed or does not fit the model.
    """
    dataset = open_dataset(request.dataset_path, request.limits, request.image_transform)
    if request.model_inputs is None:
        for _ in checked_rows(dataset):
            pass
    else:
        for _ in FittedSamples(dataset, request.model_inputs):
            pass
    return dataset.info
