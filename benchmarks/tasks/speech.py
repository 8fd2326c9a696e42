"""Which 32 ms windows of a recorded talk hold speech."""

import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.tasks.base import Array, Feeds, LabelledRun, Network, Part, Scores, Task
from benchmarks.tasks.metrics import area_under_curve

SAMPLE_RATE = 16_000
WINDOW = 512
CONTEXT = 64
"""Values of the window before that each window repeats."""
THRESHOLD = 0.5
STATE_SIZE = 128
RUNS_OF_A_SEQUENCE = 128
SEQUENCE_INPUTS = {"input", "h", "c"}


def score(network: Network, folder: Path) -> Scores:
    """Return the F1 score and others over the windows of the recording."""
    windows, truth = recording(folder)
    chances = np.concatenate([answer[0].ravel() for _, answer in _runs(network, windows, 1)])
    guesses = chances > THRESHOLD
    hits = np.sum(guesses & truth)
    return {
        "f1": float(2 * hits / (guesses.sum() + truth.sum())),
        "frame_accuracy": float(np.mean(guesses == truth)),
        "auc": area_under_curve(chances, truth),
    }


def samples(network: Network, folder: Path, count: int) -> Iterator[Feeds]:
    """Yield consecutive runs, each with the state that the one before left."""
    windows, _ = recording(folder)
    for number, (feeds, _) in enumerate(_runs(network, windows, count)):
        if number == count:
            return
        yield feeds


def labelled(network: Network, folder: Path, part: Part) -> Iterator[LabelledRun]:
    """Yield consecutive runs of the recording, or of its first or second half."""
    windows, truth = recording(folder)
    middle = len(windows) // 2
    spans = {"whole": (0, len(windows)), "evaluation": (0, middle)}
    start, end = spans.get(part, (middle, len(windows)))
    at = 0
    for feeds, _ in _runs(network, windows, RUNS_OF_A_SEQUENCE):
        count = len(feeds["input"])
        if start <= at < end:
            yield LabelledRun(feeds, {"labels": truth[at : at + count]})
        at += count


def recording(folder: Path) -> tuple[Array, Array]:
    """Return the windows as (windows, context + window), and whether each holds speech."""
    with wave.open(str(folder / "data/speech.wav")) as file:
        audio = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
    spans = []
    for line in (folder / "data/speech.rttm").read_text().splitlines():
        start, duration = map(float, line.split()[3:5])
        spans.append((start, start + duration))
    starts = np.arange(len(audio) // WINDOW) * WINDOW
    padded = np.concatenate([np.zeros(CONTEXT, np.float32), audio])
    windows = padded[starts[:, None] + np.arange(CONTEXT + WINDOW)]
    middles = (np.arange(len(starts)) + 0.5) * WINDOW / SAMPLE_RATE
    truth = np.array([any(start <= middle < end for start, end in spans) for middle in middles])
    return windows, truth


def _runs(network: Network, windows: Array, parts: int) -> Iterator[tuple[Feeds, list[Array]]]:
    """Yield the feeds and answers of the whole recording; a sequence network takes it in parts."""
    if set(network.inputs) == SEQUENCE_INPUTS:
        hidden = cell = np.zeros((1, 1, STATE_SIZE), np.float32)
        for part in np.array_split(windows, parts):
            feeds: Feeds = {"input": part, "h": hidden, "c": cell}
            answer = network.run(feeds)
            _, hidden, cell = answer
            yield feeds, answer
        return
    state: Array = np.zeros((2, 1, STATE_SIZE), np.float32)
    for window in windows:
        feeds = {"input": window[None], "state": state}
        if "sr" in network.inputs:
            feeds["sr"] = np.array(SAMPLE_RATE, np.int64)
        answer = network.run(feeds)
        state = answer[1]
        yield feeds, answer


TASK = Task(
    score,
    samples,
    judged=("f1",),
    labelled=labelled,
    metrics=({"metric": "f1", "threshold": THRESHOLD},),
    samples_are_scored=True,
)
