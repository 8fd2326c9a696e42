import pytest

from worker.products import find_products

ANSWER = {"artifact_name": "model.onnx", "alternatives": ["model.zip"], "report": {"a": 1}}


@pytest.fixture
def folder(tmp_path):
    alternative = tmp_path / "artifact" / "alternative_1"
    alternative.mkdir(parents=True)
    (tmp_path / "artifact" / "model.onnx").write_bytes(b"model")
    (alternative / "model.zip").write_bytes(b"other")
    return tmp_path


def test_finds_the_model_the_report_and_the_alternatives(folder):
    products = list(find_products(ANSWER, folder, "net.onnx"))

    assert [(product.kind, product.file_name) for product in products] == [
        ("model", "net-compressed.onnx"),
        ("report", "net-report.json"),
        ("alternative_1", "net-alternative-1.zip"),
    ]
    assert products[1].path.read_text() == '{\n  "a": 1\n}'


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/hostname", "report.json", ""])
def test_refuses_other_names(folder, name):
    with pytest.raises(ValueError, match="named its artifact"):
        list(find_products(ANSWER | {"artifact_name": name}, folder, "net.onnx"))


def test_follows_no_link_to_a_file(folder):
    secret = folder / "secret"
    secret.write_text("x")
    (folder / "artifact" / "model.onnx").unlink()
    (folder / "artifact" / "model.onnx").symlink_to(secret)

    with pytest.raises(ValueError, match="no file of its own"):
        list(find_products(ANSWER, folder, "net.onnx"))


def test_follows_no_link_to_a_folder(folder):
    elsewhere = folder / "elsewhere"
    (folder / "artifact" / "alternative_1").rename(elsewhere)
    (folder / "artifact" / "alternative_1").symlink_to(elsewhere)

    with pytest.raises(ValueError, match="no file of its own"):
        list(find_products(ANSWER, folder, "net.onnx"))
