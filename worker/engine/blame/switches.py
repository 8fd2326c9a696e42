"""A model in which each compressed segment can be switched on by itself."""

from collections.abc import Collection, Mapping, Sequence
from itertools import islice

import numpy as np
import onnx
from onnx import helper

from worker.engine.blame.pairing import Pairing, Segment
from worker.engine.blame.splicing import Splice
from worker.engine.decibels import EQUAL_DB
from worker.engine.errors import PassError
from worker.engine.fidelity import OutputComparison
from worker.engine.gates import sqnr_of
from worker.engine.report.quality import OutputFidelity
from worker.engine.runtime import open_session, run
from worker.engine.samples import Array, Feeds


class Switchboard:
    """A model whose parts are compressed where a switch says so, and its float answers.

    Args:
        model: what has the switches among its inputs.
        switches: the graph input of each part, by the part's name.
        outputs: the answers to compare.
        samples: feeds without the switches.

    Raises:
        PassError: onnxruntime does not take the model.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        switches: Mapping[str, str],
        outputs: Sequence[str],
        samples: Sequence[Feeds],
    ) -> None:
        self.samples = samples
        self.outputs = outputs
        self.switches = switches
        self.session = open_session(model, failure=PassError)
        self.expected = [self._answers(feeds, ()) for feeds in samples]
        self._known: dict[tuple[frozenset[str], int], float] = {}

    def fidelity_db(self, switched_on: Collection[str], samples: int | None = None) -> float:
        """Return the SQNR of the worst part of an output, with these segments compressed.

        On all samples, or only on the first few. What was measured once is known.
        """
        count = len(self.samples) if samples is None else min(samples, len(self.samples))
        key = (frozenset(switched_on), count)
        if key not in self._known:
            self._known[key] = self._measured(switched_on, count)
        return self._known[key]

    def _measured(self, switched_on: Collection[str], samples: int) -> float:
        comparisons = [OutputComparison(name) for name in self.outputs]
        pairs = zip(self.samples, self.expected, strict=True)
        for feeds, expected in islice(pairs, samples):
            answers = self._answers(feeds, switched_on)
            for comparison, reference, answer in zip(comparisons, expected, answers, strict=True):
                comparison.add(reference, answer)
        return worst_db(comparisons)

    def _answers(self, feeds: Feeds, switched_on: Collection[str]) -> list[Array]:
        switches: dict[str, Array] = {
            switch: np.array(name in switched_on) for name, switch in self.switches.items()
        }
        return run(self.session, {**feeds, **switches}, self.outputs)


def worst_db(comparisons: Sequence[OutputComparison]) -> float:
    """Return the least SQNR of an output or part of one, 0 where answers are not finite.

    Raises:
        PassError: no output is floating point.
    """
    return worst_part_db([comparison.result("dataset") for comparison in comparisons])


def worst_part_db(results: Sequence[OutputFidelity]) -> float:
    """Return the same of outputs that were compared.

    Raises:
        PassError: no output is floating point.
    """
    figures = [figure for result in results if (figure := sqnr_of(result)) is not None]
    if not figures:
        raise PassError("no output is floating point")
    if any(result.non_finite for result in results):
        return min(0.0, *figures)
    return min(EQUAL_DB, *figures)


def segment_board(pairing: Pairing, samples: Sequence[Feeds]) -> Switchboard:
    """Return the float model, each of whose changed segments can be exchanged by its name.

    Raises:
        PassError: onnxruntime does not take the two models as one.
    """
    model, switches = _with_switches(pairing)
    outputs = [value.name for value in pairing.pair.original.graph.output]
    return Switchboard(model, switches, outputs, samples)


def _with_switches(pairing: Pairing) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Return the model, and the graph input that switches each changed segment by its name."""
    splice = Splice(pairing)
    graph = splice.model.graph
    switches: dict[str, str] = {}
    emitted: set[int] = set()
    for segment in pairing.segments:
        if segment.is_changed:
            switches[segment.name] = splice.names.name(f"{segment.name}/switch")
            graph.node.append(_switch(splice, segment, switches[segment.name]))
            continue
        own = [node for node in segment.before if id(node) not in emitted]
        emitted.update(map(id, own))
        splice.add(own, {})
    graph.input.extend(
        helper.make_tensor_value_info(name, onnx.TensorProto.BOOL, []) for name in switches.values()
    )
    graph.output.extend(pairing.pair.original.graph.output)
    return splice.model, switches


def _switch(splice: Splice, segment: Segment, condition: str) -> onnx.NodeProto:
    """Return an If of the compressed and the float segment."""
    bodies = [
        helper.make_graph(
            part.nodes, name, [], [helper.make_empty_tensor_value_info(n) for n in part.outputs]
        )
        for name, part in (
            ("compressed", splice.of_result(segment)),
            ("float", splice.of_original(segment)),
        )
    ]
    return helper.make_node(
        "If", [condition], segment.outputs, then_branch=bodies[0], else_branch=bodies[1]
    )
