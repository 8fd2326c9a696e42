"""The HTTP API: `uvicorn app.main:create_app --factory`, with settings from the environment."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from importlib.metadata import version

from anyio import CapacityLimiter
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline

from app.api import datasets, discovery, events, jobs, models, openapi, probes, results, sweeps
from app.api.middleware import ObservingMiddleware
from app.api.problems import install_problem_handlers
from app.api.sharing import SharedCalls
from app.db import create_session_factory
from app.errors import StorageError
from app.logs import configure_logging
from app.metrics import Metrics
from app.queue import Queue
from app.services.context import ServiceContext
from app.settings import Settings
from app.storage import Storage
from worker.sandbox.process import Sandbox


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the application; what it opens, it opens when it starts serving."""
    settings = settings or Settings()
    configure_logging(settings.log_format, settings.log_level)
    app = FastAPIOffline(
        title="onnxpress",
        version=version("onnxpress"),
        lifespan=partial(_lifespan, settings=settings),
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.metrics = Metrics()
    app.state.validation_limiter = CapacityLimiter(settings.validation_concurrency)
    app.state.preflight_calls = SharedCalls(app.state.validation_limiter)
    app.add_middleware(ObservingMiddleware, metrics=app.state.metrics)
    install_problem_handlers(app)
    parts = (models, datasets, jobs, events, sweeps, results, discovery, probes)
    routers = [part.router for part in parts]
    for router in routers:
        app.include_router(router)
    app.state.api_routes = [
        route for router in routers for route in router.routes if isinstance(route, APIRoute)
    ]
    # FastAPI documents this assignment as the way to extend its own document.
    app.openapi = partial(openapi.describe, app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI, settings: Settings) -> AsyncIterator[None]:
    """Open what the services work with, and close it in reverse order."""
    session_factory = create_session_factory(settings.resolved_database_url)
    storage = Storage(settings)
    with suppress(StorageError):  # `/readyz` tells of a storage that does not work
        storage.clean_spool()  # the reaper does so where a worker is, which may be another host
    with Sandbox(spares=1) as sandbox:
        app.state.context = ServiceContext(
            settings=settings,
            session_factory=session_factory,
            storage=storage,
            queue=Queue(settings),
            sandbox=sandbox,
        )
        yield
    session_factory.kw["bind"].dispose()
