"""Finding the word that a misspelt one was, by the embeddings of their letters."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.tasks.base import Array, Feeds, Network, Scores, Task
from benchmarks.tasks.material import SEED, manual_paragraphs, news

MISSPELT_WORDS = 200
SHORTEST_WORD = 5
ALPHABET = "".join(map(chr, range(ord("!"), ord("A")))) + "_abcdefghijklmnopqrstuvwxyz"


def score(network: Network, folder: Path) -> Scores:
    """Return the share of misspelt words whose nearest word is the right one."""
    random = np.random.default_rng(SEED)
    words = vocabulary(news(folder))
    chosen = [str(word) for word in random.choice(words, MISSPELT_WORDS, replace=False)]
    misspelt = [_misspell(word, random) for word in chosen]
    book = np.stack([_embed(network, word) for word in words])
    hits = 0
    for right, wrong in zip(chosen, misspelt, strict=True):
        distances = np.sum(np.square(book - _embed(network, wrong)), axis=1)
        hits += words[int(distances.argmin())] == right
    return {"top1": hits / MISSPELT_WORDS}


def samples(network: Network, folder: Path, count: int) -> Iterator[Feeds]:
    """Yield words of Python's manual that the scored text does not have."""
    known = set(vocabulary(news(folder)))
    others = [word for word in vocabulary(" ".join(manual_paragraphs())) if word not in known]
    for word in others[:: len(others) // count][:count]:
        yield network.feed(_letters(word))


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


TASK = Task(score, samples, judged=("top1",))
