"""Joining activations that an exporter wrote out in small steps."""

import onnx_ir as ir

from worker.engine.graphs import DEFAULT_DOMAINS
from worker.engine.preparation.constants import array_of, bypass, walk


def join_hard_sigmoids(model: ir.Model) -> int:
    """Join Add, Clip from 0 and Div by the Clip's limit to HardSigmoid.

    clip(x + c, 0, m) / m = max(0, min(1, x / m + c / m)), also where a Mul by x lies between Clip
    and Div, as in a spelled-out HardSwish. onnxruntime fuses HardSigmoid and that Mul into the Conv
    before them; the steps run one by one.
    """
    return sum(_join(node) for node in walk(model) if _is(node, "Div"))


def _join(division: ir.Node) -> bool:
    limit = _scalar(division.inputs[1])
    dividend = division.inputs[0]
    last = _only_producer(dividend)
    if limit is None or limit <= 0 or dividend is None or last is None:
        return False
    if _is(last, "Mul"):
        for value, other in (last.inputs, reversed(last.inputs)):
            clip = _only_producer(value)
            if clip is not None and _replace_clip(clip, limit, other):
                return bypass(division, dividend)
        return False
    return _replace_clip(last, limit, None) and _drop(division)


def _drop(division: ir.Node) -> bool:
    """Remove a division whose dividend is a HardSigmoid by now."""
    dividend = division.inputs[0]
    return dividend is not None and bypass(division, dividend)


def _replace_clip(clip: ir.Node, limit: float, factor: ir.Value | None) -> bool:
    """Put a HardSigmoid in the place of Clip and the Add before it.

    `factor`, where given, must be what the Add reads.
    """
    addition = _only_producer(clip.inputs[0]) if _is(clip, "Clip") else None
    bounds = [_scalar(value) for value in clip.inputs[1:]]
    if addition is None or not _is(addition, "Add") or bounds != [0.0, limit]:
        return False
    for source, constant in (addition.inputs, reversed(addition.inputs)):
        shift = _scalar(constant)
        if shift is not None and source is not None and factor in {None, source}:
            _insert_hard_sigmoid(clip, source, 1 / limit, shift / limit)
            return True
    return False


def _insert_hard_sigmoid(clip: ir.Node, source: ir.Value, alpha: float, beta: float) -> None:
    graph, addition = clip.graph, _only_producer(clip.inputs[0])
    if graph is None or addition is None:
        raise ValueError(f"{clip.name!r} does not follow an Add of a graph")
    sigmoid = ir.node(
        "HardSigmoid", [source], attributes={"alpha": alpha, "beta": beta}, name=clip.name
    )
    name = clip.outputs[0].name
    graph.insert_before(clip, sigmoid)
    clip.outputs[0].replace_all_uses_with(sigmoid.outputs[0])
    graph.remove([clip, addition], safe=True)
    sigmoid.outputs[0].name = name


def _only_producer(value: ir.Value | None) -> ir.Node | None:
    """Return the node whose output this is, where nothing else reads it."""
    if value is None or len(value.uses()) != 1 or value.is_graph_output():
        return None
    return value.producer()


def _scalar(value: ir.Value | None) -> float | None:
    array = array_of(value)
    return None if array is None or array.size != 1 else float(array.reshape(-1)[0])


def _is(node: ir.Node, op_type: str) -> bool:
    return node.op_type == op_type and node.domain in DEFAULT_DOMAINS
