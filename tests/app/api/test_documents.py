from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from app.api.documents import (
    MAX_DEPTH,
    check_document,
    parse_json,
    parse_text,
    parse_transform,
    parse_yaml,
)
from app.errors import BadRequestError, InvalidRequestError


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Cat(Part):
    kind: Literal["cat"]
    lives: Annotated[int, Field(le=9)] = 9


class Dog(Part):
    kind: Literal["dog"]


class Zoo(Part):
    animals: list[Annotated[Cat | Dog, Field(discriminator="kind")]]
    favourite: Cat | None = None
    names: dict[str, int] = {}


def nested(depth):
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize("parse", [parse_json, parse_yaml])
def test_takes_nesting_up_to_its_bound(parse):
    assert parse(nested(MAX_DEPTH)) is not None

    with pytest.raises(BadRequestError, match=f"nested more than {MAX_DEPTH} deep"):
        parse(nested(MAX_DEPTH + 1))


def test_tells_json_from_yaml_in_a_text():
    assert parse_text(b' {"a": 1}') == {"a": 1}
    assert parse_text(b"a: 1") == {"a": 1}


def test_refuses_aliases_in_yaml():
    with pytest.raises(BadRequestError, match="aliases"):
        parse_yaml(b"a: &x [1]\nb: *x")


def test_a_transform_is_an_object_or_nothing():
    assert parse_transform(None) is None
    assert parse_transform(b"size: [4, 4]") == {"size": [4, 4]}
    with pytest.raises(InvalidRequestError):
        parse_transform(b"3")


@pytest.mark.parametrize(
    ("document", "pointer", "words"),
    [
        ({"animals": [{"kind": "cat", "lives": 10}]}, "#/animals/0/lives", "less than or equal"),
        (
            {"animals": [{"kind": "dog", "lives": 1}]},
            "#/animals/0/lives",
            "unknown field; the known ones are kind",
        ),
        ({"animals": [], "favourite": {"kind": "cat", "x": 1}}, "#/favourite/x", "kind, lives"),
        ({"animals": [], "a/b~c": 1}, "#/a~1b~0c", "animals, favourite, names"),
        ({"animals": [], "names": {"x": "y"}}, "#/names/x", "integer"),
        ([], "#/", "dictionary"),
    ],
)
def test_points_at_the_wrong_place(document, pointer, words):
    with pytest.raises(InvalidRequestError) as caught:
        check_document(document, Zoo)

    (error,) = caught.value.errors
    assert error.pointer == pointer
    assert words in error.detail
