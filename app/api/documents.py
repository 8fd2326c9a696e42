"""JSON and YAML documents from outside: parsed without surprises, checked against a model."""

import json
import math
import re
from collections.abc import Iterator
from functools import cache, reduce
from typing import Any, NoReturn, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from app.errors import BadRequestError, FieldError, InvalidRequestError, TooLargeError
from app.tables import JsonObject

MAX_DOCUMENT_BYTES = 2**20
MAX_YAML_BYTES = 2**16
"""YAML takes a hundred times as long to read as JSON."""
MAX_DEPTH = 32
MAX_INTEGER_BITS = 64
_LISTED_ERRORS = 20
_UNSTORABLE = re.compile("[\\x00\\ud800-\\udfff]")

# libyaml's loader where the wheel has it: pure Python takes seconds on a full-size document
_YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Body = TypeVar("Body", bound=BaseModel)


def parse_json(text: bytes, field: str = "") -> object:
    """Return the document of some JSON text; `field` is the form field it came in, for messages.

    Raises:
        BadRequestError: it is not JSON, has a key twice, or a number that JSON does not know.
        InvalidRequestError: it has a value that cannot be stored.
        TooLargeError: it is over a mebibyte.
    """
    _check_size(text, "JSON", MAX_DOCUMENT_BYTES, field)
    try:
        document: object = json.loads(
            text, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys
        )
    except (ValueError, RecursionError) as error:
        raise _malformed(f"is not valid JSON: {error}", "invalid_json", field) from error
    _check_values(document, field)
    return document


def parse_yaml(text: bytes, field: str = "") -> object:
    """Return the document of some YAML text, which may hold what JSON can, no aliases and no tags.

    `field` is the form field it came in, for messages.

    Raises:
        BadRequestError: it is not such YAML, or has a key twice.
        InvalidRequestError: it has a value that cannot be stored.
        TooLargeError: it is over 64 KiB.
    """
    _check_size(text, "YAML", MAX_YAML_BYTES, field)
    try:
        _check_yaml_events(text)
        _check_yaml_keys(yaml.compose(text, Loader=_YAML_LOADER))
        document: object = yaml.load(text, Loader=_YAML_LOADER)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise _malformed(f"is not valid YAML: {error}", "invalid_yaml", field) from error
    _check_values(document, field)
    return document


def parse_text(text: bytes, field: str) -> object:
    """Return the document of a form field: JSON where it starts like an object, else YAML."""
    parse = parse_json if text.lstrip().startswith(b"{") else parse_yaml
    return parse(text, field)


def parse_transform(text: bytes | None, field: str) -> JsonObject | None:
    """Return an image transform as an object, whose fields the engine will check."""
    if text is None:
        return None
    document = parse_text(text, field)
    if not isinstance(document, dict):
        problem = 'a transform is an object, such as {"size": [224, 224]}'
        raise InvalidRequestError(problem, errors=[FieldError(f"#/{field}", problem)])
    return document


def check_document(document: object, body: type[Body]) -> Body:
    """Return the document as the model.

    Raises:
        InvalidRequestError: naming each wrong field by JSON pointer, and for an unknown one the
            fields there are.
    """
    try:
        return body.model_validate(document)
    except ValidationError as error:
        schema = _schema_of(body)
        problems = [_field_error(schema, item) for item in error.errors()[:_LISTED_ERRORS]]
        detail = "; ".join(f"{it.pointer[2:] or 'body'}: {it.detail}" for it in problems[:3])
        raise InvalidRequestError(detail, errors=problems) from error


@cache
def _schema_of(body: type[BaseModel]) -> dict[str, Any]:
    """Return a model's JSON Schema, which takes longer to make than a document to check."""
    return body.model_json_schema()


def _check_size(text: bytes, language: str, max_bytes: int, field: str) -> None:
    if len(text) > max_bytes:
        problem = f"a {language} document may have {max_bytes} bytes at most"
        raise TooLargeError(problem, errors=_errors_at(field, problem))


def _malformed(problem: str, code: str, field: str) -> BadRequestError:
    """Return the error of a whole document, the body's or a form field's."""
    whole = f"the form field {field!r}" if field else "the body"
    return BadRequestError(f"{whole} {problem}", code=code, errors=_errors_at(field, problem))


def _errors_at(field: str, problem: str) -> list[FieldError]:
    return [FieldError(f"#/{field}", problem)] if field else []


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("an object has the same key twice")
    return document


