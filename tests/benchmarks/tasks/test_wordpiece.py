import json

import pytest

from benchmarks.tasks.wordpiece import WordPiece

VOCABULARY = ["[CLS]", "[SEP]", "[UNK]", "un", "##want", "##ed", "cafe", ",", "-", "run"]


@pytest.fixture
def tokenizer(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"model": {"vocab": {w: i for i, w in enumerate(VOCABULARY)}}}))
    return WordPiece(path)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Unwanted, run", ["un", "##want", "##ed", ",", "run"]),
        ("Café-run", ["cafe", "-", "run"]),
        ("unheard run", ["[UNK]", "run"]),
        ("", []),
    ],
)
def test_splits_words_into_the_longest_known_pieces(tokenizer, text, tokens):
    assert [VOCABULARY[i] for i in tokenizer.encode(text, 99)] == ["[CLS]", *tokens, "[SEP]"]


def test_cuts_long_texts(tokenizer):
    assert len(tokenizer.encode("run " * 50, 10)) == 10
