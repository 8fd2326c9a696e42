"""Pieces of Markdown, in which nothing that comes from a model is markup."""

from collections.abc import Iterable, Sequence

from worker.engine.report.numbers import short

ABSENT = "-"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; its cells are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float | None) -> str:
    """Return a number in short."""
    return ABSENT if value is None else short(value)


def code(name: str) -> str:
    """Return a name from a model as code that cannot leave its table cell."""
    clean = name.replace("`", "'").replace("|", "\\|").replace("\n", " ")
    return f"`{clean}`" if clean else ABSENT


def escaped(text: str) -> str:
    """Return a text with what Markdown and HTML would read as markup made harmless."""
    for character in "\\`*_[]<>|":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())
