"""The sentence that names the nodes which ruined a result."""

from pathlib import Path

from worker.engine.blame.effects import Budget
from worker.engine.blame.finding import describe, investigate
from worker.engine.blame.pairing import ModelPair
from worker.engine.errors import EngineError
from worker.engine.report.blame import BlamedNode
from worker.engine.samples import Feeds

LOST_DB = 20.0
FAR_BETTER_DB = 12.0
"""Nodes that keep this much more than the worst are not the matter."""
NODES_NAMED = 3
BUDGET_SECONDS = 5.0


def describe_blame(pair: ModelPair, feeds: Feeds, folder: Path) -> str:
    """Return a sentence naming the nodes that lose most, empty where none stands out."""
    try:
        found = investigate(pair, [feeds], folder, Budget(BUDGET_SECONDS))
        nodes = describe(found, [feeds])
    except EngineError:  # the result cannot be taken apart; the verdict stands without it
        return ""
    named = ", ".join(_named(node) for node in worst_of(nodes))
    if not named:
        return ""
    why = f" ({nodes[0].explanation})" if nodes[0].explanation else ""
    return f"Most is lost at {named}{why}. "


def worst_of(nodes: list[BlamedNode]) -> list[BlamedNode]:
    """Return the few nodes that lose the answers by themselves, worst first."""
    measured = [node for node in nodes if node.alone_sqnr_db is not None]
    worst = min((node.alone_sqnr_db or 0.0 for node in measured), default=LOST_DB)
    limit = min(LOST_DB, worst + FAR_BETTER_DB)
    return [node for node in measured if (node.alone_sqnr_db or 0.0) < limit][:NODES_NAMED]


def _named(node: BlamedNode) -> str:
    return (
        f'"{node.node}" ({node.op_type}, {node.alone_sqnr_db:.1f} dB when it alone is compressed)'
    )
