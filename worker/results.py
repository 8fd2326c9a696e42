"""What a finished attempt leaves on its job's row: headline figures, or problem details."""

from app.tables import JsonObject

_STATUSES = {"internal_error": 500, "crashed": 500, "worker_lost": 500, "storage_unavailable": 503}
_ENGINE_STATUS = 422


def problem(code: str, detail: str) -> JsonObject:
    """Return a failure as RFC 9457 problem details."""
    return {
        "type": f"urn:onnxpress:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": _STATUSES.get(code, _ENGINE_STATUS),
        "detail": detail,
        "code": code,
    }


def headline_figures(report: JsonObject, duration_seconds: float) -> JsonObject:
    """Return the figures of a report that lists and comparisons of jobs show.

    Args:
        report: a `worker.engine.report.report.Report` as JSON.
        duration_seconds: from the claim to the finished artifact.
    """
    before, after = report["before"], report["after"]
    latency, scores, fidelity = report["latency"], report["accuracy"], report["fidelity"]
    parts = [part for output in fidelity for part in (output, *output.get("groups", []))]
    decibels = [part["sqnr_db"] for part in parts if part["sqnr_db"] is not None]
    agreements = [it["agreement"] for it in fidelity if it["agreement"] is not None]
    drops = [_drop(score) for score in scores if score["unit"] != "none"]
    return {
        "size_bytes_before": before["size_bytes"],
        "size_bytes_after": after["size_bytes"],
        "size_ratio": after["size_bytes"] / before["size_bytes"],
        "compression_ratio": before["size_bytes"] / after["size_bytes"],
        "min_sqnr_db": min(decibels, default=None),
        "min_agreement": min(agreements, default=None),
        "is_equal": bool(fidelity) and not decibels and all(it == 1 for it in agreements),
        "accuracy": _score(scores[0]) if scores else None,
        "accuracy_drop": max(drops, default=None),
        "scores": [_score(score) for score in scores],
        "latency_ratio": latency["ratio"] if latency else None,
        "latency_p50_seconds_before": latency["before"]["p50_seconds"] if latency else None,
        "latency_p50_seconds_after": latency["after"]["p50_seconds"] if latency else None,
        "data": fidelity[0]["data"] if fidelity else None,
        "execution_provider": report["manifest"]["execution_provider"],
        "peak_memory_bytes": report["peak_memory_bytes"],
        "cpu_seconds": report["spending"]["cpu_seconds"],
        "duration_seconds": duration_seconds,
    }


def _score(score: JsonObject) -> JsonObject:
    return {name: score[name] for name in ("metric", "output", "before", "after")}


def _drop(score: JsonObject) -> float:
    """Return how much worse the compressed model is, by a share or a correlation."""
    drop: float = score["before"] - score["after"]
    return drop if score["larger_is_better"] else -drop
