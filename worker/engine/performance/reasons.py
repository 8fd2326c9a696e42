"""Why a compressed model is not faster, in sentences for people."""

import re
from collections import defaultdict
from collections.abc import Iterator

from worker.engine.performance.profiling import Profile
from worker.engine.processor import lacks_integer_products

WORTH_NAMING = 0.05
"""Share of a run's time from which something is a reason."""
CONVERTING = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}
INTEGER = re.compile(r"^Q(Linear|Gemm|Attention)|Integer|^DynamicQuantize(LSTM|MatMul)")
MOST_NAMED = 4
SAME_KERNELS = (
    "both models run the same kernels: what the file stores smaller is turned back when the model"
    " is loaded"
)


def explain(before: Profile, after: Profile) -> list[str]:
    """Return what the kernels of both models say of why the second is not faster."""
    reasons = [
        *_conversions(after),
        *_float_kernels(after),
        *_decoded_weights(after),
        *_slow_integers(after),
        *_new_kernels(before, after),
        *_dearer_kernels(before, after),
    ]
    if reasons:
        return reasons
    if _counts(before) == _counts(after):
        return [SAME_KERNELS]
    return ["no kernel takes notably longer than in the original"]


def _conversions(after: Profile) -> Iterator[str]:
    """Name conversions of number types that no integer kernel took in."""
    seconds = after.seconds_of(CONVERTING)
    if seconds > WORTH_NAMING * after.seconds:
        count = sum(kernel.op_type in CONVERTING for kernel in after.kernels)
        yield (
            f"{count} conversions between floats and integers stay outside the integer kernels:"
            f" {_share(seconds, after)}"
        )


def _float_kernels(after: Profile) -> Iterator[str]:
    """Name what computes in float although its inputs and outputs are integers."""
    between = after.graph.float_between
    if between:
        names = ", ".join(f"{name} ({count})" for name, count in between.most_common(MOST_NAMED))
        yield f"no integer kernel took these in, so they compute in float between integers: {names}"


def _decoded_weights(after: Profile) -> Iterator[str]:
    """Name weights that are decoded at every run instead of once."""
    nodes = after.graph.decoding_nodes
    seconds = sum(kernel.seconds for kernel in after.kernels if kernel.node in nodes)
    if seconds > WORTH_NAMING * after.seconds:
        yield (
            f"{after.graph.decoded_weights} weights are turned into floats at every run:"
            f" {_share(seconds, after)}"
        )


def _slow_integers(after: Profile) -> Iterator[str]:
    """Name a processor on which integer products hardly pay."""
    kernels = {kernel.op_type for kernel in after.kernels if INTEGER.search(kernel.op_type)}
    seconds = after.seconds_of(kernels)
    if seconds > WORTH_NAMING * after.seconds and lacks_integer_products():
        yield (
            "this processor has no instructions for products of 8-bit integers (VNNI or AMX; dot"
            " product on ARM), so that integer kernels gain little on it:"
            f" {_share(seconds, after)}"
        )


def _new_kernels(before: Profile, after: Profile) -> Iterator[str]:
    """Name the dearest operators that the original does not run, integer kernels apart."""
    old = set(_counts(before)) | CONVERTING
    nodes = after.graph.decoding_nodes
    new: dict[str, float] = defaultdict(float)
    for kernel in after.kernels:
        is_known = kernel.op_type in old or kernel.node in nodes
        if not is_known and not INTEGER.search(kernel.op_type):
            new[kernel.op_type] += kernel.seconds
    for name, seconds in _dearest(new, WORTH_NAMING * after.seconds):
        yield f"{name} is new in the compressed model: {_share(seconds, after)}"


def _dearer_kernels(before: Profile, after: Profile) -> Iterator[str]:
    """Name operators of both models that take longer in the compressed one."""
    more = {
        name: after.seconds_of([name]) - before.seconds_of([name])
        for name in set(_counts(before)) - CONVERTING
    }
    for name, seconds in _dearest(more, WORTH_NAMING * before.seconds):
        old = before.seconds_of([name])
        yield (
            f"{name} takes {_milliseconds(old + seconds)} of a run instead of {_milliseconds(old)}"
        )


def _dearest(seconds: dict[str, float], limit: float) -> list[tuple[str, float]]:
    found = sorted(seconds.items(), key=lambda item: (-item[1], item[0]))
    return [(name, each) for name, each in found if each > limit][:MOST_NAMED]


def _counts(profile: Profile) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for kernel in profile.kernels:
        counts[kernel.op_type] += 1
    return dict(counts)


def _share(seconds: float, profile: Profile) -> str:
    return f"{_milliseconds(seconds)} of a run's {_milliseconds(profile.seconds)}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms"
