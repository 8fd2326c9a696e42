"""What of a segment's compression does the harm: its weight, or the rounding of an activation."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from worker.engine.blame.activations import Rounding
from worker.engine.blame.pairing import Pairing, Segment
from worker.engine.blame.switches import Switchboard
from worker.engine.blame.weights import WeightFacts
from worker.engine.names import NameGiver, taken_names
from worker.engine.samples import Feeds

Cause = tuple[str, str]
"""A segment, and the weight or the activation that is compressed in it."""


class CauseModel:
    """The float model, where an If can compress one weight or one activation by itself."""

    def __init__(self, pairing: Pairing) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(pairing.pair.original)
        self.names = NameGiver(taken_names(self.model))
        self.switches: dict[Cause, str] = {}
        self._nodes = {node.name: node for node in self.model.graph.node}
        self._added: dict[str, list[onnx.NodeProto]] = defaultdict(list)

    def add_weight(self, segment: Segment, facts: WeightFacts) -> None:
        """Let a segment read its weight as it is stored, or as it was."""
        graph = self.model.graph
        kind = next(t.data_type for t in graph.initializer if t.name == facts.name)
        stored = self.names.name(f"{facts.name}/stored")
        values = facts.after.astype(helper.tensor_dtype_to_np_dtype(kind))
        graph.initializer.append(numpy_helper.from_array(values, stored))
        chosen = self.names.name(f"{facts.name}/chosen")
        self._redirect(segment, facts.name, chosen)
        rounded = self.names.name(f"{facts.name}/rounded")
        body = [helper.make_node("Identity", [stored], [rounded])]
        self._added[""].append(self._choice((segment.name, facts.name), body, facts.name, chosen))

    def add_rounding(self, segment: Segment, rounding: Rounding) -> None:
        """Let a segment read or give an activation in the steps of its range, or as it was."""
        name = rounding.name
        producer = next((n.name for n in self.model.graph.node if name in n.output), "")
        if rounding.what == "input":
            source, target = name, self.names.name(f"{name}/chosen")
            self._redirect(segment, name, target)
        else:
            source, target = self.names.name(f"{name}/exact"), name
            node = self._nodes[producer]
            node.output[:] = [source if each == name else each for each in node.output]
        body = self._in_steps(source, rounding)
        choice = self._choice((segment.name, name), body, source, target)
        self._added[producer].append(choice)

    def finished(self) -> onnx.ModelProto:
        """Return the model, each If behind what it reads."""
        graph = self.model.graph
        ordered = list(self._added.pop("", []))
        for node in graph.node:
            ordered += [node, *self._added.get(node.name, [])]
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in ordered]
        del graph.node[:]
        graph.node.extend(copies)
        graph.input.extend(
            helper.make_tensor_value_info(name, TensorProto.BOOL, [])
            for name in self.switches.values()
        )
        return self.model

    def _redirect(self, segment: Segment, name: str, other: str) -> None:
        for node in (self._nodes[each.name] for each in segment.before):
            node.input[:] = [other if read == name else read for read in node.input]

    def _choice(
        self, cause: Cause, body: list[onnx.NodeProto], source: str, target: str
    ) -> onnx.NodeProto:
        """Return an If of what the body computes and of the source as it is."""
        self.switches[cause] = self.names.name(f"{cause[1]}/switch")
        exact = self.names.name(f"{target}/exact")
        return helper.make_node(
            "If",
            [self.switches[cause]],
            [target],
            then_branch=_body(body, body[-1].output[0]),
            else_branch=_body([helper.make_node("Identity", [source], [exact])], exact),
        )

    def _in_steps(self, source: str, rounding: Rounding) -> list[onnx.NodeProto]:
        """Return nodes that compute clip(round(x / scale), lowest, highest) · scale."""
        steps = {
            "scale": rounding.scale,
            "lowest": round(rounding.lowest / rounding.scale),
            "highest": round(rounding.highest / rounding.scale),
        }
        constants = {part: self.names.name(f"{source}/{part}") for part in steps}
        self.model.graph.initializer.extend(
            numpy_helper.from_array(np.array(value, np.float32), constants[part])
            for part, value in steps.items()
        )
        parts = [self.names.name(f"{source}/step_{index}") for index in range(4)]
        scale, lowest, highest = constants.values()
        return [
            helper.make_node("Div", [source, scale], parts[:1]),
            helper.make_node("Round", parts[:1], parts[1:2]),
            helper.make_node("Clip", [parts[1], lowest, highest], parts[2:3]),
            helper.make_node("Mul", [parts[2], scale], parts[3:]),
        ]


def _body(nodes: list[onnx.NodeProto], output: str) -> onnx.GraphProto:
    return helper.make_graph(nodes, output, [], [helper.make_empty_tensor_value_info(output)])


def harm_of_causes(
    pairing: Pairing,
    segments: Sequence[Segment],
    weights: dict[str, WeightFacts],
    roundings: dict[str, list[Rounding]],
    samples: Sequence[Feeds],
) -> dict[Cause, float]:
    """Return the SQNR of the worst output with one cause alone.

    Raises:
        PassError: onnxruntime does not take the model.
    """
    causes = CauseModel(pairing)
    rounded: set[str] = set()
    for segment in segments:
        if segment.name in weights:
            causes.add_weight(segment, weights[segment.name])
        for rounding in roundings.get(segment.name, []):
            if rounding.name in pairing.names and rounding.name not in rounded:
                rounded.add(rounding.name)
                causes.add_rounding(segment, rounding)
    outputs = [value.name for value in pairing.pair.original.graph.output]
    names = {f"{index}": switch for index, switch in enumerate(causes.switches.values())}
    board = Switchboard(causes.finished(), names, outputs, samples)
    return {cause: board.fidelity_db({str(index)}) for index, cause in enumerate(causes.switches)}
