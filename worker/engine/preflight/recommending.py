"""The spec to start with: the smallest result that keeps what a user cannot do without."""

from collections.abc import Sequence

from worker.engine.passes.weight_quantization import WeightQuantization
from worker.engine.preflight.contents import Forecast, Recommendation
from worker.engine.spec import Gates, Spec

ALLOWANCE = 1.05
"""Of the forecast, that the result may be larger."""
LEAST_GAIN = 0.9
"""Size ratio above which a result is not worth a job, or a change of method."""


def recommend(forecasts: Sequence[Forecast], *, has_data: bool) -> Recommendation:
    """Return a spec for a job with a calibration dataset, or without."""
    eight, four = (_weights(forecasts, bits) for bits in (8, 4))
    if eight is None or eight.size_ratio is None or eight.size_ratio > LEAST_GAIN:
        return Recommendation(spec=None, reason=_why_none(forecasts, eight))
    if has_data and four is not None and (four.size_ratio or 1) <= LEAST_GAIN * eight.size_ratio:
        reason = (
            f"4 bits make the file {1 / (four.size_ratio or 1):.1f} times smaller, at the same"
            " speed; calibration data makes the rounding follow what the model computes, and the"
            " weights that suffer most stay at 8 bits. Give labelled evaluation data too, and gate"
            " max_accuracy_drop; where that is missed, take 8 bits"
        )
        return Recommendation(spec=_spec(four), reason=reason)
    reason = (
        f"8 bits make the file {1 / eight.size_ratio:.1f} times smaller at the same speed, and"
        " weights at 8 bits keep the answers of almost every model"
    )
    if not has_data:
        reason += "; every method that gains more wants calibration data to be trusted"
    return Recommendation(spec=_spec(eight), reason=reason)


def _weights(forecasts: Sequence[Forecast], bits: int) -> Forecast | None:
    """Return the forecast of weights at these bits, where the model can have them."""
    for forecast in forecasts:
        step = forecast.passes[0]
        if isinstance(step, WeightQuantization) and step.bits == bits:
            return forecast if forecast.refusal is None else None
    return None


def _spec(forecast: Forecast) -> Spec:
    ratio = round(ALLOWANCE * (forecast.size_ratio or 1.0), 3)
    return Spec(passes=forecast.passes, gates=Gates(max_size_ratio=ratio))


def _why_none(forecasts: Sequence[Forecast], eight: Forecast | None) -> str:
    if eight is not None and eight.size_ratio is not None:
        return (
            f"the file would keep {eight.size_ratio:.0%} of its size, since weights take little of"
            " it; leave the model as it is"
        )
    refusals = [each.refusal.message for each in forecasts if each.refusal is not None]
    return f"leave the model as it is: {refusals[0]}" if refusals else "leave the model as it is"
