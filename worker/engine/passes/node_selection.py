"""Which nodes a pass touches: by name, pattern and op type, with a reason for all others."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Annotated

import onnx
from pydantic import Field

from worker.engine.errors import PassError
from worker.engine.graphs import DEFAULT_DOMAINS, subgraphs
from worker.engine.passes.base import Pass, SkippedNode
from worker.engine.quantization.graph_view import Declined

NodePatterns = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(max_length=10_000)]
SUGGESTIONS = 3


class NodeSelectingPass(Pass):
    """A pass whose user may say which nodes it touches."""

    nodes_to_quantize: NodePatterns | None = None
    """Only these nodes: names, or patterns with `*`, `?` and `[...]`; left out, every node of
    `op_types_to_quantize`."""
    nodes_to_exclude: NodePatterns = ()
    """Never these nodes: names, or patterns with `*`, `?` and `[...]`."""


@dataclass(frozen=True)
class Selection:
    """The names of the chosen top-level nodes, and why the others are not."""

    chosen: set[str]
    skipped: list[SkippedNode]


def select_nodes(
    model: onnx.ModelProto, options: NodeSelectingPass, op_types: Collection[str]
) -> Selection:
    """Return the top-level nodes that a pass's options choose, by name, and why not the others.

    Raises:
        PassError: a name or pattern matches no node.
    """
    names = [node.name for node in _all_nodes(model.graph)]
    only = None
    if options.nodes_to_quantize is not None:
        only = matching_names(options.nodes_to_quantize, names, "nodes_to_quantize")
    excluded = matching_names(options.nodes_to_exclude, names, "nodes_to_exclude")
    selection = Selection(set(), [])
    for node in model.graph.node:
        reason = _refusal(node, only, excluded, op_types)
        if reason is None:
            selection.chosen.add(node.name)
        else:
            selection.skipped.append(_skip(node, reason))
        for body in subgraphs(node):
            reason = (
                f"it is inside {node.name} ({node.op_type}); only top-level nodes are quantized"
            )
            selection.skipped.extend(_skip(inner, reason) for inner in _all_nodes(body))
    return selection


def _refusal(
    node: onnx.NodeProto,
    only: set[str] | None,
    excluded: set[str],
    op_types: Collection[str],
) -> str | None:
    """Return why the options leave a node alone; None where they choose it."""
    if node.name in excluded:
        return "nodes_to_exclude names it"
    if only is not None and node.name not in only:
        return "nodes_to_quantize does not name it"
    if node.domain not in DEFAULT_DOMAINS:
        return f"it is an operator of the domain {node.domain}"
    if node.op_type not in op_types:
        return f"op_types_to_quantize does not hold {node.op_type}"
    return None


def skipped_nodes(declined: Iterable[Declined]) -> list[SkippedNode]:
    """Return the report's words for nodes that were left alone."""
    return [_skip(node, reason) for node, reason in declined]


def matching_names(
    patterns: Iterable[str], names: list[str], option: str, what: str = "node"
) -> set[str]:
    """Return the names that any of the patterns is or matches; `what` they are names of.

    Raises:
        PassError: a pattern matches none.
    """
    found: set[str] = set()
    for pattern in patterns:
        matched = {name for name in names if name == pattern or fnmatchcase(name, pattern)}
        if not matched:
            close = (
                get_close_matches(pattern, names, SUGGESTIONS, cutoff=0.4) or names[:SUGGESTIONS]
            )
            raise PassError(
                f"{option}: no {what} is called or matches {pattern!r}; near it are "
                f"{', '.join(map(repr, close)) or 'no names'}"
            )
        found |= matched
    return found


def _all_nodes(graph: onnx.GraphProto) -> Iterable[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for body in subgraphs(node):
            yield from _all_nodes(body)


def _skip(node: onnx.NodeProto, reason: str) -> SkippedNode:
    return SkippedNode(node=node.name or node.output[0], op_type=node.op_type, reason=reason)
