"""What becomes of weights that are stored at fewer bits, told from a part of each."""

from collections.abc import Sequence
from dataclasses import replace

import onnx
from onnx import helper

from worker.engine.passes.base import Outlook, PartResult, SkippedNode
from worker.engine.passes.weight_tasks import Task, readers, skipped, written
from worker.engine.weights.budget import Choice, with_upgrades
from worker.engine.weights.finding import STORABLE_TYPES, find_weights
from worker.engine.weights.rounding import stored_bits
from worker.engine.weights.sampled_rounding import part_of


def weight_outlook(
    part: onnx.ModelProto, tasks: Sequence[Task], choices: Sequence[Choice], minimum_values: int
) -> Outlook:
    """Return the outlook of these choices; measured answers may ask for 8 bits instead.

    `tasks` are those of the whole model's weights, of which `part` has a part each.
    """
    ways = [choices]
    if any(choice.upgrade is not None for choice in choices):
        ways.append(with_upgrades(choices, {choice.weight.name for choice in choices}))
    left = [skipped(task) for task in tasks if task.bits == "float" and not task.is_small]
    results = [_result(part, tasks, way) for way in ways]
    return Outlook(results, readers(tasks), [*left, *_small(tasks, minimum_values)])


def _result(part: onnx.ModelProto, tasks: Sequence[Task], choices: Sequence[Choice]) -> PartResult:
    """Write the parts that were rounded as the pass would the whole weights."""
    parts = [replace(choice, grid=part_of(choice.grid)) for choice in choices]
    pairs = zip(choices, parts, strict=True)
    missing_bits = sum(stored_bits(whole.grid) - stored_bits(one.grid) for whole, one in pairs)
    for task, kept in zip(tasks, find_weights(part, types=STORABLE_TYPES), strict=True):
        missing_bits += _float_bits(task) * (task.weight.size - kept.size)
    return PartResult(written(part, tasks, parts, {})[0], missing_bits // 8)


def _float_bits(task: Task) -> int:
    """Return the bits of a value that is stored as a float; 0 for integers, which choices tell."""
    if task.bits == "float":
        return 8 * helper.tensor_dtype_to_np_dtype(task.weight.tensor.data_type).itemsize
    return 16 if task.bits == 16 else 0


def _small(tasks: Sequence[Task], minimum_values: int) -> list[SkippedNode]:
    """Return the nodes with weights of too few values, for those that have no other."""
    nodes = {_name(use.node): use.node for t in tasks if t.is_small for use in t.weight.uses}
    touched = {_name(use.node) for t in tasks if not t.is_small for use in t.weight.uses}
    reason = f"its weight has fewer than {minimum_values} values"
    return [
        SkippedNode(node=name, op_type=node.op_type, reason=reason)
        for name, node in nodes.items()
        if name not in touched
    ]


def _name(node: onnx.NodeProto) -> str:
    return node.name or next(iter(node.output), node.op_type)
