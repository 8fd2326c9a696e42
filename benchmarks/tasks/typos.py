"""Finding the word that a misspelt one was, by the embeddings of their letters."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.tasks.base import Array, Feeds, LabelledRun, Network, Part, Scores, Task, half
from benchmarks.tasks.material import SEED, manual_paragraphs, news

MISSPELT_WORDS = 200
SHORTEST_WORD = 5
ALPHABET = "".join(map(chr, range(ord("!"), ord("A")))) + "_abcdefghijklmnopqrstuvwxyz"


def score(network: Network, folder: Path) -> Scores:
    """Return the share of misspelt words whose nearest word is the right one."""
    words = vocabulary(news(folder))
    book = np.stack([_embed(network, word) for word in words])
    hits = 0
    for right, wrong in _misspelt(words):
        distances = np.sum(np.square(book - _embed(network, wrong)), axis=1)
        hits += words[int(distances.argmin())] == right
    return {"top1": hits / MISSPELT_WORDS}


def samples(network: Network, folder: Path, count: int) -> Iterator[Feeds]:
    """Yield words of Python's manual that the scored text does not have."""
    known = set(vocabulary(news(folder)))
    others = [word for word in vocabulary(" ".join(manual_paragraphs())) if word not in known]
    for word in others[:: len(others) // count][:count]:
        yield network.feed(_letters(word))


def labelled(network: Network, folder: Path, part: Part) -> Iterator[LabelledRun]:
    """Yield each word, and then misspelt ones: which word it is, and 1 where it is misspelt."""
    words = vocabulary(news(folder))
    for number, word in enumerate(words):
        yield LabelledRun(network.feed(_letters(word)), {"labels": np.array([[number, 0]])})
    for right, wrong in half(_misspelt(words), part):
        labels = np.array([[words.index(right), 1]])
        yield LabelledRun(network.feed(_letters(wrong)), {"labels": labels})


def _misspelt(words: list[str]) -> list[tuple[str, str]]:
    """Return some of the words, each with a misspelling."""
    random = np.random.default_rng(SEED)
    chosen = [str(word) for word in random.choice(words, MISSPELT_WORDS, replace=False)]
    return [(word, _misspell(word, random)) for word in chosen]


def vocabulary(text: str) -> list[str]:
    """Return the different words of a text that are long enough, sorted."""
    return sorted({w for w in re.findall("[a-z]+", text.lower()) if len(w) >= SHORTEST_WORD})


def _misspell(word: str, random: np.random.Generator) -> str:
    """Swap, drop or double a letter inside a word."""
    at, kind = int(random.integers(1, len(word) - 1)), int(random.integers(3))
    head, letter, tail = word[:at], word[at], word[at + 1 :]
    return (head + tail[0] + letter + tail[1:], head + tail, head + letter + letter + tail)[kind]


def _letters(word: str) -> Array:
    one_hot = np.eye(len(ALPHABET), dtype=np.float32)
    return one_hot[[ALPHABET.index(letter) for letter in word]][None]


def _embed(network: Network, word: str) -> Array:
    return network.first_output(_letters(word))[0]


TASK = Task(
    score,
    samples,
    judged=("top1",),
    labelled=labelled,
    metrics=({"metric": "nearest_label"},),
)
