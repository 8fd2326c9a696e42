"""Naming any figure of a report: `fidelity[boxes].sqnr_db`, `latency.after.p99_seconds`.

A path is the report's own field names with dots between them. A name in brackets picks one of a
list, such as the output of that name, and `[*]` all of them. Nothing is evaluated but this.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from worker.engine.decibels import EQUAL_DB
from worker.engine.report.base import ReportPart
from worker.engine.report.contents import LayerError, ModelMeasures, PassReport
from worker.engine.report.kernels import KernelProfile, KernelTime, OpTypeTime
from worker.engine.report.quality import ChannelGroup, OutputFidelity, Score
from worker.engine.report.spending import Spending, StageSpending
from worker.engine.report.timings import Latency, Loading

PARTS: dict[str, Any] = {
    "before": ModelMeasures,
    "after": ModelMeasures,
    "fidelity": list[OutputFidelity],
    "accuracy": list[Score],
    "latency": Latency,
    "loading": Loading,
    "kernels": KernelProfile,
    "peak_memory_bytes": int,
    "layers": list[LayerError],
    "passes": list[PassReport],
    "durations_seconds": dict[str, float],
    "spending": Spending,
}
"""The parts of a report that hold figures, and what they are."""

NAMED_BY: dict[type[BaseModel], str] = {
    OutputFidelity: "output",
    ChannelGroup: "channels",
    Score: "name",
    LayerError: "node",
    PassReport: "method",
    OpTypeTime: "op_type",
    KernelTime: "node",
    StageSpending: "stage",
}
"""The field whose value stands in brackets."""

EVERY = "*"
STEP = re.compile(r"(?P<field>[A-Za-z_][A-Za-z0-9_]*)(?:\[(?P<name>.+?)\])?(?:\.|$)")
UNITS = {"bytes": "bytes", "seconds": "s", "db": "dB", "ratio": "times"}
SHARES = {"agreement", "fraction"}


@dataclass(frozen=True)
class Step:
    """One field of a path, and the name in its brackets."""

    field: str
    name: str | None


def check_path(path: str) -> None:
    """Check that a path leads to a number of the report, whatever its lists will hold.

    Raises:
        ValueError: it does not; the message says what there is.
    """
    fields, steps = PARTS, parse(path)
    for place, step in enumerate(steps):
        if step.field not in fields:
            raise ValueError(
                f'the figure "{path}" is not reported: "{step.field}" is none of'
                f" {', '.join(sorted(fields))}"
            )
        kind = _without_none(fields[step.field])
        member = _member(kind)
        if (member is None) != (step.name is None):
            needed = "takes no name" if member is None else "needs a name"
            raise ValueError(
                f'the figure "{path}": {step.field} {needed} in brackets, as in'
                f" {step.field}{'' if member is None else '[name]'}"
            )
        kind = kind if member is None else _without_none(member)
        is_last = place == len(steps) - 1
        if isinstance(kind, type) and issubclass(kind, BaseModel) and not is_last:
            fields = _fields(kind)
        elif kind not in {int, float} or not is_last:
            raise ValueError(f'the figure "{path}" is no number')


def read_figures(parts: Mapping[str, object], path: str) -> list[float]:
    """Return the figure that a path names; with `[*]`, that of each; none where not measured.

    Equal answers, whose SQNR is infinite, have 200 dB.
    """
    found = _follow(parts, parse(path))
    return [float(value) for value in found if isinstance(value, int | float)]


def unit_of(parts: Mapping[str, object], path: str) -> str:
    """Return a figure's unit, empty where it has none or is a count."""
    steps = parse(path)
    words = steps[-1].field.split("_")
    if steps[0].field == "accuracy":
        found = _follow(parts, steps[:-1])
        return "share" if any(getattr(each, "unit", "") == "share" for each in found) else ""
    if steps[0].field == "durations_seconds":
        return UNITS["seconds"]
    if SHARES & set(words):
        return "share"
    return next((UNITS[word] for word in words if word in UNITS), "")


def parse(path: str) -> list[Step]:
    """Return the steps of a path.

    Raises:
        ValueError: it is none.
    """
    steps, at = [], 0
    while at < len(path):
        match = STEP.match(path, at)
        if match is None or (match.end() == len(path) and path.endswith(".")):
            break
        steps.append(Step(match["field"], match["name"]))
        at = match.end()
    if not steps or at < len(path):
        raise ValueError(
            f'"{path}" names no figure: write field names with dots between them and names in'
            " brackets, such as fidelity[boxes].sqnr_db"
        )
    return steps


def _follow(parts: Mapping[str, object], steps: Sequence[Step]) -> list[object]:
    found: list[object] = [parts]
    for step in steps:
        found = [value for owner in found for value in _step(owner, step)]
    return found


def _step(owner: object, step: Step) -> Iterator[object]:
    """Yield what a field of an owner holds: one value, or the entries of that name."""
    value = owner.get(step.field) if isinstance(owner, Mapping) else _value(owner, step.field)
    if step.name is None:
        yield value
    elif isinstance(value, Mapping):
        if step.field == "op_counts" and step.name not in {EVERY, *value}:
            yield 0  # of an operator that the model does not have
        yield from (each for name, each in value.items() if step.name in {EVERY, name})
    elif isinstance(value, Sequence):
        yield from (each for each in value if step.name in {EVERY, _name(each)})


def _value(owner: object, field: str) -> object:
    value = getattr(owner, field, None)
    is_equal = value is None and field.endswith("sqnr_db")
    return EQUAL_DB if is_equal and getattr(owner, "agreement", None) is None else value


def _name(entry: object) -> str | None:
    field = NAMED_BY.get(type(entry)) if isinstance(entry, BaseModel) else None
    return None if field is None else str(getattr(entry, field))


def _fields(kind: type[BaseModel]) -> dict[str, Any]:
    """Return a part's fields and derived figures, and what they are."""
    fields: dict[str, Any] = {name: field.annotation for name, field in kind.model_fields.items()}
    derived = kind.derived if issubclass(kind, ReportPart) else ()
    return fields | dict.fromkeys(derived, float)


def _without_none(kind: Any) -> Any:  # noqa: ANN401 - an annotation is anything
    options = [option for option in get_args(kind) if option is not NoneType]
    return options[0] if NoneType in get_args(kind) and len(options) == 1 else kind


def _member(kind: Any) -> Any:  # noqa: ANN401 - an annotation is anything
    """Return what a list or a mapping by name holds, None of anything else."""
    if get_origin(kind) is list:
        return get_args(kind)[0]
    return get_args(kind)[1] if get_origin(kind) is dict else None
