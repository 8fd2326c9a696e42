"""Checks on onnxruntime's own optimized graph that it folded what it was given to fold."""

from pathlib import Path

import onnx

from worker.engine.graphs import walk_nodes
from worker.engine.runtime import open_session


def unfolded_values(model: onnx.ModelProto, values: set[str], workdir: Path) -> set[str]:
    """Return those of `values` that onnxruntime still computes at run time, after optimization."""
    path = workdir / "optimized.onnx"
    try:
        open_session(model, optimized_path=path)
        optimized = onnx.load(path, load_external_data=False)
    finally:
        path.unlink(missing_ok=True)
    return {name for node in walk_nodes(optimized) for name in node.output} & values
