"""What each weight at few bits does to the answers by itself, measured on the running model.

The weights become graph inputs of one session, so that a trial is one run with another weight.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

import numpy as np
import onnx
from onnx import helper, numpy_helper

from worker.engine.candidate import pass_context
from worker.engine.datasets.splitting import first
from worker.engine.errors import CalibrationError, EngineError
from worker.engine.graphs import walk_graphs
from worker.engine.half_precision import why_not_half
from worker.engine.model_files import tensor_bytes
from worker.engine.original import Original
from worker.engine.passes.weight_overrides import WeightOverride
from worker.engine.passes.weight_quantization import WeightQuantization
from worker.engine.progress import Progress
from worker.engine.quantization.answer_errors import AnswerErrors
from worker.engine.quantization.working_copy import name_nodes
from worker.engine.runtime import Session, open_session, run
from worker.engine.samples import Array
from worker.engine.search.allocation import Bits, WeightCosts
from worker.engine.search.budget import Budget
from worker.engine.weights.biases import give_own_biases
from worker.engine.weights.finding import find_weights

FEW_BITS: tuple[Bits, ...] = (4, 2)
EIGHT_BITS: tuple[Bits, ...] = (8,)
SAMPLES = 2
MORE_SAMPLES = 16
"""For weights that the first samples did not reach, such as those of an If's other body."""
UNREACHED_ERROR = 1e-10
"""100 dB: what sessions of one model differ by, where one is given its weights."""
SHARE_OF_TIME = 0.3
"""Of what is left, for measuring at all bits; weights that are not reached keep 4 at the least."""
EIGHT_BIT_SHARE = 1 / 64
"""Of the error at 4 bits: four bits more would be 1/256, scales of larger blocks cost some."""
SMALLEST = 512


class Sensitivity:
    """The weights of a model, as they are stored at each number of bits.

    `is_careful`: rounded to absorb each other's errors, which may take many times as long.
    """

    def __init__(
        self, original: Original, folder: Path, progress: Progress, *, is_careful: bool = True
    ) -> None:
        self._original = original
        self._folder = folder
        self._progress = progress
        self._is_careful = is_careful
        # The graph for 2 bits is that for 4 bits but for its opset.
        self._model = onnx.ModelProto()
        self._model.CopyFrom(original.prepared_for([WeightQuantization(bits=2)]).model)
        name_nodes(self._model)
        names = [weight.name for weight in find_weights(self._model, SMALLEST)]
        counts = Counter(t.name for graph in walk_graphs(self._model) for t in graph.initializer)
        self._biases = give_own_biases(self._model, names)
        corrected = {bias for own in self._biases.values() for bias in own}
        self.names = [name for name in names if counts[name] == 1 and name not in corrected]

    def measure(self, budget: Budget, levels: Sequence[Bits] = FEW_BITS) -> list[WeightCosts]:
        """Return the costs of each weight that the samples reach, the largest weights first.

        They are those of `levels`, from more bits to fewer, and of twice as many as the first.

        Raises:
            EngineError: the model does not run with its weights as inputs.
        """
        errors = [self._answer_errors(count) for count in (SAMPLES, MORE_SAMPLES)]
        biases = [bias for own in self._biases.values() for bias in own]
        fed = [*self.names, *biases]
        session = open_session(_with_weights_fed(self._model, fed), failure=CalibrationError)
        values = dict(_initializers(self._model, fed))
        floats = {name: values[name] for name in self.names}
        costs: dict[str, WeightCosts] = {}
        for bits in levels:
            stored, decoded = self._stored(bits)
            stop_at = budget.left_seconds * (1 - SHARE_OF_TIME / len(levels))
            for name in (name for name in _by_size(floats, levels) if name in stored):
                if budget.left_seconds < stop_at:
                    break
                trial = {each: decoded[each] for each in [name, *self._biases.get(name, [])]}
                error = self._error(session, values, trial, errors)
                if error is not None and bits == levels[0]:
                    costs[name] = _from_above(name, bits, floats[name].size, error)
                if error is not None and name in costs:
                    costs[name] = _with_level(costs[name], bits, stored[name], error)
        return list(costs.values())

    def _error(
        self,
        session: Session,
        floats: Mapping[str, Array],
        stored: Mapping[str, Array],
        errors: Sequence[AnswerErrors],
    ) -> float | None:
        """Return what one stored weight does to the answers, on the first samples that show it.

        `stored` is the weight with the biases that make up for it. None where no sample shows
        anything: what none reaches is not known to stand fewer bits.
        """
        is_exact = all(np.array_equal(floats[name], stored[name]) for name in stored)
        for each in errors:
            error = each.of_session(session, {**floats, **stored})
            self._progress.of_pass(0, 1)("compressing", 0.0)
            if is_exact or error > UNREACHED_ERROR:
                return error
        return None

    def _answer_errors(self, count: int) -> AnswerErrors:
        samples = first(self._original.samples.calibration, count)
        return AnswerErrors(self._model, [sample.feeds for sample in samples])

    def _stored(self, bits: Bits) -> tuple[dict[str, int], dict[str, Array]]:
        """Return the bytes and the values of each weight, stored at so many bits, and of biases."""
        everything = WeightOverride(weights=("*",), bits=bits)
        step = WeightQuantization(
            bits=cast("Literal[8, 4, 2]", bits),
            overrides=(everything,),
            error_compensation=self._is_careful,
            runtime_form="folded",
            correct_biases=True,
        )
        folder = self._folder / f"bits_{bits}"
        folder.mkdir(parents=True)
        context = pass_context(self._original, folder, self._progress.of_pass(0, 1))
        result = step.apply(self._model, context).model
        biases = [bias for own in self._biases.values() for bias in own]
        sizes, decoded = _decoded(result, [*self.names, *biases])
        return sizes, {**dict(_initializers(result, biases)), **decoded}


