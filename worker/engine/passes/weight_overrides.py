"""What a user asks for single weights: their bits and their form, by node or by name."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from glob import escape
from typing import Annotated, Literal, Self

import onnx
from pydantic import BaseModel, ConfigDict, Field, model_validator

from worker.engine.graphs import walk_nodes
from worker.engine.passes.node_selection import NodePatterns, matching_names
from worker.engine.weights.finding import Weight

OverrideBits = Literal[16, 8, 4, 2, "float"]
OverrideForm = Literal["folded", "native"]


class WeightOverride(BaseModel):
    """How to store the weights of some nodes, whatever the rest of the options says."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    nodes: NodePatterns = ()
    """The nodes that read the weights: names, or patterns with `*`, `?` and `[...]`."""
    weights: NodePatterns = ()
    """The weights themselves, by the names or patterns of initializers."""
    bits: OverrideBits | None = None
    """Bits of each stored value: 8, 4 or 2 are integers with scales, 16 is float16, and `float`
    leaves the weights as they are. No budget changes them. Left out, as for all other weights."""
    runtime_form: OverrideForm | None = None
    """`folded` or `native`, the latter where a weight has that form. Left out, as for all other
    weights."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.nodes and not self.weights:
            raise ValueError("name nodes or weights")
        if self.bits is None and self.runtime_form is None:
            raise ValueError("give bits or runtime_form")
        return self


def override_of(
    names: Iterable[str], bits: OverrideBits | None = None, form: OverrideForm | None = None
) -> WeightOverride:
    """Return an override of the weights of these names, even where they look like patterns."""
    return WeightOverride(weights=tuple(map(escape, names)), bits=bits, runtime_form=form)


WeightOverrides = Annotated[tuple[WeightOverride, ...], Field(max_length=1_000)]


@dataclass(frozen=True)
class Wish:
    """What is asked for one weight; None leaves it to the options for all."""

    bits: OverrideBits | None = None
    runtime_form: OverrideForm | None = None


def wishes(
    overrides: Iterable[WeightOverride], weights: Sequence[Weight], model: onnx.ModelProto
) -> list[Wish]:
    """Return what the overrides ask for each weight; of several for one weight, the last counts.

    Raises:
        PassError: a name or pattern matches no node, or no weight.
    """
    node_names = [node.name for node in walk_nodes(model)]
    weight_names = [weight.name for weight in weights]
    found = [Wish() for _ in weights]
    for index, override in enumerate(overrides):
        option = f"overrides[{index}]"
        nodes = matching_names(override.nodes, node_names, f"{option}.nodes")
        named = matching_names(override.weights, weight_names, f"{option}.weights", "weight")
        for place, weight in enumerate(weights):
            if weight.name in named or any(use.node.name in nodes for use in weight.uses):
                found[place] = _asked_also(found[place], override)
    return found


def _asked_also(wish: Wish, override: WeightOverride) -> Wish:
    if override.bits is not None:
        wish = replace(wish, bits=override.bits)
    if override.runtime_form is not None:
        wish = replace(wish, runtime_form=override.runtime_form)
    return wish
