"""What each method makes of a model: its own code at work on a part of each large weight."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx

from worker.engine.calibration.ranges import TensorRange
from worker.engine.names import NameGiver, taken_names
from worker.engine.passes.base import Pass, PassContext, SkippedNode
from worker.engine.passes.dynamic_quantization import DynamicQuantization
from worker.engine.passes.initializer_pruning import InitializerPruning
from worker.engine.passes.node_selection import select_nodes, skipped_nodes
from worker.engine.passes.static_quantization import StaticQuantization
from worker.engine.passes.weight_quantization import WeightQuantization
from worker.engine.preflight.prepared import PreparedModels
from worker.engine.preflight.sampled_rounding import part_of, round_sample
from worker.engine.preflight.thinning import (
    Thinned,
    deflated_size_of_result,
    size_of_result,
)
from worker.engine.quantization.product_bias import join_biases
from worker.engine.quantization.static_writer import StaticWriter
from worker.engine.quantization.working_copy import refuse_unchanged, working_copy
from worker.engine.samples import DataOrigin, Sample
from worker.engine.weights.budget import Choice, with_upgrades
from worker.engine.weights.finding import Weight, find_weights
from worker.engine.weights.remaining import storable_names, store_remaining
from worker.engine.weights.rounding import Rounding, stored_bits
from worker.engine.weights.small import small_halves
from worker.engine.weights.storage import WeightStorage

LIKELY_SHARE = 1 / 3
"""Of the way from no node in integers to all: on the models of docs/benchmarks.md, with a processor
that lacks VNNI, half of the jobs end near none, and few near all."""


@dataclass(frozen=True)
class Outcome:
    """What became of the model; `sizes` are those of the ways that measured choices may go.

    The first is the likeliest. `original_bytes` is what to compare with, where that is not the
    size of the uploaded files.
    """

    sizes: list[int]
    touched: list[str]
    skipped: list[SkippedNode]
    original_bytes: int | None = None


class NoSamples:
    """No samples at all: passes then decide by what they need no run for."""

    origin: DataOrigin = "synthetic"

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[Sample]:
        return iter(())


class Forecaster:
    """Foretells what passes do to one model."""

    def __init__(self, models: PreparedModels, workdir: Path) -> None:
        self._models = models
        self._rounding: dict[tuple[str, int], Rounding] = {}
        self._context = PassContext(workdir, NoSamples(), lambda _stage, _fraction: None)

    def outcome(self, step: Pass) -> Outcome:
        """Return what a pass does.

        Raises:
            EngineError: what the pass would refuse the model for.
        """
        if isinstance(step, WeightQuantization):
            return self._weights(step)
        if isinstance(step, StaticQuantization):
            return self._static(step)
        if isinstance(step, DynamicQuantization):
            return self._dynamic(step)
        if isinstance(step, InitializerPruning):
            return self._pruned(step)
        return self._applied(step)

    def _weights(self, step: WeightQuantization) -> Outcome:
        """Plan with some channels of each weight; measured answers may ask for 8 bits instead."""
        choices = step.plan(self._models.whole, self._round)
        sizes = [self._size_of(choices, step)]
        if any(choice.upgrade is not None for choice in choices):
            names = {choice.weight.name for choice in choices}
            sizes.append(self._size_of(with_upgrades(choices, names), step))
        touched = [_name(use.node) for choice in choices for use in choice.weight.uses]
        skipped = _small_weights(self._models.whole, step.minimum_values)
        return Outcome(sizes, list(dict.fromkeys(touched)), skipped)

    def _size_of(self, choices: list[Choice], step: WeightQuantization) -> int:
        """Write the parts that were rounded as the pass would the whole weights."""
        result = self._models.thinned(step)
        storage = WeightStorage(result, NameGiver(taken_names(result)))
        missing_bits = 0
        weights = find_weights(result, step.minimum_values)
        for weight, choice in zip(weights, choices, strict=True):
            part = part_of(choice.grid)
            storage.store(weight, part)
            missing_bits += stored_bits(choice.grid) - stored_bits(part)
        for weight in small_halves(result, step.minimum_values):
            storage.store_half(weight)
        storage.finish()
        return size_of_result(result, [], missing_bits // 8)

    def _round(self, weight: Weight) -> Rounding:
        """Return what rounds a weight's sample, which is the same for all bits."""
        key = (weight.name, weight.size)
        if key not in self._rounding:
            self._rounding[key] = round_sample(weight)
        return self._rounding[key]

    def _static(self, step: StaticQuantization) -> Outcome:
        """Write all chosen nodes in integers, or none of them; measured choices lie in between."""
        model = working_copy(self._models.thinned(step))
        selection = select_nodes(model, step, step.op_types_to_quantize)
        joined = join_biases(model, selection.chosen)
        writer = StaticWriter(model, selection.chosen, step.types)
        tensors = enumerate(writer.tensors(step.quant_format))
        # Made up, but no two alike: equal tensors are stored once.
        writer.use_ranges({name: TensorRange(-1.0, 1.0 + i / 1000) for i, name in tensors})
        result, placement, _ = writer.write(writer.nodes, step.quant_format)
        stored = store_remaining(result, storable_names(model))
        skipped = [skip for skip in selection.skipped if skip.node not in joined]
        skipped += skipped_nodes(writer.placement.declined)
        refuse_unchanged([*placement.weighted, *stored], skipped)
        touched = dict.fromkeys([*placement.changed_names, *joined, *stored])
        left_out = self._models.left_out
        all_of_them = size_of_result(result, left_out)
        sizes = _with_likeliest(all_of_them, _size_when_stored(model, left_out))
        return Outcome(sizes, list(touched), skipped)

    def _dynamic(self, step: DynamicQuantization) -> Outcome:
        """Write all chosen nodes in integers, or none of them; measured choices lie in between."""
        model, left_out = self._models.thinned(step), self._models.left_out
        applied = step.apply(model, self._context)
        all_of_them = size_of_result(applied.model, left_out)
        sizes = _with_likeliest(all_of_them, _size_when_stored(model, left_out))
        return Outcome(sizes, applied.changed_nodes, applied.skipped)

    def _pruned(self, step: InitializerPruning) -> Outcome:
        model, left_out = self._models.thinned(step), self._models.left_out
        before = deflated_size_of_result(self._models.thinned(step), left_out)
        applied = step.apply(model, self._context)
        size = deflated_size_of_result(applied.model, left_out)
        return Outcome([size], applied.changed_nodes, applied.skipped, before)

    def _applied(self, step: Pass) -> Outcome:
        """Apply a pass that looks at the weights only."""
        model, left_out = self._models.thinned(step), self._models.left_out
        applied = step.apply(model, self._context)
        size = size_of_result(applied.model, left_out)
        return Outcome([size], applied.changed_nodes, applied.skipped)


def _with_likeliest(all_in_integers: int, none_in_integers: int) -> list[int]:
    """Return a size between these two and both: which nodes gain from integers is measured."""
    likeliest = none_in_integers + LIKELY_SHARE * (all_in_integers - none_in_integers)
    return [round(likeliest), all_in_integers, none_in_integers]


def _size_when_stored(model: onnx.ModelProto, left_out: list[Thinned]) -> int:
    """Return the size of a model whose weights are all only stored at 8 bits; changes the model."""
    store_remaining(model, storable_names(model))
    return size_of_result(model, left_out)


def _small_weights(model: onnx.ModelProto, minimum_values: int) -> list[SkippedNode]:
    """Return the nodes with weights of too few values, for those that have no other."""
    reason = f"its weight has fewer than {minimum_values} values"
    weights = find_weights(model)
    touched = {_name(use.node) for w in weights if w.size >= minimum_values for use in w.uses}
    small = {_name(u.node): u.node for w in weights if w.size < minimum_values for u in w.uses}
    return [
        SkippedNode(node=name, op_type=node.op_type, reason=reason)
        for name, node in small.items()
        if name not in touched
    ]


def _name(node: onnx.NodeProto) -> str:
    return node.name or next(iter(node.output), node.op_type)
