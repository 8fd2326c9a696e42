"""What people may regret about a result: it is hardly smaller, is slower, or takes more memory."""

from worker.engine.performance.comparison import Performance
from worker.engine.quantization.working_copy import is_quantized_operator
from worker.engine.report.contents import ModelMeasures
from worker.engine.report.timings import Latency

HARDLY_SMALLER_RATIO = 0.95
"""From here on, a file is as good as the original's size."""
SLOWER_RATIO = 1.05
"""Below this, a difference in latency is not worth a warning."""
MORE_MEMORY_RATIO = 1.1
MORE_MEMORY_BYTES = 8 * 2**20
"""What more memory must come to, beyond the error of its measurement, to be worth a warning."""
MIB = 2**20


def find_regrets(
    before: ModelMeasures, after: ModelMeasures, performance: Performance | None
) -> list[str]:
    """Return a warning for all that compressing a model did not gain, or made worse."""
    regrets = _of_size(before, after)
    if performance is not None:
        regrets += [*_of_speed(performance), *_of_memory(performance)]
    return regrets


def _of_size(before: ModelMeasures, after: ModelMeasures) -> list[str]:
    """Return a warning where the file is hardly smaller, with what is smaller instead, or why."""
    if after.size_bytes < HARDLY_SMALLER_RATIO * before.size_bytes:
        return []
    hardly = "not" if after.size_bytes >= before.size_bytes else "hardly"
    found = (
        f"the compressed model is {hardly} smaller: {after.size_bytes} bytes instead of"
        f" {before.size_bytes}"
    )
    if after.deflated_bytes < HARDLY_SMALLER_RATIO * before.deflated_bytes:
        found += f"; deflated it is, by {1 - after.deflated_bytes / before.deflated_bytes:.0%}"
    elif any(map(is_quantized_operator, before.op_counts)):
        found += "; the original is quantized already: upload the float model it was made from"
    return [found]


def _of_speed(performance: Performance) -> list[str]:
    latency, kernels = performance.latency, performance.kernels
    if not latency.is_slower or latency.ratio <= SLOWER_RATIO:
        return []
    reasons = [] if kernels is None else kernels.reasons
    slower = (
        f"the compressed model is slower: {latency.ratio:.2f} times the original's latency on"
        f" this processor{_certainty(latency)}"
    )
    return [slower, *(f"why it is slower: {reason}" for reason in reasons)]


def _of_memory(performance: Performance) -> list[str]:
    loading = performance.loading
    if loading is None:
        return []
    before, after = loading.before.peak_memory_bytes, loading.after.peak_memory_bytes
    if before is None or after is None or after <= MORE_MEMORY_RATIO * before + MORE_MEMORY_BYTES:
        return []
    more = (
        f"the compressed model takes more memory: {after / MIB:,.0f} MiB at its peak, of"
        f" loading and a first run, instead of {before / MIB:,.0f} MiB"
    )
    return [more]


def _certainty(latency: Latency) -> str:
    """Return, in words, how far a ratio can be trusted."""
    interval = latency.ratio_interval
    busy = "; the machine was busy meanwhile" if latency.noisy else ""
    if interval is None:
        return busy
    return f" ({interval.confidence:.0%} interval {interval.low:.2f} to {interval.high:.2f}){busy}"
