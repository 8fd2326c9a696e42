from datetime import timedelta

from sqlalchemy.exc import OperationalError

from app.tables import JobRow
from tests.running_service import wait_for
from worker.heartbeat import Heartbeat


def held(service, lease_seconds=60):
    job_id = service.submit("succeed")
    service.claim(job_id, lease_seconds)
    return job_id, service.job(job_id).token


def test_extends_the_lease(service, session_factory, settings):
    job_id, token = held(service, lease_seconds=0.1)

    with Heartbeat(session_factory, settings, job_id, token):
        wait_for(
            lambda: service.job(job_id).lease_expires_at > service.now() + timedelta(seconds=10)
        )


def test_writes_the_progress_it_was_told(service, session_factory, settings):
    job_id, token = held(service)

    with Heartbeat(session_factory, settings, job_id, token) as heartbeat:
        heartbeat.report_progress("calibrating", 0.5)
        wait_for(lambda: service.job(job_id).progress == 0.5)

    assert service.job(job_id).stage == "calibrating"


def test_hears_of_a_cancellation(service, session_factory, settings):
    job_id, token = held(service)

    with Heartbeat(session_factory, settings, job_id, token) as heartbeat:
        assert not heartbeat.should_stop()
        service.cancel(job_id)
        wait_for(heartbeat.should_stop)

    assert heartbeat.stop_reason == "cancelled"


def test_hears_that_another_worker_has_the_job(service, session_factory, settings):
    job_id, token = held(service)

    with Heartbeat(session_factory, settings, job_id, token) as heartbeat:
        service.set(JobRow, job_id, token=token[::-1])
        wait_for(heartbeat.should_stop)

    assert heartbeat.stop_reason == "lost"


def test_gives_up_when_the_database_is_away_for_a_whole_lease(settings):
    class Unreachable:
        def begin(self):
            raise OperationalError("UPDATE", {}, Exception("no connection"))

    short = settings.model_copy(update={"lease_seconds": 0.3})

    with Heartbeat(Unreachable(), short, "job", "token") as heartbeat:
        wait_for(heartbeat.should_stop, seconds=5)

    assert heartbeat.stop_reason == "lost"
