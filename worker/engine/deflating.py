"""What bytes take deflated, as in a zip file.

Random numbers, which trained weights mostly are, have no repeats that deflate could find, and it
is slowest where it looks for them in vain: level 6 takes three seconds for 100 MB of floats. So a
look comes first, with Zstandard's fastest level for long repeats anywhere, and on a small part with
deflate itself for short ones, such as single zeros. Where there are none, the bytes are only given
codes by how often they occur, which takes a quarter of the time and comes to the same size within
a hundredth.
"""

import zlib
from collections.abc import Iterable

import zstandard

PIECE_BYTES = 2**20
LOOKED_AT_BYTES = 2**16
"""Twice as far as deflate looks back."""
LEVEL = 6
LOOKING_LEVEL = 1
REPEATS_SAVE = 0.02
"""At least, of what codes alone come to, where a search for repeats is worth its time."""


class DeflatedSize:
    """Counts the bytes that a deflate stream of what is fed to it takes.

    The stream is one that any zip tool reads; it is not kept.
    """

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._size = 0

    def feed(self, chunk: bytes) -> None:
        """Add what follows."""
        self._waiting += chunk
        while len(self._waiting) >= PIECE_BYTES:
            self._size += _piece_size(bytes(self._waiting[:PIECE_BYTES]))
            del self._waiting[:PIECE_BYTES]

    def total(self) -> int:
        """Return the bytes of the stream, with all that was fed until now."""
        return self._size + (_piece_size(bytes(self._waiting)) if self._waiting else 0)


def deflated_size(chunks: Iterable[bytes]) -> int:
    """Return how many bytes these would take deflated, one after another."""
    size = DeflatedSize()
    for chunk in chunks:
        size.feed(chunk)
    return size.total()


def _piece_size(piece: bytes) -> int:
    codes = _size_by(piece, zlib.Z_HUFFMAN_ONLY)
    if not _has_long_repeats(piece, codes) and not _has_repeats(_middle(piece)):
        return codes
    return min(codes, _size_by(piece, zlib.Z_DEFAULT_STRATEGY))


def _has_long_repeats(piece: bytes, codes: int) -> bool:
    looked = len(zstandard.ZstdCompressor(level=LOOKING_LEVEL).compress(piece))
    return looked < (1 - REPEATS_SAVE) * codes


def _has_repeats(part: bytes) -> bool:
    found = _size_by(part, zlib.Z_DEFAULT_STRATEGY)
    return found < (1 - REPEATS_SAVE) * _size_by(part, zlib.Z_HUFFMAN_ONLY)


def _middle(piece: bytes) -> bytes:
    start = max(0, len(piece) - LOOKED_AT_BYTES) // 2
    return piece[start : start + LOOKED_AT_BYTES]


def _size_by(data: bytes, strategy: int) -> int:
    deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, strategy=strategy)
    return len(deflate.compress(data)) + len(deflate.flush())
