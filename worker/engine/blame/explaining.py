"""The sentence that says why a node loses so much, from what was measured of it."""

from collections.abc import Mapping

import numpy as np

from worker.engine.blame.activations import Observed, Rounding, SegmentValues
from worker.engine.blame.causes import Cause
from worker.engine.blame.weights import Floats, WeightFacts
from worker.engine.decibels import signal_to_noise_db

UNEVEN = 20.0
"""How many times as far as the others a channel reaches that is worth a word."""
UNEVEN_BRANCHES = 10.0
"""The same of the branches of a Concat."""
OUTLYING = 3.0
"""The same of the largest value over the 99.9th percentile."""
ENOUGH_DB = 30.0
"""What a rounding keeps from which on it is nothing to complain of."""


def explain(
    node: str, weight: WeightFacts | None, values: SegmentValues, harm: Mapping[Cause, float]
) -> str:
    """Return why a node's output suffers; empty where nothing of it is known.

    Of several causes the one that is told does most harm to the answers or, where that was not
    measured, to its own values.
    """
    sentences: list[tuple[bool, float, str]] = []
    if weight is not None and weight.sqnr_db is not None:
        measured = harm.get((node, weight.name))
        decibels = weight.sqnr_db if measured is None else measured
        words = f"{_of_weight(weight, values.output)}{_answers(measured)}"
        sentences.append((measured is None, decibels, words))
    for rounding, observed in values.roundings:
        own = signal_to_noise_db(observed.signal, observed.rounding + observed.clipping)
        if own is None:
            continue
        measured = harm.get((node, rounding.name))
        decibels = own if measured is None else measured
        words = f"{_of_activation(rounding, observed, values)}{_answers(measured)}"
        sentences.append((measured is None, decibels, words))
    return min(sentences)[2] if sentences else ""


def _answers(decibels: float | None) -> str:
    return "" if decibels is None else f", the answers {decibels:.1f} dB"


def _of_weight(weight: WeightFacts, output: Observed) -> str:
    """Return what ails a weight."""
    decibels = weight.sqnr_db or 0.0
    left = f"stored so, the weight keeps {decibels:.1f} dB"
    if weight.zeroed_share > 0:
        return (
            f"{weight.zeroed_share:.1%} of its weights became zero, which held"
            f" {weight.zeroed_energy_share:.1%} of their energy: {left}"
        )
    mismatch = _between_weights(weight, output)
    if mismatch:
        return f"{mismatch}: {left}"
    if weight.common_peak > 0 and weight.peak >= OUTLYING * weight.common_peak:
        return (
            f"outliers: the largest weight is {weight.peak / weight.common_peak:.3g} times the"
            f" 99.9th percentile, so that the others share few steps: {left}"
        )
    if decibels >= ENOUGH_DB:
        return f"its weights lie evenly, without outliers: {left}"
    return f"too few bits for its weights, which have no outliers: {left}"


def _between_weights(weight: WeightFacts, output: Observed) -> str:
    """Return what to say of channels whose weights share a scale and reach far from alike."""
    outputs, inputs = weight.output_peaks, weight.input_peaks
    is_shared = weight.scale is not None and weight.scale.size == 1
    if outputs is not None and is_shared and _unevenness(outputs) >= UNEVEN:
        worst = int(np.argmax(outputs))
        is_dead = worst in output.dead_channels
        dead = f", and that channel is dead{_constant_of(output, worst)}" if is_dead else ""
        return (
            f"scale mismatch between channels: the weights of output channel {worst} reach"
            f" {_unevenness(outputs):.3g} times as far as those of the quarter of channels that"
            f" reach least, and one scale holds them all{dead}"
        )
    if inputs is not None and _unevenness(inputs) >= UNEVEN:
        return (
            f"scale mismatch between channels: the weights of input channel"
            f" {int(np.argmax(inputs))} reach {_unevenness(inputs):.3g} times as far as those of"
            " the quarter of channels that reach least, and they share their scales"
        )
    return ""


def _of_activation(rounding: Rounding, observed: Observed, values: SegmentValues) -> str:
    """Return what ails the range of an activation."""
    name = f'its {rounding.what} "{rounding.name}"'
    noise = observed.rounding + observed.clipping
    decibels = signal_to_noise_db(observed.signal, noise) or 0.0
    left = f"rounded so, it keeps {decibels:.1f} dB"
    if observed.clipping > observed.rounding:
        return (
            f"saturation: {observed.clipped_share:.2%} of the values of {name} lie outside of its"
            f" range, {rounding.lowest:.4g} to {rounding.highest:.4g}, and are cut off: {left}"
        )
    mismatch = _between_branches(rounding, values) or _between_channels(rounding, observed)
    if mismatch:
        return f"{mismatch}: {left}"
    if observed.common_peak > 0 and observed.peak >= OUTLYING * observed.common_peak:
        return (
            f"outliers: the largest value of {name} is"
            f" {observed.peak / observed.common_peak:.3g} times the 99.9th percentile, and the"
            f" range holds it: {left}"
        )
    if decibels >= ENOUGH_DB:
        return f"the values of {name} lie evenly in its range of {rounding.levels} steps: {left}"
    return f"too few bits for the range of {name}, {rounding.levels} steps: {left}"


def _between_branches(rounding: Rounding, values: SegmentValues) -> str:
    """Return what to say of a Concat whose inputs reach far less far than each other."""
    branches = values.branches.get(rounding.name, {})
    peaks = [each.peak for each in branches.values() if each.peak > 0]
    if len(peaks) < 2 or max(peaks) < UNEVEN_BRANCHES * min(peaks):
        return ""
    return (
        f'scale mismatch at the Concat "{values.concats[rounding.name]}": its branches reach'
        f" {max(peaks):.3g} and {min(peaks):.3g}, {max(peaks) / min(peaks):.3g} times as far, and"
        f' its {rounding.what} "{rounding.name}" has one scale for both, which leaves the smaller'
        f" {_steps(min(peaks), rounding)} steps"
    )


def _between_channels(rounding: Rounding, observed: Observed) -> str:
    """Return what to say of a channel that reaches much further than the others."""
    if observed.peaks is None or _unevenness(observed.peaks) < UNEVEN:
        return ""
    worst = int(np.argmax(observed.peaks))
    is_dead = worst in observed.dead_channels
    dead = f", which is dead{_constant_of(observed, worst)}," if is_dead else ""
    return (
        f"scale mismatch between channels: channel {worst} of its {rounding.what}"
        f' "{rounding.name}"{dead} reaches {_unevenness(observed.peaks):.3g} times as far as the'
        " quarter of channels that reach least, which is left"
        f" {_steps(_least(observed.peaks), rounding)} steps"
    )


def _unevenness(peaks: Floats) -> float:
    """Return how many times as far as the least quarter of those that are not 0 the largest is."""
    least = _least(peaks)
    return float(peaks.max() / least) if least > 0 else 0.0


def _least(peaks: Floats) -> float:
    """Return the peak that a quarter of the peaks that are not 0 do not exceed."""
    alive = peaks[peaks > 0]
    return float(np.quantile(alive, 0.25)) if alive.size else 0.0


def _steps(peak: float, rounding: Rounding) -> str:
    return f"{max(1, round(peak / rounding.scale))} of {rounding.levels}"


def _constant_of(observed: Observed, channel: int) -> str:
    if observed.least is None:
        return ""
    return f" (always {observed.least[channel]:.3g})"
