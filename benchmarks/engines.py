"""The side-by-side table: trained models, each compressed by onnxpress and by other engines.

    python -m benchmarks.engines [--models .models] [--write docs/benchmarks.md]

`python -m benchmarks.models` fetches the models first. Results are kept in `MODELS/results`, so
that a stopped benchmark goes on where it was, and only what changed is measured again.
"""

import argparse
import sys
import time
from pathlib import Path

from benchmarks.comparison.machine import describe_machine, has_exact_int8_products
from benchmarks.comparison.methods import Method, onnxruntime_methods, own_methods, peer_methods
from benchmarks.comparison.runs import Bench, Result
from benchmarks.comparison.table import render
from benchmarks.tasks.catalogue import TASK_OF_MODEL


def main() -> None:
    """Run what was asked for and print or write the page."""
    arguments = parse_arguments()
    bench = Bench(
        arguments.models, arguments.results or arguments.models / "results", arguments.limit_seconds
    )
    models = [m for m in arguments.only or TASK_OF_MODEL if is_there(arguments.models, m)]
    methods = chosen_methods(arguments)
    scores = {model: bench.scores(model) for model in models}
    if arguments.report:
        found = [bench.find(model, method) for model in models for method in methods]
        results = [result for result in found if result is not None]
    else:
        results = [run(bench, model, method) for model in models for method in methods]
    page = render(results, scores, describe_machine())
    if arguments.write is not None:
        arguments.write.write_text(page)
    else:
        sys.stdout.write(page)


def parse_arguments() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=Path(".models"))
    parser.add_argument("--results", type=Path, help="default: MODELS/results")
    parser.add_argument("--only", action="append", choices=list(TASK_OF_MODEL), metavar="MODEL")
    parser.add_argument("--method", action="append", help="part of a method's name")
    parser.add_argument("--limit-seconds", type=float, default=600, help="of each run")
    parser.add_argument(
        "--engine",
        action="append",
        default=[],
        metavar="NAME=PYTHON",
        help="nncf or inc, and the interpreter of its environment",
    )
    parser.add_argument("--report", action="store_true", help="run nothing: show what is known")
    parser.add_argument("--write", type=Path, help="a Markdown file instead of standard output")
    return parser.parse_args()


def chosen_methods(arguments: argparse.Namespace) -> list[Method]:
    """Return the methods that were asked for, all of them where none was named."""
    pythons = dict(engine.split("=", 1) for engine in arguments.engine)
    unknown = set(pythons) - {"nncf", "inc"}
    if unknown:
        sys.exit(f"{', '.join(sorted(unknown))}: the engines are nncf and inc")
    methods = [
        *own_methods(),
        *onnxruntime_methods(reduce_range=not has_exact_int8_products()),
        *peer_methods(pythons),
    ]
    wanted = arguments.method or [""]
    return [method for method in methods if any(part in method.name for part in wanted)]


def is_there(folder: Path, model: str) -> bool:
    """Return whether a model has been fetched; say so where it has not."""
    found = (folder / f"{model}.onnx").exists()
    if not found:
        sys.stderr.write(f"{model} is not in {folder}: python -m benchmarks.models {folder}\n")
    return found


def run(bench: Bench, model: str, method: Method) -> Result:
    """Run once, and say so."""
    started = time.perf_counter()
    result = bench.run(model, method)
    smaller = result.size_before / result.size_after if result.size_after else 0.0
    sys.stderr.write(
        f"{model:20} {method.name:32} {result.receipt.outcome:10} {smaller:5.2f}x"
        f" {result.measured.scores or result.receipt.code or result.measured.message}"
        f" {result.measured.latency_ratio or 0:.2f} ({time.perf_counter() - started:.0f} s)\n"
    )
    return result


if __name__ == "__main__":
    main()
