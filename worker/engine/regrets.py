"""What people may regret: a result hardly smaller, moved for nothing, slower, or in more memory."""

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
LOW_SQNR_DB = 20.0
"""Below this, answers have moved too far to get nothing in return."""
MIB = 2**20


def find_regrets(
    before: ModelMeasures,
    after: ModelMeasures,
    performance: Performance | None,
    sqnr_db: float | None,
) -> list[str]:
    """Return a warning for all that compressing a model did not gain, or made worse.

    `sqnr_db` is that of the worst output.
    """
    regrets = _of_size(before, after)
    if sqnr_db is not None and sqnr_db < LOW_SQNR_DB:
        regrets += _of_answers(before, after, performance, sqnr_db)
    if performance is not None:
        regrets += [*_of_speed(performance), *_of_memory(performance)]
    return regrets


def _of_size(before: ModelMeasures, after: ModelMeasures) -> list[str]:
    """Return a warning where the file is hardly smaller, with what is smaller instead, or why."""
    if _is_smaller(after.size_bytes, before.size_bytes):
        return []
    hardly = "not" if after.size_bytes >= before.size_bytes else "hardly"
    found = (
        f"the compressed model is {hardly} smaller: {after.size_bytes} bytes instead of"
        f" {before.size_bytes}"
    )
    if _is_smaller(after.deflated_bytes, before.deflated_bytes):
        found += f"; deflated it is, by {1 - after.deflated_bytes / before.deflated_bytes:.0%}"
    elif any(map(is_quantized_operator, before.op_counts)):
        found += "; the original is quantized already: upload the float model it was made from"
    return [found]


def _of_answers(
    before: ModelMeasures, after: ModelMeasures, performance: Performance | None, sqnr_db: float
) -> list[str]:
    """Return a warning where answers moved this far, and nothing is better for it."""
    smaller = _is_smaller(after.size_bytes, before.size_bytes)
    if smaller or _is_smaller(after.deflated_bytes, before.deflated_bytes):
        return []
    if performance is not None and performance.latency.is_faster:
        return []
    faster = "" if performance is None else " nor faster"
    moved = (
        f"the answers keep only {sqnr_db:.1f} dB SQNR, for a model that is not much"
        f" smaller{faster}: the original serves better"
    )
    return [moved]


def _is_smaller(after_bytes: int, before_bytes: int) -> bool:
    return after_bytes < HARDLY_SMALLER_RATIO * before_bytes


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
