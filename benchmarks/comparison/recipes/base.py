"""Running a recipe as a command: its order comes as JSON, its time, memory and errors go back."""

import json
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

MESSAGE_LENGTH = 300


class RefusedError(Exception):
    """The engine declined, with a code and a reason for its user."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Order:
    """What a recipe is to do: compress `model` into `output`, all other files in `workdir`."""

    model: Path
    output: Path
    workdir: Path
    samples: Path | None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Receipt:
    """How that went; `code` is set where the engine refused or failed."""

    outcome: str
    code: str = ""
    message: str = ""
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0


Recipe = Callable[[Order], str | Receipt | None]


def main(recipe: Recipe) -> None:
    """Run a recipe on the order in the file that the first argument names, and print a receipt.

    The recipe may return a note, or a receipt with the peak memory that it alone knows. Imports
    are not timed.
    """
    fields = json.loads(Path(sys.argv[1]).read_text())
    paths = {key: fields[key] and Path(fields[key]) for key in ("model", "output", "workdir")}
    samples = fields["samples"] and Path(fields["samples"])
    receipt = _carry_out(recipe, Order(**paths, samples=samples, options=fields["options"]))
    sys.stdout.write("\n" + json.dumps(asdict(receipt)) + "\n")


def _carry_out(recipe: Recipe, order: Order) -> Receipt:
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        answer = recipe(order) or ""
        receipt = Receipt("compressed", message=answer) if isinstance(answer, str) else answer
    except RefusedError as refusal:
        receipt = Receipt("refused", refusal.code, str(refusal))
    except Exception as error:  # noqa: BLE001 - what an engine fails with is a finding
        traceback.print_exc()
        receipt = Receipt("error", type(error).__name__, " ".join(str(error).split()))
    receipt.message = receipt.message[:MESSAGE_LENGTH]
    receipt.wall_seconds = time.perf_counter() - wall
    receipt.cpu_seconds = time.process_time() - cpu
    receipt.peak_memory_bytes = max(receipt.peak_memory_bytes, _peak_memory_bytes())
    return receipt


def _peak_memory_bytes() -> int:
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) * 1024
