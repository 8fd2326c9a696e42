"""A grid of specs: one spec, and at some places in it several values each.

    {"/passes/0/bits": [8, 4], "/passes/0/block_size": [32, 64]}  makes four specs

Places are JSON pointers (RFC 6901) into the spec. Sizes are checked before anything is multiplied.
"""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from itertools import pairwise, product
from math import prod
from typing import Any

from app.api.documents import MAX_DOCUMENT_BYTES, check_document
from app.errors import FieldError, InvalidRequestError, TooLargeError
from app.tables import JsonObject
from worker.engine.spec import Spec

MAX_SPECS_BYTES = 4 * MAX_DOCUMENT_BYTES
"""What all specs of a grid may take: each repeats what they have in common."""
_LISTED_NAMES = 30
_LISTED_ERRORS = 20

Grid = Mapping[str, Sequence[Any]]


def expand(base: Spec, grid: Grid, max_specs: int) -> list[tuple[Spec, JsonObject]]:
    """Return each spec of the grid and its values, in order: the last place varies fastest.

    Raises:
        InvalidRequestError: there are too many, a place is not in the spec, or a value is wrong.
        TooLargeError: written out, they would take too much room.
    """
    given = base.model_dump(mode="json", exclude_unset=True)
    full = base.model_dump(mode="json")
    check_count(prod(len(values) for values in grid.values()), max_specs, "#/grid")
    _check_room(given, grid)
    places = {path: _place(full, path) for path in grid}
    _check_overlap(places)
    found, problems = [], dict[str, str]()
    for numbers in product(*(range(len(values)) for values in grid.values())):
        chosen = dict(zip(grid, numbers, strict=True))
        values = {path: grid[path][number] for path, number in chosen.items()}
        document = deepcopy(given)
        for path, value in values.items():
            _set(document, full, places[path], value)
        try:
            found.append((check_document(document, Spec), values))
        except InvalidRequestError as error:
            for it in error.errors:
                problems.setdefault(*_located(it, chosen))
        if len(problems) >= _LISTED_ERRORS:
            break
    if problems:
        errors = [FieldError(pointer, detail) for pointer, detail in problems.items()]
        detail = "; ".join(f"{it.pointer[2:]}: {it.detail}" for it in errors[:3])
        raise InvalidRequestError(detail, errors=errors)
    return found


def check_count(count: int, max_specs: int, pointer: str) -> None:
    """Refuse a sweep of too many specs.

    Raises:
        InvalidRequestError: it is one.
    """
    if count > max_specs:
        detail = f"these are {count} specs; a sweep may have {max_specs} at most"
        errors = [FieldError(pointer, detail)]
        raise InvalidRequestError(detail, code="too_many_specs", errors=errors)


def escaped(name: str) -> str:
    """Return a name as one part of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def _check_room(given: JsonObject, grid: Grid) -> None:
    count = prod(len(values) for values in grid.values())
    longest = [max(len(json.dumps(value)) for value in values) for values in grid.values()]
    if count * (len(json.dumps(given)) + sum(longest)) > MAX_SPECS_BYTES:
        raise TooLargeError(
            f"the specs of the grid would take over {MAX_SPECS_BYTES} bytes; shorten the spec or"
            " its values, or ask for fewer at a time"
        )


def _place(spec: JsonObject, path: str) -> list[str]:
    """Return the parts of a pointer to something that the spec has, by default or as given."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]
    node: object = spec
    for depth, part in enumerate(parts):
        below = _children(node)
        if part not in below:
            raise _no_such_place(path, parts[:depth], sorted(below))
        node = below[part]
    return parts


def _children(node: object) -> dict[str, Any]:
    if isinstance(node, list):
        return {str(index): child for index, child in enumerate(node)}
    return node if isinstance(node, dict) else {}


def _no_such_place(path: str, reached: Sequence[str], names: Sequence[str]) -> InvalidRequestError:
    where = "".join(f"/{escaped(part)}" for part in reached)
    listed = ", ".join(names[:_LISTED_NAMES]) or "nothing to vary"
    detail = f"the spec has no such place; below '{where}' there is {listed}"
    return InvalidRequestError(
        f"grid: {path}: {detail}",
        code="unknown_field",
        errors=[FieldError(f"#/grid/{escaped(path)}", detail)],
    )


def _check_overlap(places: Mapping[str, list[str]]) -> None:
    """Refuse a place inside another: which of the two values counts would be a guess."""
    for (outer, parts), (inner, deeper) in pairwise(sorted(places.items(), key=lambda it: it[1])):
        if deeper[: len(parts)] == parts:
            detail = f"it lies within {outer}, which the grid varies too; vary one of them"
            errors = [FieldError(f"#/grid/{escaped(inner)}", detail)]
            raise InvalidRequestError(f"grid: {inner}: {detail}", errors=errors)


def _set(document: JsonObject, full: JsonObject, place: Sequence[str], value: object) -> None:
    """Set a value in a spec as it was given, with the defaults on the way there written out.

    Other defaults stay out of it: the options of one method are unknown to another.
    """
    *parents, last = place
    node: Any = document
    default: Any = full
    for part in parents:
        default = _children(default)[part]
        if isinstance(node, dict):
            node.setdefault(part, deepcopy(default))
        node = node[int(part)] if isinstance(node, list) else node[part]
    node[int(last) if isinstance(node, list) else last] = value


def _located(error: FieldError, chosen: Mapping[str, int]) -> tuple[str, str]:
    """Return where in the request an error is, and what: at a value, or where several meet."""
    inside = error.pointer.removeprefix("#")
    for path, number in chosen.items():
        if f"{inside}/".startswith(f"{path}/"):
            return f"#/grid/{escaped(path)}/{number}{inside.removeprefix(path)}", error.detail
    values = ", ".join(f"{path}/{number}" for path, number in chosen.items())
    return f"#/spec{inside}", f"with {values} of the grid: {error.detail}"
