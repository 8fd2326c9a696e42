"""The JSON Schemas of what goes in and comes out as a document, for users' own tools."""

from typing import Literal

from pydantic import BaseModel

from app.tables import JsonObject
from worker.engine.report.report import Report
from worker.engine.spec import Spec

DocumentName = Literal["spec", "report"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
VERSION = 1
"""Of both documents: `version` of a spec, `schema_version` of a report."""
_DOCUMENTS: dict[DocumentName, type[BaseModel]] = {"spec": Spec, "report": Report}


def schema(name: DocumentName) -> JsonObject:
    """Return a document's JSON Schema: of a spec as it may be sent, of a report as it is given."""
    mode: Literal["validation", "serialization"] = (
        "validation" if name == "spec" else "serialization"
    )
    content = _DOCUMENTS[name].model_json_schema(mode=mode)
    return {"$schema": DIALECT, "$id": f"urn:onnxpress:{name}:{VERSION}", **content}
