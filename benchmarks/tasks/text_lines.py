"""Reading a drawn line of text, and telling whether it stands on its head."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.tasks.base import Array, Feeds, LabelledRun, Network, Part, Scores, Task
from benchmarks.tasks.material import LINE_HEIGHT, as_input, draw_line, text_lines
from benchmarks.tasks.metrics import edit_distance

LINES = 100
SHORTEST, LONGEST = 18, 34
CALIBRATION_SEED = 1234
UPSIDE_DOWN_WIDTH = 192
BLANK_OF_TEXT = 6624
"""The class of a blank between words, which the score leaves out."""


def score_reading(network: Network, folder: Path) -> Scores:
    """Return the share of wrong letters, spaces aside, and of lines without one."""
    signs = ["", *network.metadata["character"].splitlines(), " "]
    wrong = letters = exact = 0
    for line in _scored_lines(folder):
        picked = network.first_output(_line_input(line))[0].argmax(axis=1)
        is_new = np.concatenate([[True], picked[1:] != picked[:-1]])
        read = "".join(signs[sign] for sign in picked[is_new]).replace(" ", "")
        truth = line.replace(" ", "")
        wrong += edit_distance(truth, read)
        letters += len(truth)
        exact += truth == read
    return {"character_error": wrong / letters, "exact_lines": exact / LINES}


def score_upside_down(network: Network, folder: Path) -> Scores:
    """Return the accuracy over lines of which every second one is turned."""
    right = 0
    for number, line in enumerate(_scored_lines(folder)):
        answer = network.first_output(_turned_input(line, number))
        right += int(answer[0].argmax()) == number % 2
    return {"accuracy": right / LINES}


def reading_labelled(network: Network, folder: Path, part: Part) -> Iterator[LabelledRun]:
    """Yield lines and the numbers of their signs, which the network's metadata lists."""
    signs = ["", *network.metadata["character"].splitlines(), " "]
    for line in _labelled_lines(folder, part):
        numbers = np.array([[signs.index(sign) for sign in line]])
        yield LabelledRun(network.feed(_line_input(line)), {"labels": numbers})


def upside_down_labelled(network: Network, folder: Path, part: Part) -> Iterator[LabelledRun]:
    """Yield lines of which every second one is turned, and whether it is."""
    for number, line in enumerate(_labelled_lines(folder, part)):
        array = _turned_input(line, number)
        yield LabelledRun(network.feed(array), {"labels": np.array([number % 2])})


def reading_samples(network: Network, folder: Path, count: int) -> Iterator[Feeds]:
    """Yield lines from the text's other end."""
    for line in _calibration_lines(folder)[:count]:
        yield network.feed(_line_input(line))


def upside_down_samples(network: Network, folder: Path, count: int) -> Iterator[Feeds]:
    """Yield lines from the text's other end, every second one turned."""
    for number, line in enumerate(_calibration_lines(folder)[:count]):
        yield network.feed(_turned_input(line, number))


def _scored_lines(folder: Path) -> list[str]:
    return text_lines(folder, SHORTEST, LONGEST)[:LINES]


def _labelled_lines(folder: Path, part: Part) -> list[str]:
    """Return the scored lines or, held out, those that follow them."""
    lines = text_lines(folder, SHORTEST, LONGEST)
    return lines[LINES : 2 * LINES] if part == "held_out" else lines[:LINES]


def _calibration_lines(folder: Path) -> list[str]:
    return text_lines(folder, SHORTEST, LONGEST, CALIBRATION_SEED)[::-1]


def _line_input(line: str) -> Array:
    return as_input(draw_line(line), 0.5, 0.5)


def _turned_input(line: str, number: int) -> Array:
    """Return the line in a frame of fixed width, turned where its number is odd."""
    picture = draw_line(line).rotate(180 * (number % 2))
    narrowed = picture.resize((min(UPSIDE_DOWN_WIDTH, picture.width), LINE_HEIGHT))
    array = as_input(narrowed, 0.5, 0.5)
    missing = UPSIDE_DOWN_WIDTH - array.shape[-1]
    return np.pad(array, ((0, 0), (0, 0), (0, 0), (0, missing)))


READING = Task(
    score_reading,
    reading_samples,
    judged=("character_error",),
    labelled=reading_labelled,
    metrics=({"metric": "ctc_error_rate", "blank": 0, "ignored": [BLANK_OF_TEXT]},),
    smaller_is_better=True,
)
UPSIDE_DOWN = Task(
    score_upside_down, upside_down_samples, judged=("accuracy",), labelled=upside_down_labelled
)
