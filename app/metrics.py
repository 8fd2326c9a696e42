"""The Prometheus metrics of one API process."""

from collections.abc import Mapping
from typing import get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from app.tables import JobState

LATENCY_BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """Counts what happens over HTTP; what the database knows is read when it is asked for."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._requests = Counter(
            "onnxpress_http_requests",
            "HTTP requests by method, route template and status.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._latency = Histogram(
            "onnxpress_http_request_duration_seconds",
            "Time from the request's first byte to the response's last.",
            ["method", "route"],
            buckets=LATENCY_BUCKETS_SECONDS,
            registry=self.registry,
        )
        self._upload_bytes = Counter(
            "onnxpress_upload_bytes",
            "Bytes of uploaded files, refused ones included.",
            registry=self.registry,
        )
        self._jobs = Gauge("onnxpress_jobs", "Jobs by state.", ["state"], registry=self.registry)
        self._queue_age = Gauge(
            "onnxpress_queue_age_seconds",
            "How long the oldest queued job has waited; 0 with none.",
            registry=self.registry,
        )

    def count_request(self, method: str, route: str, status: int, duration_seconds: float) -> None:
        """Count one finished request."""
        self._requests.labels(method, route, str(status)).inc()
        self._latency.labels(method, route).observe(duration_seconds)

    def count_upload(self, size_bytes: int) -> None:
        """Count one received file."""
        self._upload_bytes.inc(size_bytes)

    def render(self, jobs_by_state: Mapping[JobState, int], queue_age_seconds: float) -> bytes:
        """Return all metrics in Prometheus' text format."""
        for state in get_args(JobState):
            self._jobs.labels(state).set(jobs_by_state.get(state, 0))
        self._queue_age.set(queue_age_seconds)
        return generate_latest(self.registry)
