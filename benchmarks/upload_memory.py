"""How much the API process grows while it takes a large upload, and how fast it takes it.

    python -m benchmarks.upload_memory [--megabytes 1024] [--form]

Starts the API as a process of its own with an empty data folder, sends it random bytes in chunked
encoding, and samples its resident memory, children left out. The bytes are no model, so the answer
is a 422; all of them are received, hashed and written before that.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from app.migrations import migrate

MEBIBYTE = 2**20
PORT = 8731


def main() -> None:
    """Measure one upload and print a line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--form", action="store_true", help="send multipart/form-data")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        process = start_api(Path(folder))
        try:
            measure(process.pid, arguments.megabytes, is_form=arguments.form)
        finally:
            process.terminate()
            process.wait()


def start_api(folder: Path) -> subprocess.Popen[bytes]:
    """Start the API and wait until it serves."""
    migrate(f"sqlite:///{folder / 'onnxpress.db'}")
    environment = os.environ | {
        "ONNXPRESS_DATA_DIR": str(folder),
        "ONNXPRESS_REDIS_URL": f"redis+socket://{folder}/none.sock",
        "ONNXPRESS_LOG_LEVEL": "warning",
    }
    command = [sys.executable, "-m", "uvicorn", "app.main:create_app", "--factory"]
    process = subprocess.Popen([*command, "--port", str(PORT)], env=environment)  # noqa: S603
    while process.poll() is None:
        try:
            httpx.get(f"http://127.0.0.1:{PORT}/livez").raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.2)
        else:
            return process
    sys.exit("the API did not start")


def measure(pid: int, megabytes: int, *, is_form: bool) -> None:
    """Upload once to warm up, then once more while watching."""
    upload(1, is_form=is_form)
    before = resident_megabytes(pid)
    peak = before
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, resident_megabytes(pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    status = upload(megabytes, is_form=is_form)
    seconds = time.perf_counter() - started
    done.set()
    watcher.join()
    sys.stdout.write(
        f"{megabytes} MB {'form' if is_form else 'raw'} upload: status {status},"
        f" {megabytes / seconds:.0f} MB/s, {before:.1f} MB before, {peak:.1f} MB at most,"
        f" grown by {peak - before:.1f} MB\n"
    )


def upload(megabytes: int, *, is_form: bool) -> int:
    """Send that many random bytes; return the status."""
    headers = {"Content-Type": "application/octet-stream"}
    if is_form:
        headers = {"Content-Type": "multipart/form-data; boundary=boundary"}
    response = httpx.post(
        f"http://127.0.0.1:{PORT}/v1/models",
        content=body(megabytes, is_form=is_form),
        headers=headers,
        timeout=None,  # noqa: S113 - it takes as long as it takes
    )
    return response.status_code


def body(megabytes: int, *, is_form: bool) -> Iterator[bytes]:
    """Yield the body in pieces of a megabyte."""
    if is_form:
        yield (
            b'--boundary\r\nContent-Disposition: form-data; name="file"; filename="x.onnx"\r\n\r\n'
        )
    piece = random.Random(0).randbytes(MEBIBYTE)  # noqa: S311 - no secret
    for _ in range(megabytes):
        yield piece
    if is_form:
        yield b"\r\n--boundary--\r\n"


def resident_megabytes(pid: int) -> float:
    """Return the resident memory of one process (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MEBIBYTE


if __name__ == "__main__":
    main()
