"""What the service offers: its compression methods, its documents' schemas and its limits."""

from fastapi import APIRouter

from app.api.dependencies import Context, Reader
from app.api.problems import responses
from app.api.schemas import Limits, Method
from app.services import methods, schemas
from app.services.schemas import DocumentName
from app.tables import JsonObject

router = APIRouter(prefix="/v1", tags=["service"], responses=responses(401, 403))


@router.get("/methods")
def list_methods(_caller: Reader) -> list[Method]:
    """List the compression methods, each with the JSON Schema of its options."""
    return [
        Method(name=it.name, description=it.description, options_schema=it.options_schema)
        for it in methods.list()
    ]


@router.get("/schemas/{name}")
def read_schema(name: DocumentName, _caller: Reader) -> JsonObject:
    """Read the JSON Schema of a spec or a report."""
    return schemas.schema(name)


@router.get("/limits")
def read_limits(_caller: Reader, context: Context) -> Limits:
    """Read the limits in force."""
    return Limits.model_validate(context.settings.model_dump(include=set(Limits.model_fields)))
