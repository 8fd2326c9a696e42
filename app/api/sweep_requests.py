"""A sweep as a JSON or YAML body asks for it: all its specs checked before any is queued."""

from collections.abc import Sequence

from anyio.to_thread import run_sync
from fastapi import Request

from app.api.bodies import read_document
from app.api.documents import check_document
from app.api.grids import check_count, expand
from app.api.sweep_schemas import SweepRequest
from app.errors import FieldError, InvalidRequestError
from app.services.differences import differences
from app.services.sweeps import SweepSubmission
from app.tables import JsonObject
from worker.engine.spec import Spec


async def read_sweep(request: Request, max_specs: int) -> SweepSubmission:
    """Return the sweep that a body asks for.

    Raises:
        UnsupportedMediaTypeError: it is neither JSON nor YAML.
        BadRequestError: it is not well-formed.
        InvalidRequestError: a field or spec is wrong, or there are too many specs.
        TooLargeError: the body, or the specs of the grid written out, are too long.
    """
    document = await read_document(request)
    return await run_sync(_submission, document, max_specs)


def _submission(document: object, max_specs: int) -> SweepSubmission:
    if isinstance(document, dict) and isinstance(document.get("specs"), list):
        check_count(len(document["specs"]), max_specs, "#/specs")
    body = check_document(document, SweepRequest)
    specs, unlike = _specs(body, max_specs)
    is_list = body.specs is not None
    return SweepSubmission(
        model_id=body.model_id,
        specs=specs,
        pointers=[f"#/specs/{index}" if is_list else "#/spec" for index in range(len(specs))],
        differences=unlike,
        calibration_dataset_id=body.calibration_dataset_id,
        evaluation_dataset_id=body.evaluation_dataset_id,
        labels=body.labels,
        best_by=body.best_by,
    )


def _specs(body: SweepRequest, max_specs: int) -> tuple[list[Spec], list[JsonObject]]:
    """Return the specs, and for each where it is unlike the others."""
    if body.specs is not None and body.spec is None and body.grid is None:
        _check_unlike(body.specs, "#/specs/{0}", "#/specs/{1}")
        given = [spec.model_dump(mode="json", exclude_unset=True) for spec in body.specs]
        return body.specs, differences(given)
    if body.specs is None and body.spec is not None and body.grid is not None:
        specs, values = zip(*expand(body.spec, body.grid, max_specs), strict=True)
        _check_unlike(specs, "#/grid", "combination {1}")
        return [*specs], [*values]
    detail = "give either specs, or spec and grid"
    raise InvalidRequestError(detail, errors=[FieldError("#/", detail)])


def _check_unlike(specs: Sequence[Spec], pointer: str, earlier: str) -> None:
    """Refuse a spec that says the same as another: its job would be run twice."""
    seen: dict[str, int] = {}
    for index, spec in enumerate(specs):
        first = seen.setdefault(spec.model_dump_json(), index)
        if first != index:
            twin = earlier.format(index, first)
            detail = f"spec {index} is, with all defaults filled in, the same as {twin}"
            errors = [FieldError(pointer.format(index), detail)]
            raise InvalidRequestError(detail, code="repeated_spec", errors=errors)
