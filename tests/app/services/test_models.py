import pytest

from app.errors import StorageError
from app.services import datasets, models
from app.services.datasets import NewUpload
from app.services.uploads import SpoolWriter
from tests.app.conftest import dataset_bytes, model_bytes


def upload(context, content):
    writer = SpoolWriter(context.storage.spool(), "x", max_bytes=10**6)
    writer.write(content)
    return writer.finish()


def add_model(context, workspace):
    return models.add(context, workspace, upload(context, model_bytes(7)))


def add_dataset(context, workspace):
    return datasets.add(context, workspace, NewUpload(upload(context, dataset_bytes(7))))


@pytest.mark.parametrize("add", [add_model, add_dataset])
def test_has_no_row_of_bytes_that_were_deleted_before_it(context, workspace, monkeypatch, add):
    def put(path, key):
        storage_put(path, key)
        context.storage.delete(key)

    storage_put = context.storage.put
    with monkeypatch.context() as patch:
        patch.setattr(context.storage, "put", put)
        with pytest.raises(StorageError, match="deleted"):
            add(context, workspace)

    row, is_new = add(context, workspace)

    assert is_new
    assert context.storage.exists(row.storage_key)
