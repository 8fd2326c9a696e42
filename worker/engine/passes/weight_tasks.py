"""What weight quantization is to do with each weight, and a model in which it is done."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import onnx
from onnx import numpy_helper

from worker.engine.errors import PassError
from worker.engine.half_precision import why_not_half
from worker.engine.names import NameGiver, taken_names
from worker.engine.passes.base import SkippedNode
from worker.engine.passes.weight_overrides import OverrideBits
from worker.engine.weights.biases import corrected_biases
from worker.engine.weights.budget import Choice
from worker.engine.weights.finding import STORABLE_TYPES, Weight, find_weights
from worker.engine.weights.moments import MeanLayer
from worker.engine.weights.storage import WeightStorage


@dataclass(frozen=True)
class Task:
    """A weight to store, and how; its bits are the user's own where an override gave them."""

    weight: Weight
    bits: OverrideBits
    runtime_form: Literal["auto", "folded", "native"]
    is_overridden: bool
    is_small: bool = False
    """Whether it has too few values for scales; it then becomes float16, or stays."""

    @property
    def is_below_eight(self) -> bool:
        """Whether the weight is stored in so few bits that its rounding takes care."""
        return self.bits in {4, 2}


def written(
    model: onnx.ModelProto,
    tasks: Sequence[Task],
    choices: Sequence[Choice],
    means: Mapping[str, MeanLayer],
) -> tuple[onnx.ModelProto, set[str]]:
    """Return a copy with its weights stored, and what onnxruntime is to compute when it loads.

    `tasks` are those of all the model's weights, `choices` of those that become integers. `means`
    of layers' inputs correct the biases, which are then never integers.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    choice_of = {id(choice.weight): choice for choice in choices}
    own = [choice for choice in choices if choice.weight.is_in_main_graph(model)]
    values = {choice.weight.name: choice.grid.decode() for choice in own} if means else {}
    biases = corrected_biases(copy, values, means)
    storage = WeightStorage(copy, NameGiver(taken_names(copy)))
    for weight, task in zip(find_weights(copy, types=STORABLE_TYPES), tasks, strict=True):
        choice = choice_of.get(id(task.weight))
        if weight.name in biases and weight.is_in_main_graph(copy):
            weight.tensor.CopyFrom(numpy_helper.from_array(biases[weight.name], weight.name))
            if task.bits != "float" and why_not_half(biases[weight.name]) is None:
                storage.store_half(weight)
        elif choice is not None:
            write = storage.keep_packed if choice.is_packed else storage.store
            write(weight, choice.grid)
        elif task.bits == 16:
            storage.store_half(weight)
    return copy, storage.finish()


def bits_of_infinities(weight: Weight) -> OverrideBits:
    """Return the fewest bits that hold a weight with infinities or NaN."""
    if weight.is_half:
        return "float"
    return 16 if why_not_half(numpy_helper.to_array(weight.tensor)) is None else "float"


def readers(tasks: Iterable[Task]) -> list[str]:
    """Return the names of the nodes that read the weights that change, each once.

    Small ones are not counted: they keep their answers.
    """
    changing = (task for task in tasks if task.bits != "float" and not task.is_small)
    names = (use.node.name or use.node.output[0] for task in changing for use in task.weight.uses)
    return list(dict.fromkeys(names))


def skipped(task: Task) -> SkippedNode:
    """Return the report's words for a weight that stays as it is."""
    node = task.weight.uses[0].node if task.weight.uses else None
    return SkippedNode(
        node=task.weight.name if node is None else node.name or node.output[0],
        op_type="" if node is None else node.op_type,
        reason=_why_float(task.weight),
    )


def _why_float(weight: Weight) -> str:
    if weight.is_finite():
        return f"overrides leave its weight {weight.name} in float"
    if weight.is_half:
        return f"its weight {weight.name} holds infinities or NaN, and takes 16 bits already"
    return f"its weight {weight.name} holds infinities or NaN, and numbers that float16 cannot hold"


def refuse_lost_halves(task: Task) -> None:
    """Raise where a weight is to be stored as float16 that float16 cannot hold.

    Raises:
        PassError: it cannot.
    """
    if task.bits != 16 or task.is_small:
        return
    reason = why_not_half(numpy_helper.to_array(task.weight.tensor))
    if reason is not None:
        raise PassError(
            f"overrides: the weight {task.weight.name} {reason}; give it 8 bits or float"
        )
