"""Text to work on, and pictures of it.

The scored text is the 50 news items of the Lee corpus. Calibration takes the corpus from its other
end, or Python's own manual, which every interpreter carries.
"""

import re
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

SEED = 7
LINE_HEIGHT = 48
LINE_FONT_SIZE = 30
PAGE_SIZE = 640
PAGE_FONT_SIZE = 22
PAGE_MARGIN = 24
PAGE_LINE_SPACING = 40
LEFTOVER_WORDS = 8

Box = tuple[int, int, int, int]
Floats = npt.NDArray[np.float32]


def news(folder: Path) -> str:
    """Return the Lee corpus: a document on each line."""
    return (folder / "data/lee.cor").read_text(encoding="latin-1")


def manual_paragraphs() -> list[str]:
    """Return the paragraphs of Python's manual that read as sentences."""
    texts = "\n\n".join(topics[name] for name in sorted(topics))
    paragraphs = (" ".join(part.split()) for part in texts.split("\n\n"))
    return [text for text in paragraphs if re.match(r"[A-Z].{40,}[.:]$", text)]


def text_lines(folder: Path, shortest: int, longest: int, seed: int = SEED) -> list[str]:
    """Return the corpus broken into lines of random lengths, at least `shortest` letters wanted."""
    random = np.random.default_rng(seed)
    words = [re.sub(r"[^\x00-\x7f]", "", word) for word in news(folder).split()]
    lines, at = [], 0
    while at < len(words) - LEFTOVER_WORDS:
        wanted = int(random.integers(shortest, longest))
        line, at = words[at], at + 1
        while at < len(words) and len(line) + 1 + len(words[at]) <= wanted:
            line, at = f"{line} {words[at]}", at + 1
        if line.strip():
            lines.append(line)
    return lines


def draw_line(line: str) -> Image.Image:
    """Return a picture of one line of text, 48 pixels high."""
    font = ImageFont.load_default(size=LINE_FONT_SIZE)
    left, _, right, _ = font.getbbox(line)
    picture = Image.new("RGB", (int(right - left) + 16, LINE_HEIGHT), "white")
    corner = (8 - left, (LINE_HEIGHT - LINE_FONT_SIZE) // 2 - 4)
    ImageDraw.Draw(picture).text(corner, line, fill=(20, 20, 20), font=font)
    return picture


def draw_page(lines: list[str]) -> tuple[Image.Image, list[Box]]:
    """Return a page of as many lines as fit, and the box of each."""
    font = ImageFont.load_default(size=PAGE_FONT_SIZE)
    page = Image.new("RGB", (PAGE_SIZE, PAGE_SIZE), "white")
    pen, boxes = ImageDraw.Draw(page), []
    tops = range(PAGE_MARGIN, PAGE_SIZE - PAGE_LINE_SPACING + 1, PAGE_LINE_SPACING)
    for line, top in zip(lines, tops, strict=False):
        corner = (PAGE_MARGIN, top)
        pen.text(corner, line, fill=(10, 10, 10), font=font)
        left, upper, right, lower = map(int, pen.textbbox(corner, line, font=font))
        boxes.append((left, upper, right, lower))
    return page, boxes


def as_input(picture: Image.Image, mean: npt.ArrayLike, deviation: npt.ArrayLike) -> Floats:
    """Return a picture as (1, 3, height, width), scaled to [0, 1] and normalized."""
    pixels = np.asarray(picture, np.float32) / 255
    scaled = (pixels - np.asarray(mean, np.float32)) / np.asarray(deviation, np.float32)
    return np.moveaxis(scaled, -1, 0)[None]
