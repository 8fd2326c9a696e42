"""BERT's uncased tokenizer, for texts without Chinese characters (Devlin et al. 2019).

Lower case without accents, split at blanks and around punctuation, then each word into the longest
known pieces, of which all but the first begin with `##`.
"""

import json
import unicodedata
from itertools import groupby
from pathlib import Path

LONGEST_WORD = 100
ASCII_PUNCTUATION = set("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


class WordPiece:
    """The tokenizer of a `tokenizer.json`."""

    def __init__(self, path: Path) -> None:
        self._ids: dict[str, int] = json.loads(path.read_text(encoding="utf-8"))["model"]["vocab"]

    def encode(self, text: str, max_tokens: int) -> list[int]:
        """Return the ids of a text between those of `[CLS]` and `[SEP]`, cut to a length."""
        pieces = [piece for word in _words(text) for piece in self._pieces(word)]
        tokens = ["[CLS]", *pieces[: max_tokens - 2], "[SEP]"]
        return [self._ids[token] for token in tokens]

    def _pieces(self, word: str) -> list[str]:
        """Return a word's pieces, `[UNK]` where a part of it is not known."""
        pieces: list[str] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            ends = range(len(word), start, -1)
            end = next((end for end in ends if prefix + word[start:end] in self._ids), None)
            if end is None or len(word) > LONGEST_WORD:
                return ["[UNK]"]
            pieces.append(prefix + word[start:end])
            start = end
        return pieces


def _words(text: str) -> list[str]:
    """Return lower-case words and, each by itself, signs of punctuation."""
    plain = unicodedata.normalize("NFD", text.lower())
    letters = [
        " " if sign.isspace() else sign
        for sign in plain
        if sign.isspace() or unicodedata.category(sign) not in {"Mn", "Cc", "Cf"}
    ]
    words = []
    for word in "".join(letters).split():
        for is_punctuation, group in groupby(word, key=_is_punctuation):
            signs = "".join(group)
            words += list(signs) if is_punctuation else [signs]
    return words


def _is_punctuation(sign: str) -> bool:
    return sign in ASCII_PUNCTUATION or unicodedata.category(sign).startswith("P")
