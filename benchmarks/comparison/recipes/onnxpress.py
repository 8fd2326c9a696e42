"""onnxpress, through the same entry point as the service's sandbox."""

from pydantic import TypeAdapter

from benchmarks.comparison.recipes.base import Order, Receipt, RefusedError, main
from worker.engine.errors import EngineError
from worker.engine.operations import CompressedModel, CompressModel, run


def compress(order: Order) -> Receipt:
    """Run one pass with its defaults, and what proves it but the latency.

    Blame is left out: it explains a result, and no other engine has the like.
    """
    artifacts = order.workdir / "artifacts"
    request = TypeAdapter(CompressModel).validate_python(
        {
            "model_path": order.model,
            "calibration_path": order.samples,
            "spec": {"passes": [order.options], "evaluation": {"latency": None, "blame": None}},
            "artifact_folder": artifacts,
            "workdir": order.workdir,
        }
    )
    try:
        answer = run(request, lambda _stage, _fraction: None)
    except EngineError as error:
        raise RefusedError(error.code, str(error)) from error
    if not isinstance(answer, CompressedModel):
        raise TypeError(f"a compression answered {type(answer).__name__}")
    (artifacts / answer.artifact_name).rename(order.output)
    report = answer.report
    # The engine sets the kernel's count of the peak back, to know that of each of its stages.
    return Receipt(
        "compressed",
        message="; ".join(report.verdict.warnings),
        peak_memory_bytes=report.peak_memory_bytes,
    )


if __name__ == "__main__":
    main(compress)
