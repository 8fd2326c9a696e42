"""The `onnxpress` command: the whole service, or one of its parts."""

import os
import socket
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
import uvicorn
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from app.broker import BrokerError
from app.connections import ImpatientProtocol
from app.db import SessionFactory, create_session_factory
from app.demo import run_demo
from app.embedded import (
    READY,
    SetupError,
    browsable_url,
    claimed_data_folder,
    listen,
    require_a_key,
    require_keys_where_public,
    write_holder,
)
from app.errors import AppError
from app.logs import configure_logging
from app.migrations import migrate as migrate_database
from app.parts import PartError
from app.processes import allow_many_connections
from app.queue import celery_settings
from app.repositories import keys as key_rows
from app.reproduction import Ingredients, ReproductionError, read_recipe, reproduce
from app.services import keys as key_service
from app.settings import Settings
from app.supervisor import CELERY, WORKER, WORKER_ENVIRONMENT, Supervisor
from client.errors import ClientError
from worker.engine.errors import EngineError
from worker.sandbox.errors import ChildFailedError

EXPECTED_ERRORS = (
    AppError,
    BrokerError,
    ChildFailedError,
    ClientError,
    EngineError,
    OSError,
    PartError,
    ReproductionError,
    SetupError,
)
GRACEFUL_SHUTDOWN_SECONDS = 5

commands = typer.Typer(
    help="Make ONNX models smaller and faster, and prove it. ONNXPRESS_* variables configure it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
keys = typer.Typer(help="Create, list and revoke API keys.", no_args_is_help=True)
commands.add_typer(keys, name="keys")

Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder of everything the service keeps; ./onnxpress-data by default."),
]
Dataset = Annotated[
    Path | None,
    typer.Option(help="The dataset of that name, if the job had one.", exists=True, dir_okay=False),
]


@commands.command()
def up(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    data_dir: DataDir = None,
    verbose: Annotated[bool, typer.Option(help="Show the logs of all parts.")] = False,
) -> None:
    """Run the whole service (broker, worker and API) until Ctrl-C."""
    settings = load_settings(data_dir)
    require_keys_where_public(host, settings)
    with claimed_data_folder(settings.data_dir) as lock, listen(host, port) as listener:
        url = browsable_url(listener)
        write_holder(lock, url)
        migrate_database(settings.resolved_database_url)
        require_a_key(host, settings)
        Supervisor(settings, listener, echo=verbose).run(lambda: _announce(url, settings))


@commands.command()
def demo(
    output: Annotated[
        Path, typer.Option(help="Where the compressed model goes.", dir_okay=False)
    ] = Path("digits-int8.onnx"),
) -> None:
    """Compress a real trained model through the whole service, in a temporary folder."""
    if not run_demo(output, Console()):
        raise typer.Exit(1)


@commands.command("reproduce")
def reproduce_artifact(
    report: Annotated[Path, typer.Argument(help="The job's report as JSON.", dir_okay=False)],
    model: Annotated[Path, typer.Option(help="The uploaded model.", exists=True, dir_okay=False)],
    calibration: Dataset = None,
    evaluation: Dataset = None,
    output: Annotated[Path, typer.Option(help="Where the artifact goes.", dir_okay=False)] = Path(
        "reproduced.onnx"
    ),
) -> None:
    """Make a job's artifact again from its report and files, and compare the SHA-256."""
    recipe = read_recipe(report)
    files = Ingredients(model, calibration, evaluation)
    settings = load_settings(None)
    configure_logging(settings.log_format, settings.log_level)
    made = reproduce(recipe, files, output, settings)
    for difference in made.differences:
        typer.echo(f"note: {difference}")
    if not made.is_equal:
        _fail(f"{output} has SHA-256 {made.sha256}, not the report's {recipe.artifact_sha256}")
    typer.echo(f"{output} is the artifact of the report, byte for byte: SHA-256 {made.sha256}")


@commands.command()
def migrate(data_dir: DataDir = None) -> None:
    """Bring the database to this version's tables."""
    migrate_database(load_settings(data_dir).resolved_database_url)


