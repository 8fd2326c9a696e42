"""Tests of finding the folders that ship with the project."""

from pathlib import Path

import pytest

import app.resources
from app.resources import resource_folder

CHECKOUT = Path(__file__).parents[2]


def test_finds_the_checkouts_own_folder():
    assert resource_folder("migrations") == CHECKOUT / "migrations"


def test_finds_the_bundled_folder_of_an_installation(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "app"
    bundled = package / "_bundled" / "migrations"
    bundled.mkdir(parents=True)
    monkeypatch.setattr(app.resources, "_PACKAGE", package)

    assert resource_folder("migrations") == bundled


def test_incomplete_installation_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(app.resources, "_PACKAGE", tmp_path / "app")

    with pytest.raises(FileNotFoundError, match="install onnxpress again"):
        resource_folder("examples")
