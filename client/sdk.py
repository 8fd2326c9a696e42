"""The onnxpress client: one class, one method for each call of the service."""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import ValidationError

from client.errors import CorruptedError, ProblemError, UnreachableError
from client.resources import Dataset, Job, Model, Problem, Sweep
from client.waiting import wait_for

TIMEOUT = httpx.Timeout(30, read=120)
"""Reading takes long where the service checks a large upload, or waits for a job."""


class Client:
    """A connection to one service; use it in a `with` block, or call `close`.

    Every method raises ProblemError where the service refuses the call, and UnreachableError
    where it does not answer.
    """

    def __init__(self, url: str = "http://127.0.0.1:8000", api_key: str | None = None) -> None:
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=TIMEOUT,
            transport=httpx.HTTPTransport(retries=2),
        )

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def upload_model(self, path: Path) -> Model:
        """Upload an `.onnx` file, or a `.zip` or `.tar` of a model with its external data."""
        return Model.model_validate(self._upload("/v1/models", path, {}))

    def preflight(self, model_id: str) -> dict[str, Any]:
        """Return what each method would make of a model, with a spec to start with."""
        preflight: dict[str, Any] = self._send("GET", f"/v1/models/{model_id}/preflight")
        return preflight

    def upload_dataset(self, path: Path, model_id: str | None = None) -> Dataset:
        """Upload samples (`.npz` or `.zip`), checked against the model where one is given."""
        query = {"model_id": model_id} if model_id else {}
        return Dataset.model_validate(self._upload("/v1/datasets", path, query))

    def submit(
        self,
        model_id: str,
        spec: Mapping[str, Any],
        *,
        calibration_dataset_id: str | None = None,
        evaluation_dataset_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Submit a job; with the same idempotency key again, return the first one's."""
        body = {"spec": dict(spec)} | _inputs(
            model_id, calibration_dataset_id, evaluation_dataset_id, labels
        )
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return Job.model_validate(self._send("POST", "/v1/jobs", body, headers))

    def get(self, job_id: str) -> Job:
        """Return a job as it is now."""
        return self._read_job(job_id, {})

    def wait(self, job_id: str, timeout_seconds: float = 3600) -> Job:
        """Return a job once its state is terminal; the service may be started again meanwhile.

        Raises:
            TimeoutError: it is not after the timeout.
        """
        return wait_for(f"job {job_id}", partial(self._read_job, job_id), timeout_seconds)

    def cancel(self, job_id: str) -> Job:
        """Cancel a queued or running job; a running one is `cancelling` until its worker stops."""
        return Job.model_validate(self._send("POST", f"/v1/jobs/{job_id}/cancel"))

    def retry(self, job_id: str) -> Job:
        """Queue a failed or cancelled job again."""
        return Job.model_validate(self._send("POST", f"/v1/jobs/{job_id}/retry"))

    def submit_sweep(
        self,
        model_id: str,
        plan: Mapping[str, Any],
        *,
        calibration_dataset_id: str | None = None,
        evaluation_dataset_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Sweep:
        """Submit a job for each of several specs; with the same key again, return the first sweep.

        Args:
            model_id: the model that all are tried on.
            plan: `{"specs": [...]}`, or `{"spec": ..., "grid": {"/passes/0/bits": [8, 4]}}`; with
                `best_by`, such as `{"minimize": "size", "within": {"min_sqnr_db": 20}}`, the
                service names the best job.
            calibration_dataset_id: samples to calibrate on.
            evaluation_dataset_id: held-out samples to judge by.
            labels: of the sweep and each of its jobs.
            idempotency_key: any text that names this request.
        """
        body = dict(plan) | _inputs(model_id, calibration_dataset_id, evaluation_dataset_id, labels)
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return Sweep.model_validate(self._send("POST", "/v1/sweeps", body, headers))

    def get_sweep(self, sweep_id: str) -> Sweep:
        """Return a sweep as it is now; `get` and `report` take the ids of its jobs."""
        return self._read_sweep(sweep_id, {})

    def wait_sweep(self, sweep_id: str, timeout_seconds: float = 3600) -> Sweep:
        """Return a sweep once all its jobs have ended, as `wait` does with one job.

        Raises:
            TimeoutError: they have not after the timeout.
        """
        return wait_for(f"sweep {sweep_id}", partial(self._read_sweep, sweep_id), timeout_seconds)

    def sweep_table(self, sweep_id: str) -> str:
        """Return the comparison of a sweep's jobs as a Markdown page."""
        request = self._http.build_request(
            "GET", f"/v1/sweeps/{sweep_id}", headers={"Accept": "text/markdown"}
        )
        return self._answer(request).text

    def cancel_sweep(self, sweep_id: str) -> Sweep:
        """Cancel all jobs of a sweep that are queued or running."""
        return Sweep.model_validate(self._send("POST", f"/v1/sweeps/{sweep_id}/cancel"))

    def retry_sweep(self, sweep_id: str) -> Sweep:
        """Queue the failed and cancelled jobs of a sweep again."""
        return Sweep.model_validate(self._send("POST", f"/v1/sweeps/{sweep_id}/retry"))

    def report(self, job_id: str) -> dict[str, Any]:
        """Return the report of a finished job."""
        report: dict[str, Any] = self._send("GET", f"/v1/jobs/{job_id}/report")
        return report

    def download_artifact(self, job_id: str, path: Path, alternative: int | None = None) -> str:
        """Save the compressed model; the file appears once complete. Returns its SHA-256.

        Of a job with a goal, `alternative` 1 and 2 are what it found besides its choice.

        Raises:
            CorruptedError: the bytes do not have the announced digest.
        """
        try:
            url, query = f"/v1/jobs/{job_id}/artifact", {"alternative": alternative}
            with self._http.stream("GET", url, params=query if alternative else {}) as response:
                if response.is_error:
                    response.read()
                _check(response)
                return _save(response, path)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _read_job(self, job_id: str, headers: Mapping[str, str]) -> Job:
        return Job.model_validate(self._send("GET", f"/v1/jobs/{job_id}", headers=headers))

    def _read_sweep(self, sweep_id: str, headers: Mapping[str, str]) -> Sweep:
        return Sweep.model_validate(self._send("GET", f"/v1/sweeps/{sweep_id}", headers=headers))

    def _upload(self, url: str, path: Path, query: Mapping[str, str]) -> Any:  # noqa: ANN401 - JSON
        with path.open("rb") as file:
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Length": str(os.fstat(file.fileno()).st_size),
            }
            parameters = {"name": path.name, **query}
            request = self._http.build_request(
                "POST", url, content=file, params=parameters, headers=headers
            )
            return self._answer(request).json()

    def _send(
        self,
        method: str,
        url: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:  # noqa: ANN401 - JSON
        request = self._http.build_request(method, url, json=body, headers=headers)
        return self._answer(request).json()

    def _answer(self, request: httpx.Request) -> httpx.Response:
        try:
            response = self._http.send(request)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        _check(response)
        return response

    def _unreachable(self, error: httpx.TransportError) -> UnreachableError:
        return UnreachableError(f"no answer from {self._http.base_url}: {error}")


def _inputs(
    model_id: str,
    calibration_id: str | None,
    evaluation_id: str | None,
    labels: Mapping[str, str] | None,
) -> dict[str, Any]:
    """Return what the bodies of jobs and sweeps have in common."""
    body = {"model_id": model_id, "labels": dict(labels or {})}
    if calibration_id is not None:
        body["calibration_dataset_id"] = calibration_id
    if evaluation_id is not None:
        body["evaluation_dataset_id"] = evaluation_id
    return body


def _check(response: httpx.Response) -> None:
    """Raise the problem of a response that is a failure."""
    if not response.is_error:
        return
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:  # from a proxy, or not our service at all
        problem = Problem(status=response.status_code, detail=response.reason_phrase)
    raise ProblemError(problem)


def _save(response: httpx.Response, path: Path) -> str:
    """Stream a body to a file beside `path`, and rename it once its digest is right."""
    expected = str(response.headers.get("etag", "")).removeprefix("W/").strip('"')
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        temporary = Path(folder) / path.name
        digest = hashlib.sha256()
        with temporary.open("wb") as file:
            for chunk in response.iter_bytes():
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != expected:
            raise CorruptedError(f"the artifact's SHA-256 is {digest.hexdigest()}, not {expected}")
        temporary.replace(path)
    return expected
