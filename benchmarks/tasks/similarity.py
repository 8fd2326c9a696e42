"""Whether texts and words lie as near each other as people say."""

import csv
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.tasks.base import Array, Feeds, LabelledRun, Network, Part, Scores, Task, half
from benchmarks.tasks.material import manual_paragraphs, news
from benchmarks.tasks.metrics import spearman
from benchmarks.tasks.wordpiece import WordPiece

MAX_TOKENS = 128
EMBEDDING = "sentence_embedding"


def score(network: Network, folder: Path) -> Scores:
    """Return Spearman's correlation with people's judgement of documents and of word pairs."""
    embed = _embedder(network, folder)
    documents = embed(news(folder).strip().splitlines())
    above_diagonal = np.triu_indices(len(documents), 1)
    judged = _judgement(folder)[above_diagonal]
    left, right, nearness = zip(*_word_pairs(folder), strict=True)
    products = np.sum(embed(left) * embed(right), axis=1)
    return {
        "wordsim_spearman": spearman(products, np.array(nearness, float)),
        "lee_spearman": spearman((documents @ documents.T)[above_diagonal], judged),
    }


def samples(network: Network, folder: Path, count: int) -> Iterator[Feeds]:
    """Yield paragraphs of Python's manual, evenly chosen."""
    paragraphs = manual_paragraphs()
    chosen = paragraphs[:: len(paragraphs) // count][:count]
    yield from _feeds(network, folder, chosen)


def labelled(network: Network, folder: Path, part: Part) -> Iterator[LabelledRun]:
    """Yield the documents, each with its nearness to all, and then the words pair by pair.

    `lee` is the documents' judgement, `wordsim` the pairs'; each is -1 where it says nothing.
    """
    documents = half(news(folder).strip().splitlines(), part)
    judged = half(np.arange(len(_judgement(folder))), part)
    rows = _judgement(folder)[np.ix_(judged, judged)]
    for feeds, row in zip(_feeds(network, folder, documents), rows, strict=True):
        yield LabelledRun(feeds, {"lee": row[None], "wordsim": np.array([-1.0])})
    if len(documents) % 2:  # pairs begin at even places
        yield LabelledRun(feeds, _without_judgement(len(rows), -1.0))
    for left, right, nearness in half(_word_pairs(folder), part):
        for feeds in _feeds(network, folder, (left, right)):
            yield LabelledRun(feeds, _without_judgement(len(rows), float(nearness)))


def _without_judgement(documents: int, wordsim: float) -> dict[str, Array]:
    return {"lee": np.full((1, documents), -1.0), "wordsim": np.array([wordsim])}


def _judgement(folder: Path) -> npt.NDArray[np.float64]:
    """Return how near people say that each document is to each other."""
    human = np.loadtxt(folder / "data/lee_similarity.txt")
    is_full = not np.allclose(np.tril(human, -1), 0)
    return (human + human.T) / 2 if is_full else human


def _embedder(network: Network, folder: Path) -> Callable[[Iterable[str]], Array]:
    column = network.outputs.index(EMBEDDING)

    def embed(texts: Iterable[str]) -> Array:
        rows = [network.run(feeds)[column][0] for feeds in _feeds(network, folder, texts)]
        return np.array([row / np.linalg.norm(row) for row in rows])

    return embed


def _feeds(network: Network, folder: Path, texts: Iterable[str]) -> Iterator[Feeds]:
    tokenizer = WordPiece(folder / "tokenizer.json")
    for text in texts:
        ids = np.array([tokenizer.encode(text, MAX_TOKENS)], np.int64)
        columns = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        yield {name: columns[name] for name in network.inputs}


def _word_pairs(folder: Path) -> Iterator[list[str]]:
    with (folder / "data/wordsim353.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file, delimiter="\t"):
            if len(row) == 3 and not row[0].startswith("#"):
                yield row


PAIRS: dict[str, Any] = {"metric": "spearman", "output": EMBEDDING, "ignore": -1}
TASK = Task(
    score,
    samples,
    judged=("wordsim_spearman", "lee_spearman"),
    labelled=labelled,
    metrics=(
        PAIRS | {"name": "wordsim_spearman", "labels": "wordsim", "pairs": "consecutive"},
        PAIRS | {"name": "lee_spearman", "labels": "lee", "pairs": "all"},
    ),
)
