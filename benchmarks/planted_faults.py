"""Faults planted in trained models: does the blame find them, and does its repair mend them?

    python -m benchmarks.planted_faults [--models .models] [--write FILE]

For each model and fault, a method that suffers from it is run on the model with and without it.
The culprit's rank, and what a job with the repair that the report offers gives, are what counts.
The default of the method is run as well: it may not suffer at all.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from pydantic import TypeAdapter

from benchmarks.comparison.runs import Bench
from benchmarks.planting import FAULTS, Planted
from worker.engine.errors import EngineError
from worker.engine.operations import CompressedModel, CompressModel, run
from worker.engine.preparation.prepare import prepare
from worker.engine.quantization.working_copy import name_nodes
from worker.engine.report.report import Report

MODELS = ("mnist_cnn", "digits_cnn", "ppocr_cls", "magika")
PER_TENSOR = {"per_channel": False, "smooth": False, "fallback": "off"}
METHODS: dict[str, dict[str, Any]] = {
    "static, per tensor": {"method": "static_quantization", **PER_TENSOR},
    "static, per channel": {"method": "static_quantization", "smooth": False, "fallback": "off"},
    "dynamic, per tensor": {
        "method": "dynamic_quantization",
        "op_types_to_quantize": ["Conv", "Gemm", "MatMul"],
        **PER_TENSOR,
    },
    "weights, 4 bits": {"method": "weight_quantization", "bits": 4, "error_compensation": False},
}
DEFAULTS = {
    name: {key: options[key] for key in ("method", "bits") if key in options}
    for name, options in METHODS.items()
}
EVALUATION = {"latency": None, "ruin_below_sqnr_db": None}
MISSING_DB = 3.0
"""A fault that costs less than this is none for the method."""
INTRODUCTION = """# Planted faults

`python -m benchmarks.planted_faults --write docs/planted_faults.md` makes this page. Each fault
leaves a model's float answers as they are and takes them from a method that suffers from it. SQNR
on held-out samples of the sound model, of the model with the fault, and of the latter compressed by
the repair spec that its report offers; the rank of the node at fault in the report's blame; and
what the method's own defaults make of the fault.
"""
HEAD = "| model | fault | method | sound, dB | planted | rank | repaired | repair | default |"


@dataclass(frozen=True)
class Data:
    """Samples of one model."""

    calibration: Path
    evaluation: Path | None


def main() -> None:
    """Print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=Path(".models"))
    parser.add_argument("--results", type=Path, help="default: MODELS/results")
    parser.add_argument("--only", action="append", choices=MODELS, metavar="MODEL")
    parser.add_argument("--write", type=Path, help="a Markdown file instead of standard output")
    arguments = parser.parse_args()
    results = arguments.results or arguments.models / "results"
    bench = Bench(arguments.models, results, limit_seconds=600)
    lines = [HEAD, "| --- " * HEAD.count(" | ") + "| --- |"]
    for name in arguments.only or MODELS:
        for line in rows(bench, name):
            sys.stderr.write(f"{line}\n")
            lines.append(line)
    page = f"{INTRODUCTION}\n" + "\n".join(lines) + "\n"
    if arguments.write is None:
        sys.stdout.write(page)
    else:
        arguments.write.write_text(page)


def rows(bench: Bench, name: str) -> Iterator[str]:
    """Yield the table's rows of one model."""
    bench.scores(name)
    held_out = bench.samples(name, "held_out")
    data = Data(bench.samples(name, "calibration"), held_out)
    model = prepare(onnx.load(bench.original(name)), minimum_opset=21).model
    name_nodes(model)
    for fault, plant in FAULTS.items():
        planted = plant(model)
        if planted is None:
            yield f"| {name} | {fault} | no layer to plant it in |"
            continue
        for method, options in METHODS.items():
            yield f"| {name} | {fault} | {method} | {row(planted, options, DEFAULTS[method], data)}"


def row(planted: Planted, options: dict[str, Any], default: dict[str, Any], data: Data) -> str:
    """Return what one method makes of one fault."""
    sound = fidelity(compress(planted.sound, {"passes": [options]}, data))
    report = compress(planted.model, {"passes": [options]}, data)
    broken = fidelity(report)
    if sound is None or broken is None or report is None or report.blame is None:
        return "it refuses the model |"
    if broken > sound - MISSING_DB:
        return f"{sound:.1f} | {broken:.1f} | no fault for it | | | |"
    order = [node.node for node in report.blame.nodes]
    rank = min((order.index(name) + 1 for name in planted.culprits if name in order), default=0)
    plain = fidelity(compress(planted.model, {"passes": [default]}, data))
    cells = [f"{sound:.1f}", f"{broken:.1f}", str(rank or "-")]
    repair = report.blame.repair
    if repair is None:
        cells += ["no repair", ""]
    else:
        spec = repair.spec.model_dump(mode="json")
        mended = fidelity(compress(planted.model, spec, data))
        cells += ["-" if mended is None else f"{mended:.1f}", repair.change]
    return " | ".join([*cells, "refused" if plain is None else f"{plain:.1f}"]) + " |"


def compress(model: onnx.ModelProto, spec: dict[str, Any], data: Data) -> Report | None:
    """Return the report of a job; None where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        request = TypeAdapter(CompressModel).validate_python(
            {
                "model_path": path,
                "calibration_path": data.calibration,
                "evaluation_path": data.evaluation,
                "spec": {**spec, "evaluation": EVALUATION},
                "artifact_folder": Path(folder) / "artifact",
                "workdir": Path(folder),
            }
        )
        try:
            answer = run(request, lambda _stage, _fraction: None)
        except EngineError as error:
            sys.stderr.write(f"{error.code}: {error}\n")
            return None
    if not isinstance(answer, CompressedModel):
        raise TypeError(f"a compression answered {type(answer).__name__}")
    return answer.report


def fidelity(report: Report | None) -> float | None:
    """Return the SQNR of the worst output; 200 stands for equal answers."""
    if report is None:
        return None
    figures = [o.sqnr_db for o in report.fidelity if o.agreement is None]
    return min((200.0 if figure is None else figure for figure in figures), default=None)


if __name__ == "__main__":
    main()
