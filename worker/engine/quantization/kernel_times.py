"""How long each kernel of a model takes on this processor, from onnxruntime's profiler."""

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from worker.engine.runtime import open_profiled_session, run
from worker.engine.samples import Feeds

RUNS = 5
MOVING_OP_TYPES = {
    "DequantizeLinear", "QuantizeLinear", "ReorderInput", "ReorderOutput", "Transpose",
}  # fmt: skip
"""What onnxruntime puts between kernels of different number types and layouts."""
GENERATED = re.compile(r"^(fused )?(?P<name>.*?)(_nchwc)?(_token_\d+)?(_nchwc)?$")
EVENT_SUFFIX = "_kernel_time"


@dataclass(frozen=True)
class KernelTimes:
    """Seconds of one run, by node or value name, and the op type of each kernel."""

    seconds: dict[str, float]
    op_types: dict[str, str]

    @property
    def total(self) -> float:
        """Seconds of all kernels."""
        return sum(self.seconds.values())

    @property
    def moving(self) -> float:
        """Seconds of the kernels that only change number type or layout."""
        return sum(
            seconds
            for name, seconds in self.seconds.items()
            if self.op_types[name] in MOVING_OP_TYPES
        )

    def find(self, names: Sequence[str]) -> str | None:
        """Return the first of a node's names (its own, its outputs') that a kernel has."""
        return next((name for name in names if name in self.seconds), None)


def kernel_times(model: onnx.ModelProto, feeds: Sequence[Feeds], workdir: Path) -> KernelTimes:
    """Run a model a few times on one thread and return the least time of each kernel.

    Whatever else the machine does only ever adds to a time.
    """
    session = open_profiled_session(model, workdir / "profile")
    for sample in feeds:
        for _ in range(RUNS):
            run(session, sample)
    path = Path(session.end_profiling())
    try:
        events = json.loads(path.read_text())
    finally:
        path.unlink()
    durations: dict[str, list[float]] = defaultdict(list)
    op_types: dict[str, str] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(EVENT_SUFFIX):
            op_type = event["args"]["op_name"]
            name = event["name"].removesuffix(EVENT_SUFFIX)
            if op_type not in MOVING_OP_TYPES:
                name = _original_name(name)
            durations[name].append(event["dur"] / 1e6)
            op_types[name] = op_type
    return KernelTimes({name: min(each) for name, each in durations.items()}, op_types)


def _original_name(name: str) -> str:
    """Return the node or output name from which onnxruntime made a kernel's name."""
    matched = GENERATED.match(name)
    return matched["name"] if matched else name
