"""Weight quantization: weights stored at 8, 4 or 2 bits, computed with in float."""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, ClassVar, Literal, Self

import onnx
from pydantic import Field
from typing_extensions import override

from worker.engine.datasets.splitting import first, hold_out
from worker.engine.errors import PassError
from worker.engine.passes.base import Outlook, Pass, PassContext, PassResult, Preview
from worker.engine.passes.weight_biases import closest, own_biases
from worker.engine.passes.weight_outlook import weight_outlook
from worker.engine.passes.weight_overrides import (
    OverrideBits,
    WeightOverride,
    WeightOverrides,
    Wish,
    override_of,
    wishes,
)
from worker.engine.passes.weight_rounding import RoundingOptions, WeightRounding, choose
from worker.engine.passes.weight_tasks import (
    Task,
    bits_of_infinities,
    readers,
    refuse_lost_halves,
    skipped,
    written,
)
from worker.engine.quantization.working_copy import (
    name_nodes,
    refuse_quantized,
    refuse_stored_integers,
)
from worker.engine.weights.budget import (
    Choice,
    spend_average,
    spend_for_answers,
    with_upgrades,
)
from worker.engine.weights.finding import STORABLE_TYPES, Weight, find_weights
from worker.engine.weights.folding import unfolded_values
from worker.engine.weights.held_back import HeldBackAnswers
from worker.engine.weights.moments import MeanLayer
from worker.engine.weights.small import is_better_half
from worker.engine.weights.storage import MINIMUM_OPSETS, NATIVE_OPSET

DEFAULT_AVERAGE_BITS = {8: 9.0, 4: 4.75, 2: 3.0}
CHECKED_SAMPLES = 8
"""Samples held back to see how good the answers are."""


