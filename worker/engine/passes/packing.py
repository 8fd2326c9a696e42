"""Which weights stay packed at run time, as asked for or as timed."""

from collections.abc import Sequence

import onnx

from worker.engine.passes.base import PassContext
from worker.engine.passes.weight_tasks import Task
from worker.engine.weights.finding import Weight
from worker.engine.weights.grids import Layout
from worker.engine.weights.native import NATIVE_BITS, faster_packed, native_layout


def packed_layouts(
    model: onnx.ModelProto, tasks: Sequence[Task], block_size: int, context: PassContext
) -> dict[str, Layout]:
    """Return the layouts of the weights to keep packed at run time, by name."""
    layouts: dict[str, Layout] = {}
    to_time: dict[int, list[Weight]] = {}
    for task in tasks:
        layout = native_layout(task.weight, model, block_size)
        if layout is None or task.bits not in NATIVE_BITS or task.runtime_form == "folded":
            continue
        layouts[task.weight.name] = layout
        if task.runtime_form == "auto":
            to_time.setdefault(int(task.bits), []).append(task.weight)
    for bits, weights in to_time.items():
        faster = _timed(model, weights, bits, block_size, context)
        for weight in weights:
            if weight.name not in faster:
                del layouts[weight.name]
    return layouts


def _timed(
    model: onnx.ModelProto,
    weights: list[Weight],
    bits: int,
    block_size: int,
    context: PassContext,
) -> set[str]:
    """Return the names of the weights that are faster packed, none where no run can tell."""
    if context.samples.origin == "synthetic" or context.execution_provider != "cpu":
        return set()
    sample = next(iter(context.samples), None)
    if sample is None:
        return set()
    return faster_packed(model, weights, sample.feeds, bits, block_size)
