from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from app.api.documents import (
    MAX_DEPTH,
    MAX_DOCUMENT_BYTES,
    MAX_YAML_BYTES,
    check_document,
    parse_json,
    parse_text,
    parse_transform,
    parse_yaml,
)
from app.errors import AppError, BadRequestError, InvalidRequestError, TooLargeError


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Cat(Part):
    kind: Literal["cat"]
    lives: Annotated[int, Field(le=9)] = 9


class Dog(Part):
    kind: Literal["dog"]


def form(value: object) -> str:
    return "name" if isinstance(value, str) else "whole"


Animal = Annotated[Cat | Dog, Field(discriminator="kind")]
Guest = Annotated[
    Annotated[Literal["cat", "dog"], Tag("name")] | Annotated[Animal, Tag("whole")],
    Discriminator(form),
]


class Zoo(Part):
    animals: list[Animal]
    favourite: Cat | None = None
    guests: list[Guest] | None = None
    names: dict[str, int] = {}
    seats: int | list[int] = 0


def nested(depth):
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize("parse", [parse_json, parse_yaml])
def test_takes_nesting_up_to_its_bound(parse):
    assert parse(nested(MAX_DEPTH)) is not None

    with pytest.raises(BadRequestError, match=f"nested more than {MAX_DEPTH} deep"):
        parse(nested(MAX_DEPTH + 1))


def test_tells_json_from_yaml_in_a_text():
    assert parse_text(b' {"a": 1}', "spec") == {"a": 1}
    assert parse_text(b"a: 1", "spec") == {"a": 1}


@pytest.mark.parametrize(
    ("text", "pointer", "detail"),
    [
        (b"{", "#/spec", "the form field 'spec' is not valid JSON"),
        (b"a: [", "#/spec", "the form field 'spec' is not valid YAML"),
        (nested(MAX_DEPTH + 1), "#/spec", "the form field 'spec' is not valid YAML"),
        (b'{"a": ["\\u0000"]}', "#/spec/a/0", "spec/a/0: text may not hold NUL"),
        (b"a: .inf", "#/spec/a", "spec/a: inf is not a finite number"),
        (b"1" + b" " * MAX_YAML_BYTES, "#/spec", "a YAML document may have 65536 bytes"),
    ],
)
def test_points_into_the_form_field_that_a_text_came_in(text, pointer, detail):
    with pytest.raises(AppError) as caught:
        parse_text(text, "spec")

    (error,) = caught.value.errors
    assert error.pointer == pointer
    assert caught.value.detail.startswith(detail)


def test_refuses_aliases_in_yaml():
    with pytest.raises(BadRequestError, match="aliases"):
        parse_yaml(b"a: &x [1]\nb: *x")


@pytest.mark.parametrize(
    "text", [b'!!timestamp "x"', b'!!bool "x"', b'a: !!int ""', b"a: !!python/name:os.system"]
)
def test_refuses_tags_in_yaml(text):
    with pytest.raises(BadRequestError, match="tags"):
        parse_yaml(text)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_json, b'{"a": 1, "a": 2}'),
        (parse_yaml, b"a: 1\na: 2"),
        (parse_yaml, b"b: [{a: 1, a: 2}]"),
    ],
)
def test_refuses_a_key_that_comes_twice(parse, text):
    with pytest.raises(BadRequestError, match="same key twice"):
        parse(text)


@pytest.mark.parametrize(
    ("parse", "text", "pointer", "words"),
    [
        (parse_json, b'{"a": ["\\u0000"]}', "#/a/0", "NUL"),
        (parse_json, b'{"a": {"\\ud800": 1}}', "#/a", "surrogate"),
        (parse_json, b"1e999", "#/", "finite"),
        (parse_json, b'{"a/b": 18446744073709551616}', "#/a~1b", "64 bits"),
        (parse_yaml, b'a: "\\0"', "#/a", "NUL"),
        (parse_yaml, b"a: .nan", "#/a", "finite"),
        (parse_yaml, b"a: 2001-01-01", "#/a", "put it in quotes"),
        (parse_yaml, b"a: 0x" + b"f" * 5000, "#/a", "64 bits"),
    ],
)
def test_refuses_a_value_that_cannot_be_stored(parse, text, pointer, words):
    with pytest.raises(InvalidRequestError, match=words) as caught:
        parse(text)

    assert caught.value.code == "invalid_value"
    assert caught.value.errors[0].pointer == pointer


@pytest.mark.parametrize(
    ("parse", "max_bytes"), [(parse_json, MAX_DOCUMENT_BYTES), (parse_yaml, MAX_YAML_BYTES)]
)
def test_refuses_a_document_that_takes_too_long_to_read(parse, max_bytes):
    parse(b"1" + b" " * (max_bytes - 1))

    with pytest.raises(TooLargeError, match=str(max_bytes)):
        parse(b"1" + b" " * max_bytes)


def test_a_transform_is_an_object_or_nothing():
    assert parse_transform(None, "transform") is None
    assert parse_transform(b"size: [4, 4]", "transform") == {"size": [4, 4]}
    with pytest.raises(InvalidRequestError) as caught:
        parse_transform(b"3", "transform")
    assert caught.value.errors[0].pointer == "#/transform"


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
        ({"animals": [], "a/b~c": 1}, "#/a~1b~0c", "animals, favourite, guests"),
        ({"animals": [], "names": {"x": "y"}}, "#/names/x", "integer"),
        ([], "#/", "dictionary"),
        ({"animals": [], "guests": ["cow"]}, "#/guests/0", "'cat' or 'dog'"),
        ({"animals": [], "guests": [{"kind": "cow"}]}, "#/guests/0", "'cow'"),
        (
            {"animals": [], "guests": [{"kind": "cat", "lives": 10}]},
            "#/guests/0/lives",
            "less than or equal",
        ),
        ({"animals": [], "guests": [{"kind": "dog", "x": 1}]}, "#/guests/0/x", "ones are kind"),
    ],
)
def test_points_at_the_wrong_place(document, pointer, words):
    with pytest.raises(InvalidRequestError) as caught:
        check_document(document, Zoo)

    (error,) = caught.value.errors
    assert error.pointer == pointer
    assert words in error.detail


def test_points_at_a_value_that_no_member_of_a_union_takes():
    with pytest.raises(InvalidRequestError) as caught:
        check_document({"animals": [], "seats": ["x"]}, Zoo)

    assert [error.pointer for error in caught.value.errors] == ["#/seats", "#/seats/0"]