class WeightQuantization(Pass):
    """Stores weights at 8, 4 or 2 bits and computes with them in float.

    onnxruntime turns the stored integers back into floats when it loads the model, so the file
    becomes about 4 times (8 bits) or 6 to 7 times (4 bits) smaller while speed and memory at run
    time stay as they were. Every constant float weight takes part: of Conv, MatMul, Gemm, Gather,
    recurrent and any other nodes, inside If, Loop and Scan bodies too. Needs no data at
    8 bits; calibration data improves biases, and at 4 bits and below the rounding.
    """

    method: Literal["weight_quantization"] = "weight_quantization"

    bits: Literal[8, 4, 2] = 8
    """Bits of each stored value."""
    average_bits: Annotated[float, Field(ge=2, le=16)] | None = None
    """Below 8 bits, the weights that suffer most are kept at 8 bits as long as the average over
    all weights, scales included, stays at or below this; left out, 4.75 (3 for 2 bits)."""
    min_sqnr_db: Annotated[float, Field(ge=0, le=100)] = 10.0
    """Below 8 bits and with calibration data, more weights than `average_bits` allows are kept at
    8 bits until the worst output, or part of one, keeps this signal to noise ratio on samples that
    are held back for it, or until all are. 0 spends no more than `average_bits`."""
    block_size: Annotated[int, Field(ge=8, le=256)] = 32
    """Below 8 bits, about how many values share a scale."""
    error_compensation: bool = True
    """Below 8 bits and with calibration data, let later values of a row absorb the rounding error
    of earlier ones, as the data weighs it (GPTQ)."""
    correct_biases: bool | Literal["auto"] = "auto"
    """With calibration data, move the mean error that a stored weight makes in the output of a Conv
    or Gemm into its bias. `auto` does where compensated rounding counts on it, and otherwise where
    that brings the answers closer on held back samples."""
    runtime_form: Literal["auto", "folded", "native"] = "auto"
    """`folded` weights become floats when the model is loaded; `native` ones, of MatMul and Gemm,
    stay packed (MatMulNBits), which needs less memory, is faster for a few rows and slower for
    many, and rounds activations too. `auto` times each node in both forms on the calibration data,
    where the model has opset 21; without data all are folded."""
    minimum_values: Annotated[int, Field(ge=1)] = 512
    """Weights with fewer values get no scales, which would cost more than is saved. Those of usual
    layers are stored as float16 where that is smaller and keeps 11 bits of what counts; the others
    stay as they are."""
    overrides: WeightOverrides = ()
    """Bits or form of single weights, by their nodes or names, in order: where several match, the
    last counts. Weights with fewer than `minimum_values` values get none, but stay as they
    are where `float` is asked for."""

    needs_samples: ClassVar[bool] = True

    @override
    def gains_from_samples(self) -> bool:
        return min([self.bits, *(each.bits for each in self.overrides if each.bits in (2, 4))]) < 8

    @classmethod
    @override
    def foreseen(cls) -> tuple[Self, ...]:
        return cls(), cls(bits=4), cls(bits=2)

    @override
    def foresee(self, preview: Preview) -> Outlook:
        tasks = self._tasks(preview.whole)
        choices = [
            choose(preview.round_sample(task.weight), task, self.block_size)
            for task in tasks
            if task.bits in MINIMUM_OPSETS
        ]
        choices, _ = self._spend_average(tasks, choices)
        return weight_outlook(preview.part, tasks, choices, self.minimum_values)

    @override
    def required_opset(self) -> int:
        asked = {self.bits, *(each.bits for each in self.overrides)}
        opset = max(needed for bits, needed in MINIMUM_OPSETS.items() if bits in asked)
        forms = {self.runtime_form, *(each.runtime_form for each in self.overrides)}
        return max(opset, NATIVE_OPSET) if "native" in forms else opset

    @override
    def apply(self, model: onnx.ModelProto, context: PassContext) -> PassResult:
        original = onnx.ModelProto()
        original.CopyFrom(model)
        name_nodes(original)
        tasks = self._tasks(original)
        is_wanted = self.correct_biases is not False
        biases = own_biases(original, tasks, context) if is_wanted else None
        if biases is None:
            return self._compressed(original, {}, context)
        corrected = self._compressed(biases.model, biases.means, context)
        is_compensated = self.error_compensation and any(task.is_below_eight for task in tasks)
        if self.correct_biases is True or is_compensated:
            return corrected
        return closest(original, [self._compressed(original, {}, context), corrected], context)

    def _compressed(
        self, original: onnx.ModelProto, means: Mapping[str, MeanLayer], context: PassContext
    ) -> PassResult:
        """Return the model compressed, its biases corrected by the means of inputs, if any."""
        tasks = self._tasks(original)
        options = RoundingOptions(
            self.block_size, self.minimum_values, is_compensated=self.error_compensation
        )
        choices = WeightRounding(original, means, options, context).choices(tasks)
        choices, upgraded, notes = self._spend(original, tasks, choices, means, context)
        compressed, decoded = written(original, tasks, choices, means)
        computed = unfolded_values(compressed, decoded, context.workdir)
        packed = [choice.weight.name for choice in choices if choice.is_packed]
        wanted = {task.weight.name for task in tasks if task.is_below_eight} - set(upgraded)
        uncut = [c.weight.name for c in choices if c.weight.name in wanted and c.grid.bits == 8]
        halves = [each.weight.name for each in tasks if each.bits == 16 and not each.is_overridden]
        lists = {
            "stored at 16 bits, as they hold infinities or NaN": halves,
            "kept at 8 bits, as they gain most": upgraded,
            "kept at 8 bits, as blocks of fewer do not fit them or save nothing": uncut,
            "multiplied with in their packed form": packed,
            "decoded at every run, as onnxruntime did not fold": sorted(computed),
        }
        return PassResult(
            compressed,
            readers(tasks),
            [skipped(task) for task in tasks if task.bits == "float" and not task.is_small],
            [*(f"{what}: {', '.join(names)}" for what, names in lists.items() if names), *notes],
            self._resolved(upgraded, packed, is_corrected=bool(means)),
        )

    def _tasks(self, model: onnx.ModelProto) -> list[Task]:
        """Return what to do with each weight of the model.

        Raises:
            PassError: nothing is left to do, or a weight does not fit what is asked for it.
        """
        weights = find_weights(model, types=STORABLE_TYPES)
        if all(weight.size < self.minimum_values for weight in weights):
            refuse_quantized(model)
            refuse_stored_integers(model)
            raise PassError(
                f"no constant float weight has {self.minimum_values} values or more: "
                + ("lower minimum_values, or " if weights else "")
                + "leave the model as it is",
                code="nothing_to_compress",
            )
        asked = wishes(self.overrides, weights, model)
        tasks = [self._task(weight, wish) for weight, wish in zip(weights, asked, strict=True)]
        if all(task.bits == "float" or task.is_small for task in tasks):
            raise PassError(
                "overrides leave every weight in float; leave some of them out",
                code="nothing_to_compress",
            )
        for task in tasks:
            refuse_lost_halves(task)
        return tasks

    def _task(self, weight: Weight, wish: Wish) -> Task:
        if weight.size < self.minimum_values:
            is_half = wish.bits != "float" and is_better_half(weight)
            bits: OverrideBits = 16 if is_half else "float"
            return Task(weight, bits, "folded", is_overridden=True, is_small=True)
        wanted, form = wish.bits or self.bits, wish.runtime_form or self.runtime_form
        if wanted == 16 and weight.is_half:
            wanted = "float"
        if wanted in MINIMUM_OPSETS and not weight.is_finite():
            return Task(weight, bits_of_infinities(weight), "folded", is_overridden=False)
        return Task(weight, wanted, form, is_overridden=wish.bits is not None)

    def _spend(
        self,
        model: onnx.ModelProto,
        tasks: Sequence[Task],
        choices: list[Choice],
        means: Mapping[str, MeanLayer],
        context: PassContext,
    ) -> tuple[list[Choice], list[str], list[str]]:
        """Return the choices with both budgets spent, the names of the upgraded, and notes."""
        choices, names = self._spend_average(tasks, choices)
        is_free = any(choice.upgrade is not None for choice in choices)
        if not is_free or not self.min_sqnr_db or context.samples.origin == "synthetic":
            return choices, names, []
        held_back = first(hold_out(context.samples)[1], CHECKED_SAMPLES)
        if not held_back:
            return choices, names, []
        answers = HeldBackAnswers(model, [sample.feeds for sample in held_back])
        measured: dict[int, float] = {}

        def fidelity_db(more: Collection[str]) -> float:
            trial, _ = written(model, tasks, with_upgrades(choices, more), means)
            measured[len(more)] = answers.worst_db(trial)
            return measured[len(more)]

        more = spend_for_answers(choices, self.min_sqnr_db, fidelity_db)
        note = f"worst output on held back samples: {measured[0]:.1f} dB"
        if more:
            note += f" at average_bits; weights kept at 8 bits beyond that: {len(more)}"
        return with_upgrades(choices, more), names + more, [note]

    def _spend_average(
        self, tasks: Sequence[Task], choices: list[Choice]
    ) -> tuple[list[Choice], list[str]]:
        """Return the choices with the average of bits spent, and the names of the upgraded."""
        given = {task.weight.name for task in tasks if task.is_overridden}
        free = [choice for choice in choices if choice.weight.name not in given]
        names = spend_average(free, self.average_bits or DEFAULT_AVERAGE_BITS[self.bits])
        return with_upgrades(choices, names), names

    def _resolved(
        self, upgraded: list[str], packed: list[str], *, is_corrected: bool
    ) -> "WeightQuantization":
        """Return the pass with the form and bits of every weight written out."""
        found = [WeightOverride(weights=("*",), bits=self.bits), *self.overrides]
        if upgraded:
            found.append(override_of(upgraded, bits=8))
        if packed:
            found.append(override_of(packed, form="native"))
        resolved = {"runtime_form": "folded", "overrides": tuple(found)}
        return self.model_copy(update={**resolved, "correct_biases": is_corrected})
