"""Looks at a model's activations for static quantization, all that it wants to know in one pass."""

from dataclasses import dataclass

from worker.engine.calibration.channels import MapChannels
from worker.engine.calibration.collector import Kind, collect_kinds
from worker.engine.calibration.histogram import Histogram, RunningRange
from worker.engine.calibration.ranges import RangeOptions, find_range
from worker.engine.errors import CalibrationError
from worker.engine.graphs import DEFAULT_DOMAINS
from worker.engine.passes.base import PassContext
from worker.engine.quantization.graph_view import attribute
from worker.engine.quantization.static_writer import QuantFormat, StaticWriter
from worker.engine.quantization.weighted_nodes import WeightedNode, weighted_node

CHANNELLED_OP_TYPES = {"Conv", "ConvTranspose", "Gemm"}


@dataclass(frozen=True)
class StaticCalibration:
    """How activations are looked at.

    Args:
        options: how their ranges are found.
        quant_format: how the result is written, which decides whose ranges it takes.
        sees_channels: whether the channels of what Conv and Gemm read matter.
    """

    options: RangeOptions
    quant_format: QuantFormat
    sees_channels: bool

    def calibrate(self, writer: StaticWriter, context: PassContext) -> dict[str, MapChannels]:
        """Give the writer its ranges, and how many values each tensor has in a sample.

        Returns the channels of the inputs of nodes with weights.

        Raises:
            CalibrationError: no sample reaches a node, or one cannot be run.
        """
        kind = self._kind(context)
        tensors = dict.fromkeys([*writer.tensors("qdq"), *writer.tensors(self.quant_format)])
        wanted: dict[Kind, list[str]] = {kind: list(tensors) if writer.nodes else []}
        wanted[MapChannels] = _inputs(writer) if self.sees_channels else []
        if not any(wanted.values()):
            return {}
        observed = collect_kinds(writer.model, wanted, context)
        ranges = observed[kind]
        for weighted in writer.placement.weighted:
            root = writer.placement.shared.get(weighted.activation, weighted.activation)
            if root not in ranges:
                raise CalibrationError(
                    f"tensor {root} has no values in any calibration sample; give samples that "
                    f"reach {weighted.node.name}, or exclude it"
                )
        writer.use_ranges({name: find_range(seen, self.options) for name, seen in ranges.items()})
        writer.counts = {n: seen.count / len(context.samples) for n, seen in ranges.items()}
        channels = observed[MapChannels].items()
        return {name: seen for name, seen in channels if isinstance(seen, MapChannels)}

    def _kind(self, context: PassContext) -> Kind:
        # Where statistics are kept for other jobs, those should do for any method.
        is_kept = context.cache.folder is not None
        return Histogram if self.options.needs_histogram or is_kept else RunningRange


def _inputs(writer: StaticWriter) -> list[str]:
    """Return the activations whose second axis are a Conv's or a Gemm's channels."""
    nodes = [
        node
        for node in writer.model.graph.node
        if node.op_type in CHANNELLED_OP_TYPES
        and node.domain in DEFAULT_DOMAINS
        and not attribute(node, "transA", 0)
    ]
    found = [weighted_node(node, writer.view) for node in nodes]
    return [each.activation for each in found if isinstance(each, WeightedNode)]
