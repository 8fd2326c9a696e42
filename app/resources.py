"""Folders that ship with the project: in its checkout, or bundled in the installed package."""

from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).resolve().parent


def resource_folder(name: Literal["migrations", "examples"]) -> Path:
    """Return the folder, from the checkout where there is one.

    Raises:
        FileNotFoundError: the installation is not complete.
    """
    checkout = _PACKAGE.parent
    is_checkout = (checkout / "pyproject.toml").is_file()
    folder = (checkout if is_checkout else _PACKAGE / "_bundled") / name
    if not folder.is_dir():
        raise FileNotFoundError(f"no {name!r} folder at {folder}; install onnxpress again")
    return folder
