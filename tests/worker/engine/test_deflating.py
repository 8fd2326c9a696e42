import zlib

import numpy as np
import pytest

from worker.engine.deflating import PIECE_BYTES, DeflatedSize, deflated_size

VALUES = np.random.default_rng(3).normal(size=PIECE_BYTES // 2).astype(np.float32)


def pruned(values: np.ndarray, share: float) -> np.ndarray:
    return np.where(np.abs(values) < np.quantile(np.abs(values), share), 0, values)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(VALUES.tobytes(), id="floats"),
        pytest.param(pruned(VALUES, 0.2).tobytes(), id="a fifth zeros"),
        pytest.param(pruned(VALUES, 0.7).tobytes(), id="most zeros"),
        pytest.param((VALUES * 30).astype(np.int8).tobytes(), id="integers"),
        pytest.param(np.tile(VALUES[:256], 4096).tobytes(), id="repeats of random numbers"),
        pytest.param(b"a node with a name of its own " * 90_000, id="text"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_is_about_what_zlib_comes_to(data):
    pieces = 1 + len(data) // PIECE_BYTES
    codes_of_their_own = 2_000 * pieces

    assert deflated_size([data]) <= 1.01 * len(zlib.compress(data, 6)) + codes_of_their_own


def test_knows_no_size_that_deflate_could_not_reach():
    data = VALUES.tobytes()

    codes = zlib.compressobj(6, zlib.DEFLATED, -15, strategy=zlib.Z_HUFFMAN_ONLY)
    least = len(codes.compress(data) + codes.flush())

    assert deflated_size([data]) == pytest.approx(least, rel=1e-4)


def test_chunks_of_any_length_come_to_the_same_size():
    data = pruned(VALUES, 0.5).tobytes()
    size = DeflatedSize()

    for start in range(0, len(data), 99_991):
        size.feed(data[start : start + 99_991])

    assert size.total() == deflated_size([data])
