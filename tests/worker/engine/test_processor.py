import pytest

from worker.engine import processor


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [
        ("x86_64", ["avx2"], True),
        ("x86_64", ["avx2", "avx512_vnni"], False),
        ("AMD64", ["avx2", "avx_vnni"], False),
        ("aarch64", ["asimd"], False),
    ],
)
def test_only_x86_without_vnni_adds_in_16_bits(monkeypatch, machine, flags, expected):
    monkeypatch.setattr(processor.platform, "machine", lambda: machine)
    monkeypatch.setattr(processor, "processor", lambda: ("any", flags))

    assert processor.adds_in_16_bits() is expected


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["avx2"], True),
        (["avx2", "avx_vnni"], False),
        (["asimd"], True),
        (["asimd", "asimddp"], False),
        ([], False),  # a system that tells nothing
    ],
)
def test_knows_which_instructions_multiply_integers(monkeypatch, flags, expected):
    monkeypatch.setattr(processor, "processor", lambda: ("any", flags))

    assert processor.lacks_integer_products() is expected
