"""Which nodes a pass touches: names, patterns and op types, and a reason for each node left alone."""

from typing import Annotated

from pydantic import Field

from worker.engine.passes.base import Pass

NodePatterns = Annotated[list[str], Field(max_length=10_000)]


class NodeSelectingPass(Pass):
    """A pass whose user may say which nodes it touches."""

    nodes_to_quantize: NodePatterns | None = None
    """Only these nodes: names, or patterns with `*`, `?` and `[...]`; left out, every node of
    `op_types_to_quantize`."""
    nodes_to_exclude: NodePatterns = []
    """Never these nodes: names, or patterns with `*`, `?` and `[...]`."""
