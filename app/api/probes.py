"""Probes for whoever runs the service, and its front door: no key is asked for."""

from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse
from prometheus_client import CONTENT_TYPE_LATEST

from app.api.dependencies import Context, HttpMetrics
from app.api.schemas import Readiness
from app.services import health

router = APIRouter(tags=["service"])


@router.get("/", include_in_schema=False)
async def show_documentation() -> RedirectResponse:
    """Lead who opens the service's address in a browser to what it can do."""
    return RedirectResponse("/docs")


@router.get("/livez")
async def check_life() -> dict[str, str]:
    """Answer while the process runs."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"model": Readiness, "description": "Not ready"}})
def check_readiness(response: Response, context: Context) -> Readiness:
    """Check database, migrations and storage; jobs are accepted even while the broker is down."""
    found = health.check(context)
    response.status_code = 200 if found.is_ready else 503
    return Readiness(ready=found.is_ready, checks=found.checks, warnings=found.warnings)


@router.get("/metrics", response_class=Response)
def read_metrics(context: Context, metrics: HttpMetrics) -> Response:
    """Read the metrics in Prometheus' text format."""
    counts = health.count_jobs(context)
    text = metrics.render(counts.by_state, counts.oldest_queued_age_seconds)
    return Response(text, media_type=CONTENT_TYPE_LATEST)
