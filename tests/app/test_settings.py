"""Tests of the settings and their defaults."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from app.settings import Settings


def test_everything_lies_in_the_data_folder_by_default(tmp_path):
    settings = Settings(data_dir=tmp_path)

    assert settings.resolved_database_url == f"sqlite:///{tmp_path}/onnxpress.db"
    assert settings.resolved_storage_url == f"file://{tmp_path}/storage"


def test_relative_data_folder_is_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    settings = Settings(data_dir="data")

    assert settings.resolved_database_url == f"sqlite:///{tmp_path}/data/onnxpress.db"


def test_variables_are_read(monkeypatch):
    monkeypatch.setenv("ONNXPRESS_DATABASE_URL", "postgresql://host/name")
    monkeypatch.setenv("ONNXPRESS_STORAGE_URL", "s3://bucket/prefix")
    monkeypatch.setenv("ONNXPRESS_RETENTION_DAYS", "1.5")

    settings = Settings()

    assert settings.resolved_database_url == "postgresql://host/name"
    assert settings.resolved_storage_url == "s3://bucket/prefix"
    assert settings.retention == timedelta(hours=36)


def test_work_is_kept_for_ever_by_default():
    assert Settings().retention is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ONNXPRESS_MAX_UPLOAD_BYTES", "0"),
        ("ONNXPRESS_LEASE_SECONDS", "-1"),
        ("ONNXPRESS_AUTH", "maybe"),
        ("ONNXPRESS_LOG_LEVEL", "loud"),
    ],
)
def test_wrong_values_are_refused_by_name(monkeypatch, name, value):
    monkeypatch.setenv(name, value)

    with pytest.raises(ValidationError, match=name.removeprefix("ONNXPRESS_").lower()):
        Settings()


def test_settings_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        Settings().auth = "keys"
