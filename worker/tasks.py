"""The Celery tasks: a message carries a job's id, and a worker process runs the job."""

from functools import cache

from celery import shared_task

from app.db import create_session_factory
from app.queue import RUN_JOB, Queue
from app.settings import Settings
from app.storage import Storage
from worker.reaper import Reaper
from worker.runner import Runner
from worker.sandbox.process import Sandbox


@shared_task(name=RUN_JOB)
def run_job(job_id: str) -> None:
    """Run a job; the queue's settings hold its time limits and what happens on a lost process."""
    process_runner().run_job(job_id)


@cache
def process_runner() -> Runner:
    """Return this process's runner; its connections and threads must begin after the fork."""
    settings = Settings()
    session_factory = create_session_factory(settings.resolved_database_url)
    return Runner(settings, session_factory, Storage(settings), Queue(settings), Sandbox(spares=1))


@cache
def process_reaper() -> Reaper:
    """Return this process's reaper, with connections of its own."""
    settings = Settings()
    session_factory = create_session_factory(settings.resolved_database_url)
    return Reaper(settings, session_factory, Storage(settings), Queue(settings))
