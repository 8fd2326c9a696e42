"""What endpoints ask for, as annotated aliases."""

from typing import Annotated

from fastapi import Depends, Path, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field

from app.metrics import Metrics
from app.services import keys
from app.services.context import ServiceContext
from app.services.keys import Caller

_bearer = HTTPBearer(auto_error=False, description="An API key: `onnxpress_<id>.<secret>`")

PLAIN_ID = r"^[a-z]+_[a-z0-9]+$"


async def get_context(request: Request) -> ServiceContext:
    """Return what the lifespan made."""
    context: ServiceContext = request.app.state.context
    return context


async def get_metrics(request: Request) -> Metrics:
    """Return the process' metrics."""
    metrics: Metrics = request.app.state.metrics
    return metrics


Context = Annotated[ServiceContext, Depends(get_context)]
HttpMetrics = Annotated[Metrics, Depends(get_metrics)]


def get_reader(
    context: Context,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Caller:
    """Return the caller, who may read."""
    return keys.authorize(context, credentials.credentials if credentials else None, "read")


def get_writer(
    context: Context,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Caller:
    """Return the caller, who may write."""
    return keys.authorize(context, credentials.credentials if credentials else None, "write")


Reader = Annotated[Caller, Depends(get_reader)]
Writer = Annotated[Caller, Depends(get_writer)]

Identifier = Annotated[str, Path(max_length=64, pattern=PLAIN_ID)]


class PageQuery(BaseModel):
    """Which page of a list; unknown parameters are refused."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    cursor: Annotated[str | None, Field(max_length=64, pattern=PLAIN_ID)] = None
    """`next_cursor` of the page before."""
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    """Items on the page, at most; where they are long, there are fewer."""
