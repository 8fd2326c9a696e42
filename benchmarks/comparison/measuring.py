"""Measuring one compressed model against its original, in a process of its own.

    python -m benchmarks.comparison.measuring NAME ORIGINAL COMPRESSED HELD_OUT MODELS

Prints JSON: `loads`, and where it does: the task's scores, SQNR and latency.
"""

import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.comparison.samples import Feeds, read_feeds
from benchmarks.tasks.base import Array, Network, Scores
from benchmarks.tasks.catalogue import TASK_OF_MODEL

WARM_UP_PAIRS = 3
SESSIONS = 5
FEWEST_PAIRS, MOST_PAIRS = 4, 40
LATENCY_SECONDS = 1.2
"""After which one pair of sessions has run enough."""
MESSAGE_LENGTH = 300


@dataclass
class Measured:
    """What came out; `message` says why it does not load or run."""

    loads: bool = False
    runs: bool = False
    message: str = ""
    scores: Scores = field(default_factory=dict)
    sqnr_db: float | None = None
    """Of the worst output; None where all answers are equal, or none is floating point."""
    latency_ratio: float | None = None


def measure(name: str, original: Path, compressed: Path, held_out: Path, models: Path) -> Measured:
    """Load a compressed model and compare it with its original."""
    measured = Measured()
    before = Network(original)
    try:
        after = Network(compressed)
        measured.loads = True
        measured.scores = TASK_OF_MODEL[name].score(after, models)
        feeds = list(read_feeds(held_out))
        measured.sqnr_db = worst_sqnr_db(before, after, feeds)
        measured.latency_ratio = latency_ratio(original, compressed, feeds)
        measured.runs = True
    except Exception as error:  # noqa: BLE001 - why a file does not load or run is a finding
        measured.message = " ".join(str(error).split())[:MESSAGE_LENGTH]
    return measured


def worst_sqnr_db(before: Network, after: Network, feeds: Sequence[Feeds]) -> float | None:
    """Return 10 log10(sum(ref²) / sum((ref - out)²)) of the worst output, over all samples."""
    signal: dict[str, float] = {}
    noise: dict[str, float] = {}
    for each in feeds:
        answers = zip(before.outputs, before.run(each), after.run(each), strict=True)
        for name, reference, answer in answers:
            if isinstance(reference, np.ndarray) and reference.dtype.kind == "f":
                error = _error(reference.astype(np.float64), answer.astype(np.float64))
                signal[name] = signal.get(name, 0.0) + float(
                    np.sum(np.square(reference, dtype=np.float64))
                )
                noise[name] = noise.get(name, 0.0) + error
    ratios = [signal[name] / noise[name] for name in signal if noise[name]]
    return float(10 * np.log10(max(min(ratios), 1e-20))) if ratios else None


def latency_ratio(before: Path, after: Path, feeds: Sequence[Feeds]) -> float:
    """Return the latency of a file's model over that of another's.

    What memory a session happens to get can make more of a difference than what is in the file,
    so both are loaded several times; the median of what the pairs of sessions say counts.
    """
    return statistics.median(
        _ratio_in_turn(Network(before), Network(after), feeds) for _ in range(SESSIONS)
    )


def _ratio_in_turn(before: Network, after: Network, feeds: Sequence[Feeds]) -> float:
    """Return the median of pairs of runs in turn.

    Both run on this thread alone, so that its CPU time is their latency, less what other
    processes take.
    """
    ratios: list[float] = []
    started = time.perf_counter()
    for number in range(WARM_UP_PAIRS + MOST_PAIRS):
        each = feeds[number % len(feeds)]
        networks = (before, after) if number % 2 else (after, before)
        seconds = {network: _seconds(network, each) for network in networks}
        if number >= WARM_UP_PAIRS:
            ratios.append(seconds[after] / seconds[before])
        if len(ratios) >= FEWEST_PAIRS and time.perf_counter() - started > LATENCY_SECONDS:
            break
    return statistics.median(ratios)


def _seconds(network: Network, feeds: Feeds) -> float:
    started = time.thread_time()
    network.run(feeds)
    return time.thread_time() - started


def _error(reference: Array, answer: Array) -> float:
    """Return the energy of the error; an answer of another shape, or not finite, is all error."""
    if reference.shape != answer.shape or not np.isfinite(answer).all():
        return float(np.sum(np.square(reference)))
    return float(np.sum(np.square(reference - answer)))


def main() -> None:
    """Measure what the arguments name."""
    name, *paths = sys.argv[1:]
    original, compressed, held_out, models = map(Path, paths)
    measured = measure(name, original, compressed, held_out, models)
    sys.stdout.write("\n" + json.dumps(asdict(measured)) + "\n")


if __name__ == "__main__":
    main()
