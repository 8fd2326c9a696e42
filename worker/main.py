"""The worker's Celery application: `celery -A worker.main worker`.

The main process and the processes of its pool stay clear of onnxruntime, which does not survive a
fork: only the sandbox's children import it.
"""

import logging

from celery import Celery
from celery.signals import setup_logging, worker_process_init, worker_process_shutdown

from app.logs import configure_logging
from app.queue import celery_settings
from app.settings import Settings
from worker import transport
from worker.tasks import process_reaper, process_runner

transport.register()
settings = Settings()
app = Celery("onnxpress")
app.conf.update(celery_settings(settings))


@setup_logging.connect(weak=False)
def _configure_logging(**_: object) -> None:
    """Log as the rest of the service does, in place of Celery's own way."""
    configure_logging(settings.log_format, settings.log_level)
    for name in ("celery.app.trace", "celery.worker.strategy"):  # each message, twice
        logging.getLogger(name).setLevel(logging.WARNING)


@worker_process_init.connect(weak=False)
def _start_process(**_: object) -> None:
    """Open a new pool process's connections, warm its first child, start its reaper."""
    process_runner()
    process_reaper().start()


@worker_process_shutdown.connect(weak=False)
def _stop_process(**_: object) -> None:
    """End the children that wait."""
    process_reaper().stop()
    process_runner().close()
