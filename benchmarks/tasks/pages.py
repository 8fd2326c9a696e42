"""Finding the lines of text on a drawn page, and telling how the page is turned."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.tasks.base import Array, Feeds, LabelledRun, Network, Part, Scores, Task
from benchmarks.tasks.material import PAGE_SIZE, Box, as_input, draw_page, text_lines

Region = tuple[slice, slice]
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SHORTEST, LONGEST = 30, 50
LINES_ON_PAGE = 14
DETECTION_PAGES = 6
TURNED_PAGES = 20
TURNED_PAGE_STEP = 4
HOT = 0.3
COVER_MARGIN = 6
CALIBRATION_SEED = 1234
PAGES_OF_A_SEED = 32
"""More would reach the text of the scored pages."""


def score_detection(network: Network, folder: Path) -> Scores:
    """Return the share of lines that are marked, and of marked pixels that lie on a line."""
    lines = text_lines(folder, SHORTEST, LONGEST)
    found = total = inside = marked = 0
    for number in range(DETECTION_PAGES):
        page, boxes = draw_page(lines[number * LINES_ON_PAGE :][:LINES_ON_PAGE])
        hot = network.first_output(_page_input(page))[0, 0] > HOT
        found += sum(bool(hot[_middle(box)].mean() > 0.5) for box in boxes)
        total += len(boxes)
        inside += int(np.sum(hot & _mask(boxes, _around)))
        marked += int(np.sum(hot))
    return {"line_recall": found / total, "pixel_precision": inside / max(marked, 1)}


def score_orientation(network: Network, folder: Path) -> Scores:
    """Return the accuracy over pages turned by each quarter."""
    lines = text_lines(folder, SHORTEST, LONGEST)
    hits = [
        int(network.first_output(array)[0].argmax()) == quarter
        for number in range(TURNED_PAGES)
        for quarter, array in _turned_inputs(lines[number * TURNED_PAGE_STEP :])
    ]
    return {"accuracy": float(np.mean(hits))}


def detection_samples(network: Network, folder: Path, count: int) -> Iterator[Feeds]:
    """Yield pages from the text's other end, broken into lines anew for every 32 of them."""
    for number in range(count):
        start = number % PAGES_OF_A_SEED * LINES_ON_PAGE
        lines = _calibration_lines(folder, number // PAGES_OF_A_SEED)
        page, _ = draw_page(lines[start : start + LINES_ON_PAGE])
        yield network.feed(_page_input(page))


def orientation_samples(network: Network, folder: Path, count: int) -> Iterator[Feeds]:
    """Yield pages from the text's other end, each turned by every quarter."""
    lines = _calibration_lines(folder, 0)
    pages = range(0, len(lines), TURNED_PAGE_STEP)
    turned = (array for start in pages for _, array in _turned_inputs(lines[start:]))
    for array in islice(turned, count):
        yield network.feed(array)


def detection_labelled(network: Network, folder: Path, part: Part) -> Iterator[LabelledRun]:
    """Yield pages with the masks of their lines: each, all around it, and along its middle."""
    lines = text_lines(folder, SHORTEST, LONGEST)
    starts = range(0, 2 * DETECTION_PAGES * LINES_ON_PAGE, LINES_ON_PAGE)
    chosen = {
        "whole": starts[:DETECTION_PAGES],
        "evaluation": starts[:DETECTION_PAGES],
        "held_out": starts[DETECTION_PAGES:],
    }[part]
    for start in chosen:
        page, boxes = draw_page(lines[start:][:LINES_ON_PAGE])
        masks = {
            name: _mask(boxes, region).astype(np.uint8)[None]
            for name, region in (("lines", _inside), ("around", _around), ("middles", _middle))
        }
        yield LabelledRun(network.feed(_page_input(page)), masks)


def orientation_labelled(network: Network, folder: Path, part: Part) -> Iterator[LabelledRun]:
    """Yield pages turned by each quarter, and by how many."""
    lines = text_lines(folder, SHORTEST, LONGEST)
    pages = range(TURNED_PAGES)
    fresh = range(TURNED_PAGES, 2 * TURNED_PAGES)
    for number in fresh if part == "held_out" else pages:
        for quarter, array in _turned_inputs(lines[number * TURNED_PAGE_STEP :]):
            yield LabelledRun(network.feed(array), {"labels": np.array([quarter])})


def _inside(box: Box) -> Region:
    """Return the rows and columns of a line."""
    left, top, right, bottom = box
    return slice(top, bottom), slice(left, right)


def _around(box: Box) -> Region:
    """Return the rows and columns of a line and its margin."""
    left, top, right, bottom = box
    return (
        slice(max(top - COVER_MARGIN, 0), bottom + COVER_MARGIN),
        slice(max(left - COVER_MARGIN, 0), right + COVER_MARGIN),
    )


def _middle(box: Box) -> Region:
    """Return the rows and columns along the middle of a line."""
    left, top, right, bottom = box
    middle = (top + bottom) // 2
    return slice(middle - 1, middle + 2), slice(left + 4, right - 4)


def _mask(boxes: list[Box], region: Callable[[Box], Region]) -> npt.NDArray[np.bool_]:
    """Return the page with a region of each box marked."""
    mask = np.zeros((PAGE_SIZE, PAGE_SIZE), bool)
    for box in boxes:
        mask[region(box)] = True
    return mask


def _calibration_lines(folder: Path, round_number: int) -> list[str]:
    return text_lines(folder, SHORTEST, LONGEST, CALIBRATION_SEED + round_number)[::-1]


def _turned_inputs(lines: list[str]) -> Iterator[tuple[int, Array]]:
    """Yield how many quarters clockwise a page is turned, and the page's middle."""
    page, _ = draw_page(lines[:LINES_ON_PAGE])
    for quarter in range(4):
        small = page.rotate(-90 * quarter).resize((256, 256), Image.Resampling.LANCZOS)
        yield quarter, _page_input(small.crop((16, 16, 240, 240)))


def _page_input(page: Image.Image) -> Array:
    return as_input(page, MEAN, DEVIATION)


DETECTION = Task(
    score_detection,
    detection_samples,
    judged=("line_recall", "pixel_precision"),
    labelled=detection_labelled,
    metrics=(
        {"metric": "recall", "labels": "middles", "threshold": HOT},
        {"metric": "precision", "labels": "around", "threshold": HOT},
        {"metric": "mask_iou", "labels": "lines", "threshold": HOT},
    ),
)
ORIENTATION = Task(
    score_orientation, orientation_samples, judged=("accuracy",), labelled=orientation_labelled
)
