"""Rounds the weights of a model, with what the samples say of their inputs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from worker.engine.datasets.splitting import hold_out
from worker.engine.passes.base import PassContext
from worker.engine.passes.packing import packed_layouts
from worker.engine.passes.weight_tasks import Task
from worker.engine.weights.budget import Choice, Upgrade
from worker.engine.weights.known_grids import KnownGrids
from worker.engine.weights.moments import MeanLayer, MultipliedLayer, collect, multiplied_layers
from worker.engine.weights.rounding import Rounding, stored_bits
from worker.engine.weights.storage import MINIMUM_OPSETS


@dataclass(frozen=True)
class RoundingOptions:
    """What decides a weight's grid, but for its bits."""

    block_size: int
    minimum_values: int
    is_compensated: bool
    """Whether later values of a row absorb the error of earlier ones."""


@dataclass(frozen=True)
class WeightRounding:
    """Rounding of a model's weights; biases make up for mean errors where they have `means`."""

    model: onnx.ModelProto
    means: Mapping[str, MeanLayer]
    options: RoundingOptions
    context: PassContext

    def choices(self, tasks: Sequence[Task]) -> list[Choice]:
        """Return a grid for each weight that is stored as integers.

        Raises:
            CalibrationError: a sample cannot be run.
        """
        places = {id(task): place for place, task in enumerate(tasks)}
        stored = [task for task in tasks if task.bits in MINIMUM_OPSETS]
        packed = packed_layouts(self.model, stored, self.options.block_size, self.context)
        known = self._known_grids()
        grids = {
            id(task): grid
            for task in stored
            if task.is_below_eight and task.is_overridden and task.weight.name not in packed
            if (grid := known.find(task.weight, places[id(task)], int(task.bits))) is not None
        }
        layers = self._layers(tasks, [task for task in stored if id(task) not in grids], known)
        choices = []
        for index, task in enumerate(stored):
            self.context.report_progress("compressing", (index + 1) / len(stored))
            if id(task) in grids:
                choices.append(Choice(task.weight, grids[id(task)], is_packed=False))
                continue
            name = task.weight.name
            array = numpy_helper.to_array(task.weight.tensor).astype(np.float32)
            rounding = Rounding(task.weight, array, layers.get(name), packed.get(name))
            choice = choose(rounding, task, self.options.block_size)
            choices.append(choice)
            if task.is_below_eight and choice.grid.bits == task.bits and not choice.is_packed:
                known.keep(choice.grid, places[id(task)])
        return choices

    def _known_grids(self) -> KnownGrids:
        """Return what earlier calls found for this model, these samples and these options."""
        options = json.dumps({**asdict(self.options), "are_biases_corrected": bool(self.means)})
        return KnownGrids(self.context.cache, self.model, self.context.samples, options)

    def _layers(
        self, tasks: Sequence[Task], unknown: Sequence[Task], known: KnownGrids
    ) -> dict[str, MultipliedLayer]:
        """Return the layers whose inputs' moments help, none where they are not used or real."""
        if not self.options.is_compensated or self.context.samples.origin == "synthetic":
            return {}
        below = [task.weight for task in unknown if task.is_below_eight]
        layers = multiplied_layers(below, self.model)
        if layers and not known.find_moments(layers):
            collect(
                self.model,
                [task.weight for task in tasks if not task.is_small],
                layers,
                hold_out(self.context.samples)[0],
                lambda fraction: self.context.report_progress("calibrating", fraction),
            )
            known.keep_moments(layers)
        for name, layer in layers.items():
            layer.is_centred = name in self.means
        return layers


def choose(rounding: Rounding, task: Task, block_size: int) -> Choice:
    """Return a weight's grid and, where its bits are not given, the one with 8 bits."""
    eight, is_packed = rounding.at_eight_bits(), rounding.packed is not None
    grid = rounding.in_blocks(int(task.bits), block_size) if task.is_below_eight else None
    if grid is None or stored_bits(grid) >= stored_bits(eight):
        return Choice(task.weight, eight, is_packed)
    if task.is_overridden:
        return Choice(task.weight, grid, is_packed)
    upgrade = Upgrade(eight, rounding.error(eight))
    return Choice(task.weight, grid, is_packed, rounding.error(grid), upgrade)