@commands.command()
def api(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    descriptor: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run the HTTP API alone."""
    if descriptor is None:
        require_keys_where_public(host, load_settings(None))
    listener = listen(host, port) if descriptor is None else socket.socket(fileno=descriptor)
    config = uvicorn.Config(
        "app.main:create_app",
        factory=True,
        http=ImpatientProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_SECONDS,
    )
    allow_many_connections()
    with listener:
        uvicorn.Server(config).run(sockets=[listener])


@commands.command()
def worker(
    check: Annotated[bool, typer.Option(help="Ask this host's worker whether it is well.")] = False,
) -> None:
    """Run a worker alone; it takes jobs until it is stopped."""
    celery_settings(load_settings(None))  # says what is missing better than Celery does
    command = WORKER
    if check:
        name = f"celery@{socket.gethostname()}"
        command = [*CELERY, "-A", "worker.main", "inspect", "ping", "-t", "10", "-d", name]
    os.execve(command[0], command, os.environ | WORKER_ENVIRONMENT)  # noqa: S606 - ours


@commands.command()
def version() -> None:
    """Print the version."""
    typer.echo(installed_version("onnxpress"))


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Option(help="What the key is for.")],
    workspace: Annotated[str, typer.Option(help="Whose models and jobs it sees.")] = "default",
    read_only: Annotated[bool, typer.Option(help="Without the right to change anything.")] = False,
    days: Annotated[float | None, typer.Option(min=0, help="Days until it expires.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Create an API key and print it, this once."""
    _, key = key_service.create(
        open_database(data_dir),
        name,
        workspace=workspace,
        scopes=["read"] if read_only else key_service.SCOPES,
        expires_at=None if days is None else datetime.now(UTC) + timedelta(days=days),
    )
    typer.echo(key)


@keys.command("list")
def list_keys(data_dir: DataDir = None) -> None:
    """List the API keys; the keys themselves are not kept."""
    table = Table("id", "name", "workspace", "scopes", "created", "expires", "last used", "revoked")
    with open_database(data_dir)() as session:
        for row in key_rows.list(session):
            times = (row.created_at, row.expires_at, row.last_used_at, row.revoked_at)
            figures = ("" if time is None else f"{time:%Y-%m-%d %H:%M}" for time in times)
            table.add_row(row.id, row.name, row.workspace, row.scopes, *figures)
    Console().print(table)


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="Its id, as `onnxpress keys list` shows it.")],
    data_dir: DataDir = None,
) -> None:
    """Revoke an API key for good."""
    with open_database(data_dir).begin() as session:
        key_rows.revoke(session, key_id)


def main() -> None:
    """Run the command line; an expected failure is one line and exit status 1 or 2."""
    try:
        commands()
    except EXPECTED_ERRORS as error:
        _fail(str(error))
    except SQLAlchemyError as error:
        cause = str(error.orig if isinstance(error, DBAPIError) else error).splitlines()[0]
        _fail(f"the database cannot be used: {cause}")


def load_settings(data_dir: Path | None) -> Settings:
    """Return the settings with an absolute data folder; end with status 2 where they are wrong."""
    given: dict[str, Any] = {} if data_dir is None else {"data_dir": data_dir}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        for item in error.errors():
            name = "_".join(str(part) for part in item["loc"]).upper()
            sys.stderr.write(f"onnxpress: ONNXPRESS_{name}: {item['msg']}\n")
        sys.exit(2)
    return settings.model_copy(update={"data_dir": settings.data_dir.resolve()})


def open_database(data_dir: Path | None) -> SessionFactory:
    """Return sessions of the database in force, brought up to date."""
    url = load_settings(data_dir).resolved_database_url
    migrate_database(url)
    return create_session_factory(url)


def _fail(message: str) -> NoReturn:
    sys.stderr.write(f"onnxpress: {message}\n")
    sys.exit(1)


def _announce(url: str, settings: Settings) -> None:
    sys.stdout.write(
        f"{READY}{url}\n"
        f"  documentation    {url}/docs\n"
        f"  data and logs    {settings.data_dir}\n"
        "  stop             Ctrl-C; the same command goes on where it stopped\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
