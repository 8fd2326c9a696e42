"""`onnxpress demo`: a real trained model through the whole service, and what came of it."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from app import processes
from app.embedded import READY, SetupError
from app.resources import resource_folder
from app.supervisor import PYTHON
from client.resources import Job
from client.sdk import Client

SPEC = {
    "version": 1,
    "passes": [
        {"method": "static_quantization", "calibration_method": "minmax", "per_channel": True}
    ],
    "gates": {"max_size_ratio": 0.5, "min_sqnr_db": 20, "max_accuracy_drop": 0.01},
}
NEXT_STEPS = """
Your own model, in another terminal beside `onnxpress up`:
  curl -F model=@model.onnx -F 'spec={"passes": [{"method": "weight_quantization"}]}' \\
    http://127.0.0.1:8000/v1/jobs"""
POLL_SECONDS = 0.1


def run_demo(output: Path, console: Console) -> bool:
    """Start a service in a temporary folder, compress the digit classifier and print the result.

    Returns whether the job succeeded; its model is then at `output`.

    Raises:
        SetupError: the service does not start, or the output cannot be written.
        ClientError: a call failed.
    """
    if not output.parent.is_dir():
        raise SetupError(f"the folder of --output {output} does not exist")
    with (
        tempfile.TemporaryDirectory(prefix="onnxpress-demo-") as folder,
        _service(Path(folder), console) as url,
        Client(url) as client,
    ):
        job = _compress(client, console)
        if job.state != "succeeded":
            console.print(f"the job {job.state}: {job.error}", style="red", markup=False)
            return False
        sha256 = client.download_artifact(job.id, output)
        report = client.report(job.id)
    console.print(_table(report))
    console.print(report["verdict"]["summary"], markup=False)
    console.print(f"Compressed model: {output} (sha256 {sha256} verified)", soft_wrap=True)
    console.print(NEXT_STEPS, markup=False, highlight=False, soft_wrap=True)
    return True


@contextmanager
def _service(data_dir: Path, console: Console) -> Iterator[str]:
    """Run `onnxpress up` on a free port; yield its URL."""
    console.print("Starting broker, worker and API ...")
    started = time.monotonic()
    command = [*PYTHON, "-m", "app.cli", "up", "--port", "0"]
    reader, writer = os.pipe()
    process = processes.spawn(
        [*command, "--data-dir", str(data_dir)],
        environment={k: v for k, v in os.environ.items() if not k.startswith("ONNXPRESS_")},
        output=writer,
    )
    os.close(writer)
    try:
        with open(reader, encoding="utf-8") as lines:  # noqa: PTH123 - a descriptor
            url = _read_url(lines)
            console.print(f"Ready at {url} after {time.monotonic() - started:.1f} s")
            yield url
    finally:
        processes.stop(process, 30)


def _read_url(lines: TextIO) -> str:
    said = []
    for line in lines:
        if line.startswith(READY):
            return line.removeprefix(READY).strip()
        said.append(line)
    raise SetupError(f"the service did not start: {''.join(said).strip()}")


def _compress(client: Client, console: Console) -> Job:
    """Upload the example and run its job, showing how far it is."""
    folder = resource_folder("examples") / "digits"
    model = client.upload_model(folder / "digits.onnx")
    console.print(f"Uploaded digits.onnx: {model.parameter_count:,} parameters ({model.id})")
    calibration = client.upload_dataset(folder / "calibration.npz", model.id)
    evaluation = client.upload_dataset(folder / "evaluation.npz", model.id)
    console.print(
        f"Uploaded {calibration.sample_count} calibration samples "
        f"and {evaluation.sample_count} labelled evaluation samples"
    )
    job = client.submit(
        model.id,
        SPEC,
        calibration_dataset_id=calibration.id,
        evaluation_dataset_id=evaluation.id,
    )
    console.print(f"Submitted static int8 quantization, per channel ({job.id})")
    return _follow(client, job, console)


def _follow(client: Client, job: Job, console: Console) -> Job:
    """Poll a job until it ends; a bar on a terminal, else a line for each stage."""
    stage = None
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(job.state, total=1.0)
        while not job.is_terminal:
            time.sleep(POLL_SECONDS)
            job = client.get(job.id)
            progress.update(task, completed=job.progress, description=job.stage or job.state)
            if job.stage != stage and job.stage is not None:
                stage = job.stage
                console.print(f"  {job.progress:4.0%} {stage}")
    if job.started_at is not None and job.finished_at is not None:
        seconds = (job.finished_at - job.started_at).total_seconds()
        console.print(f"  {job.state} after {seconds:.1f} s")
    return job


def _table(report: dict[str, Any]) -> Table:
    """Return the report's headline figures."""
    table = Table("digits.onnx", "before", "after", "")
    for column in table.columns[1:]:
        column.justify = "right"
    before, after = report["before"]["size_bytes"], report["after"]["size_bytes"]
    table.add_row("size", _kilobytes(before), _kilobytes(after), f"{before / after:.2f}x smaller")
    if (latency := report["latency"]) is not None:
        medians = [latency[side]["p50_seconds"] for side in ("before", "after")]
        name = f"latency, median, {latency['threads']} thread"
        figures = [f"{median * 1e6:.0f} us" for median in medians]
        table.add_row(name, *figures, f"{1 / latency['ratio']:.2f}x as fast")
    for score in report["accuracy"]:
        name = f"{score['metric']} on {score['samples']} samples"
        change = f"{(score['after'] - score['before']) * 100:+.1f} points"
        table.add_row(name, f"{score['before']:.1%}", f"{score['after']:.1%}", change)
    worst = min(item["sqnr_db"] or float("inf") for item in report["fidelity"])
    table.add_row("fidelity of the worst output", "", f"{worst:.1f} dB", "SQNR")
    verdict = report["verdict"]
    passed = f"{sum(gate['passed'] for gate in verdict['gates'])} of {len(verdict['gates'])} gates"
    table.add_row("verdict", "", "passed" if verdict["passed"] else "missed", passed)
    return table


def _kilobytes(size_bytes: int) -> str:
    return f"{size_bytes / 1000:.1f} kB"
