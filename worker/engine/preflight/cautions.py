"""What to know of a model before a job: each a code, a sentence and the names it is about."""

from collections.abc import Iterator, Sequence

import onnx

from worker.engine.datasets.synthetic import STATE_NAMES, table_sizes
from worker.engine.graphs import DEFAULT_DOMAINS, walk_graphs
from worker.engine.preflight.contents import Caution, Forecast, ModelFacts
from worker.engine.preflight.trial import Trial
from worker.engine.preparation.records import mend_output_shapes
from worker.engine.requests import ModelInfo, TensorInfo
from worker.engine.weights.finding import find_weights
from worker.engine.weights.remaining import MINIMUM_VALUES

MOST_NAMES = 20
TOKEN_INPUTS = {"input_ids", "token_ids", "token_type_ids", "decoder_input_ids", "tokens"}


def find_cautions(
    model: onnx.ModelProto,
    prepared: onnx.ModelProto,
    info: ModelInfo,
    facts: ModelFacts,
    trial: Trial,
    forecasts: Sequence[Forecast],
) -> list[Caution]:
    """Return every caution that applies to a model, as it came and as passes get it."""
    found = [
        *_about_inputs(model, info, trial),
        *_about_weights(model, prepared, facts),
        *_about_opset(facts, forecasts),
        *_about_shapes(model, trial),
        *_about_domains(model),
    ]
    return [each.model_copy(update={"names": each.names[:MOST_NAMES]}) for each in found]


def stateful_inputs(inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]) -> dict[str, str]:
    """Return the inputs that are called like a state and have an output of their own form.

    A state goes in, is changed and comes out, to go into the next run. By input, the output.
    """
    found: dict[str, str] = {}
    for tensor in inputs:
        if not STATE_NAMES.search(tensor.name):
            continue
        free = [it for it in outputs if it.name not in found.values() and _may_hold(tensor, it)]
        alike = [it for it in free if it.name.lower().startswith(tensor.name.lower())]
        if alike or free:
            found[tensor.name] = (alike or free)[0].name
    return found


def _may_hold(state: TensorInfo, output: TensorInfo) -> bool:
    """Return whether an output may have the input's shape."""
    if state.dtype != output.dtype or state.shape is None or output.shape is None:
        return False
    pairs = zip(state.shape, output.shape, strict=False)
    return len(state.shape) == len(output.shape) and all(
        one == other or not isinstance(one, int) or not isinstance(other, int)
        for one, other in pairs
    )


def _about_inputs(model: onnx.ModelProto, info: ModelInfo, trial: Trial) -> Iterator[Caution]:
    states = stateful_inputs(info.inputs, info.outputs)
    if states:
        pairs = ", ".join(f"{name} ({output})" for name, output in states.items())
        yield Caution(
            code="stateful_inputs",
            message="these inputs look like states that outputs give back for the next run:"
            f" {pairs}; give samples as a .zip of one .npz for each run, with states from real use",
            names=list(states),
        )
    tables = table_sizes(model)
    tokens = [
        tensor.name
        for tensor in info.inputs
        if tensor.dtype in {"int32", "int64"}
        and (tensor.name in tables or tensor.name in TOKEN_INPUTS)
    ]
    if tokens:
        yield Caution(
            code="token_ids",
            message="these inputs look like token ids; made-up ones are noise to the model, so give"
            " samples from its own tokenizer",
            names=tokens,
        )
    free = [t.name for t in info.inputs if any(not isinstance(n, int) for n in (t.shape or [])[1:])]
    if free:
        yield Caution(
            code="free_dimensions",
            message="these inputs have dimensions of any size besides the batch; made-up samples"
            " guess them, and time, memory and ranges depend on them, so give samples of real size",
            names=free,
        )
    if trial.told.duration_seconds is None:
        yield Caution(
            code="no_trial_run",
            message=f"{trial.told.problem or 'the model was not run'}; a job needs a calibration"
            " dataset",
            names=[],
        )


def _about_shapes(model: onnx.ModelProto, trial: Trial) -> Iterator[Caution]:
    declared = onnx.ModelProto()
    declared.graph.output.extend(model.graph.output)
    contradicted = mend_output_shapes(declared, trial.outputs)
    if contradicted:
        yield Caution(
            code="false_shapes",
            message="these outputs declare shapes that a run contradicts; the result declares the"
            " contradicted sizes free",
            names=contradicted,
        )


def _about_weights(
    model: onnx.ModelProto, prepared: onnx.ModelProto, facts: ModelFacts
) -> Iterator[Caution]:
    if facts.quantized_op_counts:
        yield Caution(
            code="already_quantized",
            message="the model is quantized already, in part at least; upload the float model it"
            " was made from",
            names=list(facts.quantized_op_counts),
        )
    if "float32" not in facts.weight_bytes and "float64" not in facts.weight_bytes:
        yield Caution(
            code="no_float_weights",
            message="the model has no float32 weights, which are what the methods make smaller:"
            " of float16 ones weight_quantization alone does; upload the float32 model that this"
            " was made from, if there is one",
            names=[],
        )
    weights = find_weights(prepared, MINIMUM_VALUES)
    bodies = [weight.name for weight in weights if not weight.is_in_main_graph(prepared)]
    if bodies:
        yield Caution(
            code="weights_in_subgraphs",
            message="these weights are inside If, Loop or Scan bodies: they are stored in fewer"
            " bits like any other, but only top-level nodes compute in integers",
            names=bodies,
        )
    given = {tensor.name for graph in walk_graphs(model) for tensor in graph.initializer}
    listed = [value.name for value in model.graph.input if value.name in given]
    if listed:
        yield Caution(
            code="weights_listed_as_inputs",
            message="these weights are listed as graph inputs, so that a caller could override"
            " them; the result no longer allows that",
            names=listed,
        )


def _about_opset(facts: ModelFacts, forecasts: Sequence[Forecast]) -> Iterator[Caution]:
    raised = {
        step.required_opset(): forecast.refusal
        for forecast in forecasts
        for step in forecast.passes
        if 0 < facts.opset < step.required_opset()
    }
    refused = [o for o, refusal in raised.items() if _is_opset_refusal(refusal)]
    if refused:
        yield Caution(
            code="opset_too_old",
            message=f"the model cannot be raised from opset {facts.opset} to {min(refused)}, which"
            " some methods need; export it again at a newer opset",
            names=[],
        )
    elif raised:
        yield Caution(
            code="opset_raised",
            message=f"the model has opset {facts.opset}; methods raise it to"
            f" {', '.join(map(str, sorted(raised)))} as they need, so the runtime that loads the"
            " result must know that one",
            names=[],
        )


def _is_opset_refusal(refusal: object) -> bool:
    return getattr(refusal, "code", None) == "unsupported_model"


def _about_domains(model: onnx.ModelProto) -> Iterator[Caution]:
    domains = {node.domain for graph in walk_graphs(model) for node in graph.node} - set(
        DEFAULT_DOMAINS
    )
    if domains:
        yield Caution(
            code="other_domains",
            message="operators of these domains are left as they are",
            names=sorted(domains),
        )