def _check_yaml_events(text: bytes) -> None:
    """Refuse aliases, which can expand without bounds, tags and deep nesting, before loading."""
    depth = 0
    for event in yaml.parse(text, Loader=_YAML_LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("aliases (`*name`) are not accepted; write the value out")  # noqa: TRY004
        if getattr(event, "tag", None) is not None:
            raise ValueError("tags (`!name`) are not accepted; write plain values")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} deep")


def _check_yaml_keys(node: yaml.Node | None) -> None:
    """Refuse a mapping that has a key twice: the loader would drop one of its values."""
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) < len(keys):
            raise ValueError("a mapping has the same key twice")
        for _, value in node.value:
            _check_yaml_keys(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_yaml_keys(item)


def _check_values(document: object, field: str) -> None:
    """Refuse what JSON cannot say, no database can store or nobody means, and deep nesting."""
    level = [(f"/{field}" if field else "", document)]
    for _ in range(MAX_DEPTH):
        level = [child for pointer, value in level for child in _checked_children(pointer, value)]
        if not level:
            return
    raise _malformed(f"is nested more than {MAX_DEPTH} deep", "invalid_value", field)


def _checked_children(pointer: str, value: object) -> list[tuple[str, object]]:
    match value:
        case dict():
            for key in value:
                _check_scalar(pointer, key)
            return [(_below(pointer, str(key)), child) for key, child in value.items()]
        case list():
            return [(f"{pointer}/{index}", child) for index, child in enumerate(value)]
    _check_scalar(pointer, value)
    return []


def _check_scalar(pointer: str, value: object) -> None:
    match value:
        case str() if _UNSTORABLE.search(value):
            problem = "text may not hold NUL or half a surrogate pair"
        case float() if not math.isfinite(value):
            problem = f"{value} is not a finite number"
        case int() if value.bit_length() > MAX_INTEGER_BITS:
            problem = f"a whole number may have {MAX_INTEGER_BITS} bits at most"
        case None | bool() | int() | float() | str():
            return
        case _:
            problem = f"{value!r} is no JSON value; put it in quotes"
    detail = f"{pointer[1:] or 'body'}: {problem}"
    errors = [FieldError(f"#{pointer or '/'}", problem)]
    raise InvalidRequestError(detail, code="invalid_value", errors=errors)


def _below(pointer: str, key: str) -> str:
    return f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"


def _field_error(schema: dict[str, Any], item: Any) -> FieldError:  # noqa: ANN401 - ErrorDetails
    """Return a validation error with its pointer into the document, without pydantic's tags."""
    location = item["loc"]
    is_unknown = item["type"] == "extra_forbidden"
    places, path = _follow(schema, location[:-1] if is_unknown else location)
    detail = item["msg"].removeprefix("Value error, ")
    if is_unknown:
        path = [*path, str(location[-1])]
        known = sorted({name for place in places for name in place.get("properties", {})})
        detail = f"unknown field; the known ones are {', '.join(known)}"
    pointer = reduce(_below, path, "")
    return FieldError(f"#{pointer or '/'}", detail)


def _follow(
    root: dict[str, Any], location: tuple[int | str, ...]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Walk pydantic's error location down the JSON Schema; return the schemas there and the path.

    A location names union members too, which are no part of the document.
    """
    places, path = list(_members(root, root)), []
    for part in location:
        tagged = [each["discriminator"]["mapping"][part] for each in places if _has_tag(each, part)]
        below = [found for each in places for found in _children(each, part)]
        if tagged:
            below = [{"$ref": reference} for reference in tagged]
        elif below:
            path.append(str(part))
        else:
            continue  # the member of a union that a function or a type tells apart
        places = [member for each in below for member in _members(root, each)]
    return places, path


def _has_tag(place: dict[str, Any], part: int | str) -> bool:
    return part in place.get("discriminator", {}).get("mapping", {})


def _children(place: dict[str, Any], part: int | str) -> list[dict[str, Any]]:
    """Return the schema of an item or a field, none where there cannot be such a one."""
    if isinstance(part, int):
        return [place["items"]] if "items" in place else []
    if part in place.get("properties", {}):
        return [place["properties"][part]]
    others = [*place.get("patternProperties", {}).values(), place.get("additionalProperties")]
    return [{} if found is True else found for found in others if found]


def _members(root: dict[str, Any], node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what a schema may stand for: its reference, and all members of a union."""
    if "$ref" in node:
        node = root["$defs"][node["$ref"].removeprefix("#/$defs/")]
    if "discriminator" in node:
        yield node
        return
    union = [*node.get("anyOf", []), *node.get("oneOf", [])]
    for option in union:
        yield from _members(root, option)
    if not union:
        yield node
