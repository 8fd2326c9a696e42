"""The compression methods, as the engine describes them."""

import inspect
from dataclasses import dataclass
from functools import cache

from app.tables import JsonObject
from worker.engine.passes import PASS_TYPES
from worker.engine.passes.base import Pass


@dataclass(frozen=True)
class Method:
    """A method's tag, what it does, and the JSON Schema of its options."""

    name: str
    description: str
    options_schema: JsonObject


@cache
def list() -> tuple[Method, ...]:  # noqa: A001 - the common verb, always called as `methods.list`
    """Return every method of the union, in its order."""
    return tuple(_describe(it) for it in PASS_TYPES)


def _describe(method: type[Pass]) -> Method:
    schema = method.model_json_schema()
    name: str = schema["properties"]["method"]["const"]
    return Method(name, inspect.cleandoc(method.__doc__ or ""), schema)
