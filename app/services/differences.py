"""Where several specs are unlike: what a table of their results shows of each."""

from collections.abc import Iterator, Sequence

from app.tables import JsonObject


def differences(documents: Sequence[JsonObject]) -> list[JsonObject]:
    """Return for each document the values, by JSON pointer, that not all of them share.

    A list of plain values counts as one value; what a document does not have, it does not list.
    """
    flat = [dict(_leaves("", document)) for document in documents]
    shared = {
        pointer
        for pointer, value in (flat[0].items() if flat else ())
        if all(pointer in other and _is_same(other[pointer], value) for other in flat)
    }
    return [
        {pointer: value for pointer, value in leaves.items() if pointer not in shared}
        for leaves in flat
    ]


def _leaves(pointer: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and value:
        for key, child in value.items():
            escaped = key.replace("~", "~0").replace("/", "~1")
            yield from _leaves(f"{pointer}/{escaped}", child)
    elif isinstance(value, list) and any(isinstance(child, dict | list) for child in value):
        for index, child in enumerate(value):
            yield from _leaves(f"{pointer}/{index}", child)
    else:
        yield pointer, value


def _is_same(one: object, other: object) -> bool:
    """Whether two JSON values are equal; to Python, true is 1."""
    return type(one) is type(other) and one == other