def _by_size(floats: Mapping[str, Array], levels: Sequence[Bits]) -> list[str]:
    """Return the names of the weights that these bits and twice the first can hold."""
    held = [name for name in floats if levels[0] != 8 or why_not_half(floats[name]) is None]
    return sorted(held, key=lambda name: -floats[name].size)


def _from_above(name: str, bits: Bits, size: int, error: float) -> WeightCosts:
    """Return the costs at twice as many bits, by the error at these; 16 bits have next to none."""
    if bits == 8:
        return WeightCosts(name, {16: 2 * size}, {16: 0.0})
    return WeightCosts(name, {8: size}, {8: error * EIGHT_BIT_SHARE})


def _with_level(cost: WeightCosts, bits: Bits, size: int, error: float) -> WeightCosts:
    """Return costs with those of one more number of bits."""
    return replace(
        cost,
        stored_bytes={**cost.stored_bytes, bits: size},
        errors={**cost.errors, bits: error},
    )


def _initializers(model: onnx.ModelProto, names: list[str]) -> Iterator[tuple[str, Array]]:
    wanted = set(names)
    for graph in walk_graphs(model):
        for tensor in graph.initializer:
            if tensor.name in wanted:
                yield tensor.name, numpy_helper.to_array(tensor)


def _with_weights_fed(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    """Return a copy that takes weights as graph inputs; bodies see them from there too."""
    fed, wanted = onnx.ModelProto(), set(names)
    fed.CopyFrom(model)
    inputs = []
    for graph in walk_graphs(fed):
        kept = []
        for tensor in graph.initializer:
            if tensor.name not in wanted:
                kept.append(tensor)
                continue
            info = helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            inputs.append(info)
        kept = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in kept]
        del graph.initializer[:]
        graph.initializer.extend(kept)
    fed.graph.input.extend(inputs)
    return fed


def _decoded(model: onnx.ModelProto, names: list[str]) -> tuple[dict[str, int], dict[str, Array]]:
    """Return the bytes that make up each stored weight of a compressed model, and its values."""
    sizes: dict[str, int] = {}
    values: dict[str, Array] = {}
    wanted = set(names)
    for graph in walk_graphs(model):
        tensors = {tensor.name: tensor for tensor in graph.initializer}
        producers = {output: node for node in graph.node for output in node.output}
        nodes: list[onnx.NodeProto] = []
        used: dict[str, onnx.TensorProto] = {}
        found = [name for name in wanted & producers.keys() if name not in tensors]
        for name in sorted(found):
            own = _sources(name, producers, tensors, nodes)
            sizes[name] = sum(map(tensor_bytes, own.values()))
            used |= own
        if found:
            values |= _evaluated(model, nodes, used, sorted(found))
    return sizes, values


def _sources(
    name: str,
    producers: dict[str, onnx.NodeProto],
    tensors: dict[str, onnx.TensorProto],
    nodes: list[onnx.NodeProto],
) -> dict[str, onnx.TensorProto]:
    """Return the tensors that a value is made of; its nodes join `nodes`, in order."""
    if name in tensors:
        return {name: tensors[name]}
    node = producers[name]
    sources: dict[str, onnx.TensorProto] = {}
    for each in node.input:
        sources |= _sources(each, producers, tensors, nodes)
    if node not in nodes:
        nodes.append(node)
    return sources


def _evaluated(
    model: onnx.ModelProto,
    nodes: list[onnx.NodeProto],
    tensors: dict[str, onnx.TensorProto],
    names: list[str],
) -> dict[str, Array]:
    outputs = [helper.make_empty_tensor_value_info(name) for name in names]
    graph = helper.make_graph(nodes, "weights", [], outputs, list(tensors.values()))
    small = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    session = open_session(small, optimize=False, failure=EngineError)
    return dict(zip(names, map(np.asarray, run(session, {}, names)), strict=True))
