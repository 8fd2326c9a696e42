"""The original's answers, which every candidate is compared with: worked out once for a model."""

import time
from collections.abc import Mapping, Sequence

import numpy as np

from worker.engine.batching import BatchRunner
from worker.engine.cache import Cache, cache_key, feeds_sha256
from worker.engine.runtime import ExecutionProvider
from worker.engine.samples import Array, Feeds

MAX_KEPT_BYTES = 64 * 2**20
"""Of all answers together; those beyond are worked out again each time."""
PLAIN_KINDS = "biuf"
SEPARATOR = "."


class ReferenceAnswers:
    """Answers by what they answer to, in memory and, with a cache, beyond this job.

    `key` stands for the model and all else that decides its answers but the inputs.
    """

    def __init__(self, cache: Cache, key: str) -> None:
        self._cache = cache
        self._key = key
        self._kept = _unpacked(cache.load(key) or {})
        self._bytes = sum(_size(answer) for answer in self._kept.values())
        self._is_new = False
        self._run_seconds = 0.0
        self._run_count = 0

    @property
    def seconds_each(self) -> float | None:
        """What an answer took, small samples together; None where none had to be worked out."""
        return self._run_seconds / self._run_count if self._run_count else None

    def of(self, runner: BatchRunner, group: Sequence[Feeds]) -> list[list[Array]]:
        """Return the outputs for each of a group's feeds, run where they are not known."""
        digests = [feeds_sha256(feeds) for feeds in group]
        known = [self._find(digest, runner.output_count) for digest in digests]
        missing = [feeds for feeds, found in zip(group, known, strict=True) if found is None]
        started = time.perf_counter()
        made = iter(runner.run(missing) if missing else [])
        self._run_seconds += time.perf_counter() - started
        self._run_count += len(missing)
        answers = [next(made) if found is None else found for found in known]
        for digest, answer in zip(digests, answers, strict=True):
            self._keep(digest, answer)
        return answers

    def save(self) -> None:
        """Leave what is new to later jobs."""
        if self._is_new:
            self._cache.save(self._key, _packed(self._kept))
            self._is_new = False

    def _find(self, digest: str, outputs: int) -> list[Array] | None:
        answer = self._kept.get(digest)
        return answer if answer is not None and len(answer) == outputs else None

    def _keep(self, digest: str, answer: list[Array]) -> None:
        if digest in self._kept or not all(_is_plain(output) for output in answer):
            return
        size = _size(answer)
        if self._bytes + size > MAX_KEPT_BYTES:
            return
        self._kept[digest] = answer
        self._bytes += size
        self._is_new = True


def reference_key(model_sha256: str, provider: ExecutionProvider, threads: int) -> str:
    """Return the key of a model's answers."""
    return cache_key("reference", model_sha256, provider, str(threads))


def _packed(kept: Mapping[str, list[Array]]) -> dict[str, Array]:
    return {
        f"{digest}{SEPARATOR}{place}": output
        for digest, answer in kept.items()
        for place, output in enumerate(answer)
    }


def _unpacked(arrays: Mapping[str, Array]) -> dict[str, list[Array]]:
    """Return answers by digest; what is not as `_packed` leaves it counts for nothing."""
    kept: dict[str, list[Array]] = {}
    for name, output in arrays.items():
        digest, _, place = name.partition(SEPARATOR)
        if not place.isdecimal() or int(place) != len(kept.setdefault(digest, [])):
            return {}
        kept[digest].append(output)
    return kept


def _is_plain(output: object) -> bool:
    return isinstance(output, np.ndarray) and output.dtype.kind in PLAIN_KINDS and output.size > 0


def _size(answer: Sequence[Array]) -> int:
    return sum(output.nbytes for output in answer)
