"""Single nodes run as they are and compressed, on what they read in a run of the model."""

from collections.abc import Callable, Collection

import onnx
from onnx import helper

from worker.engine.errors import CalibrationError
from worker.engine.quantization.answer_errors import AnswerErrors
from worker.engine.quantization.graph_view import GraphView
from worker.engine.runtime import open_session, run
from worker.engine.samples import Array, Feeds
from worker.engine.timing import LoadedPair, time_in_turn

TIMED_PAIRS = 15


class NodeTrials:
    """What it is worth to compress each of some nodes.

    `compress` takes a model of one node, and its name, and returns that model compressed.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        names: Collection[str],
        feeds: Feeds,
        compress: Callable[[onnx.ModelProto, str], onnx.ModelProto],
    ) -> None:
        self.model = model
        self.view = GraphView(model.graph)
        self.nodes = {node.name: node for node in model.graph.node if node.name in names}
        self.compress = compress
        self.values = self._values_read(feeds)
        self._ratios: dict[object, float] = {}

    def latency_ratio(self, name: str) -> float:
        """Return the time of a node compressed over that as it is, on one thread.

        Nodes that differ in their values only are timed once.
        """
        node, inputs = self.nodes[name], self._inputs(name)
        shapes = [tuple(array.shape) for array in inputs.values()]
        weights = [tuple(self.view.initializers[n].dims) for n in self._constants(node)]
        attributes = [each.SerializeToString(deterministic=True) for each in node.attribute]
        key = (node.op_type, tuple(shapes), tuple(weights), tuple(attributes))
        if key not in self._ratios:
            single = self._single(name)
            compressed = self.compress(single, name)
            pair = LoadedPair(open_session(single), open_session(compressed), 0.0, 0.0)
            seconds, others = time_in_turn(pair, [inputs], TIMED_PAIRS, lambda _: None)
            # The shortest times: what else the machine does only adds to them.
            self._ratios[key] = min(others) / min(seconds)
        return self._ratios[key]

    def error(self, name: str) -> float:
        """Return the Σ(a - b)² / Σa² that compression makes of a node's output."""
        single = self._single(name)
        errors = AnswerErrors(single, [self._inputs(name)])
        return errors.of_model(self.compress(single, name))

    def _values_read(self, feeds: Feeds) -> dict[str, Array]:
        """Run the model once and return what the nodes read that is no constant."""
        wanted = {
            name
            for node in self.nodes.values()
            for name in node.input
            if name and name not in self.view.initializers
        }
        fetched = sorted(wanted - set(feeds))
        extended = onnx.ModelProto()
        extended.CopyFrom(self.model)
        extended.graph.output.extend(
            helper.make_empty_tensor_value_info(name)
            for name in fetched
            if name not in self.view.outputs
        )
        session = open_session(extended, failure=CalibrationError)
        outputs = run(session, feeds, fetched, failure=CalibrationError) if fetched else []
        return {**feeds, **dict(zip(fetched, outputs, strict=True))}

    def _constants(self, node: onnx.NodeProto) -> list[str]:
        return [name for name in node.input if name in self.view.initializers]

    def _inputs(self, name: str) -> Feeds:
        read = dict.fromkeys(self.nodes[name].input)
        return {each: self.values[each] for each in read if each in self.values}

    def _single(self, name: str) -> onnx.ModelProto:
        """Return a model of one node, with the shapes that it met."""
        node = self.nodes[name]
        inputs = [
            helper.make_tensor_value_info(
                each, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
            )
            for each, array in self._inputs(name).items()
        ]
        outputs = [helper.make_empty_tensor_value_info(each) for each in node.output if each]
        constants = [self.view.initializers[each] for each in dict.fromkeys(self._constants(node))]
        graph = helper.make_graph([node], "single", inputs, outputs, constants)
        return helper.make_model(
            graph, opset_imports=self.model.opset_import, ir_version=self.model.ir_version
        )
