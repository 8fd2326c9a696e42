"""The options of all methods are part of the API: a change must show in `schema.json`."""

import json
from pathlib import Path

from pydantic import TypeAdapter

from worker.engine.passes import AnyPass

SNAPSHOT = Path(__file__).with_name("schema.json")


def current_schema() -> str:
    return json.dumps(TypeAdapter(AnyPass).json_schema(), indent=1, sort_keys=True) + "\n"


def test_schema_is_the_one_that_was_agreed_on():
    assert current_schema() == SNAPSHOT.read_text(), (
        "the options changed; if they should, run python -m tests.worker.engine.passes.test_schema"
    )


def test_every_option_has_a_description():
    definitions = TypeAdapter(AnyPass).json_schema()["$defs"]

    missing = [
        f"{name}.{option}"
        for name, definition in definitions.items()
        for option, schema in definition["properties"].items()
        if option != "method" and "description" not in schema
    ]
    assert not missing


if __name__ == "__main__":
    SNAPSHOT.write_text(current_schema())
