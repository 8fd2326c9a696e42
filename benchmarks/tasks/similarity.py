"""Whether texts and words lie as near each other as people say."""

import csv
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.tasks.base import Array, Feeds, Network, Scores, Task
from benchmarks.tasks.material import manual_paragraphs, news
from benchmarks.tasks.metrics import spearman
from benchmarks.tasks.wordpiece import WordPiece

MAX_TOKENS = 128
EMBEDDING = "sentence_embedding"


def score(network: Network, folder: Path) -> Scores:
    """Return Spearman's correlation with people's judgement of documents and of word pairs."""
    embed = _embedder(network, folder)
    documents = embed(news(folder).strip().splitlines())
    human = np.loadtxt(folder / "data/lee_similarity.txt")
    is_full = not np.allclose(np.tril(human, -1), 0)
    above_diagonal = np.triu_indices(len(documents), 1)
    judged = ((human + human.T) / 2 if is_full else human)[above_diagonal]
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


TASK = Task(score, samples, judged=("wordsim_spearman", "lee_spearman"))
