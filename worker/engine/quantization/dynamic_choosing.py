"""Chooses the nodes to compute in integers whose activations are rounded while the model runs."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import onnx

from worker.engine.node_trials import NodeTrials
from worker.engine.quantization.answer_errors import AnswerErrors
from worker.engine.quantization.choosing import NO_FASTER, TOO_FRAGILE, latency_ratio
from worker.engine.quantization.dynamic import Rounded, WeightOptions, write_dynamic
from worker.engine.quantization.fallback import decibels
from worker.engine.samples import Feeds

FASTER_RATIO = 0.95
"""Latency in integers over that in float, of a node or a model, that is worth rounding for."""


@dataclass
class DynamicChoice:
    """The nodes to compute in integers, why others are not, and what was measured."""

    chosen: list[str]
    reasons: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def leave_float(self, names: Collection[str], reason: str) -> None:
        """Take nodes out."""
        self.reasons |= dict.fromkeys([name for name in self.chosen if name in names], reason)
        self.chosen = [name for name in self.chosen if name not in names]


def keep_faster(
    choice: DynamicChoice,
    model: onnx.ModelProto,
    feeds: Feeds,
    options: WeightOptions,
    tick: Callable[[], None],
) -> None:
    """Take out the nodes that are no faster in integers on this processor.

    `tick` is called before each trial, and may end the work.
    """
    if not choice.chosen:
        return
    trials = NodeTrials(model, choice.chosen, feeds, _in_integers(options))
    slow = []
    for name in choice.chosen:
        tick()
        if trials.latency_ratio(name) > FASTER_RATIO:
            slow.append(name)
    choice.leave_float(slow, NO_FASTER)


def _in_integers(options: WeightOptions) -> Callable[[onnx.ModelProto, str], onnx.ModelProto]:
    return lambda model, name: write_dynamic(model, [name], options)


def keep_answers(
    choice: DynamicChoice,
    model: onnx.ModelProto,
    samples: Sequence[Feeds],
    options: WeightOptions,
    allowed: float,
    tick: Callable[[], None],
) -> None:
    """Take out the nodes whose own outputs suffer most, until the model's error is allowed.

    `tick` is called before each trial, and may end the work.
    """
    if not choice.chosen:
        return
    errors = AnswerErrors(model, samples)
    known: Rounded = {}

    def measure(names: Collection[str]) -> float:
        tick()
        return errors.of_model(write_dynamic(model, names, options, known))

    before = measure(choice.chosen)
    if before <= allowed:
        choice.notes.append(f"integers alone keep {decibels(before):.1f} dB of the answers")
        return
    trials = NodeTrials(model, choice.chosen, samples[0], _in_integers(options))

    def own_error(name: str) -> float:
        tick()
        return trials.error(name)

    ranked = sorted(choice.chosen, key=own_error, reverse=True)
    count, after = _fewest(len(ranked), lambda count: measure(ranked[count:]), allowed)
    choice.leave_float(ranked[:count], TOO_FRAGILE)
    choice.notes.append(
        f"integers alone keep {decibels(before):.1f} dB of the answers in all of the faster nodes,"
        f" {decibels(after):.1f} dB without {count} of them"
    )


def keep_fast(
    choice: DynamicChoice, before: onnx.ModelProto, after: onnx.ModelProto, samples: Sequence[Feeds]
) -> bool:
    """Take out all nodes where the whole model is no faster; return whether it is."""
    if not choice.chosen:
        return True
    ratio = latency_ratio(before, after, samples)
    if ratio <= FASTER_RATIO:
        return True
    reason = f"integers do not make the model faster: {ratio:.2f} times the latency"
    choice.notes.append(f"{len(choice.chosen)} nodes stay in float after all: {reason}")
    choice.leave_float(choice.chosen, reason)
    return False


def _fewest(total: int, measure: Callable[[int], float], allowed: float) -> tuple[int, float]:
    """Return about the lowest count whose error is allowed, and that error; `total` has none."""
    low, high, after = 0, total, 0.0
    while high - low > 1:
        middle = (low + high) // 2
        error = measure(middle)
        if error <= allowed:
            high, after = middle, error
        else:
            low = middle
    return high, after
