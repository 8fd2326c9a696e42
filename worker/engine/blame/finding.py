"""Finds out who is to blame: every compressed node's error and effect, ranked and explained."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from worker.engine.blame.activations import SegmentValues, observe
from worker.engine.blame.causes import Cause, harm_of_causes
from worker.engine.blame.effects import Budget, Effect, measure_effects
from worker.engine.blame.explaining import explain
from worker.engine.blame.pairing import ModelPair, Pairing
from worker.engine.blame.pictures import draw
from worker.engine.blame.probing import local_errors
from worker.engine.blame.switches import Switchboard, segment_board, worst_db
from worker.engine.blame.values import compare_meanings
from worker.engine.blame.weights import WeightFacts, weight_facts
from worker.engine.errors import EngineError, PassError
from worker.engine.fidelity import OutputComparison
from worker.engine.layers import StoredWeights
from worker.engine.quantization.working_copy import name_nodes
from worker.engine.report.blame import BlamedNode
from worker.engine.runtime import open_session, run
from worker.engine.samples import Feeds

EXPLAINED_NODES = 5


@dataclass
class Investigation:
    """What was found out about one result."""

    pairing: Pairing
    board: Switchboard
    effects: list[Effect]
    notes: list[str] = field(default_factory=list)

    def fidelity_of(self, model: onnx.ModelProto) -> float:
        """Return the SQNR of the worst output of a model with the same inputs and outputs."""
        session = open_session(model, failure=PassError)
        comparisons = [OutputComparison(name) for name in self.board.outputs]
        for feeds, expected in zip(self.board.samples, self.board.expected, strict=True):
            answers = run(session, feeds, self.board.outputs)
            for comparison, reference, answer in zip(comparisons, expected, answers, strict=True):
                comparison.add(reference, answer)
        return worst_db(comparisons)


def investigate(
    pair: ModelPair, samples: Sequence[Feeds], folder: Path, budget: Budget
) -> Investigation:
    """Take both models apart and measure every compressed node's own error and effect.

    Gives the original's nodes names where they lack them, as the passes do.

    Raises:
        EngineError: the models cannot be taken apart, or not run so.
    """
    name_nodes(pair.original)
    pairing = Pairing(pair)
    meanings = compare_meanings(pairing, samples[0], folder)
    if meanings.parted:
        pairing = Pairing(pair, meanings.parted)
    board = segment_board(pairing, samples)
    notes = []
    try:
        local = local_errors(pairing, meanings.floats, samples)
    except EngineError as error:
        local = {}
        notes.append(f"no node could be run by itself: {error}")
    return Investigation(
        pairing, board, measure_effects(board, pairing.changed, local, budget), notes
    )


def describe(found: Investigation, samples: Sequence[Feeds]) -> list[BlamedNode]:
    """Return every node for the report, the worst of them explained."""
    worst = [effect.segment for effect in found.effects[:EXPLAINED_NODES]]
    stored = StoredWeights(found.pairing.pair.result, found.pairing.pair.tidied)
    values: dict[str, SegmentValues] = {}
    weights: dict[str, WeightFacts] = {}
    harm: dict[Cause, float] = {}
    for segment in worst:
        facts = weight_facts(found.pairing, segment, stored)
        if facts is not None:
            weights[segment.name] = facts
    try:
        values = observe(found.pairing, worst, samples)
        roundings = {name: [each for each, _ in seen.roundings] for name, seen in values.items()}
        # Which of a node's few causes does most harm shows on one sample already.
        harm = harm_of_causes(found.pairing, worst, weights, roundings, samples[:1])
    except EngineError as error:
        found.notes.append(f"the worst nodes could not be looked at closely: {error}")
    nodes = [_node(effect) for effect in found.effects]
    for node in nodes:
        if node.node in values:
            weight, seen = weights.get(node.node), values[node.node]
            node.explanation = explain(node.node, weight, seen, harm)
            node.pictures = draw(weight, seen)
    return nodes


def _node(effect: Effect) -> BlamedNode:
    return BlamedNode(
        node=effect.segment.name,
        op_type=effect.segment.node.op_type,
        nodes=[node.name for node in effect.segment.before],
        local_sqnr_db=effect.local_db,
        alone_sqnr_db=effect.alone_db,
        restored_sqnr_db=effect.restored_db,
    )
