"""What a goal may ask of this service."""

from app.errors import FieldError, InvalidRequestError
from worker.engine.spec import Spec

LONGEST_OVERRUN = 1.1
"""Of a goal's budget."""


def check_budget(spec: Spec, limit_seconds: float, pointer: str = "#/spec") -> None:
    """Refuse a goal whose search the time limit of jobs would end with nothing to show.

    Raises:
        InvalidRequestError: the budget is too long; `pointer` is where the spec is.
    """
    if spec.goal is None or spec.goal.budget_seconds * LONGEST_OVERRUN <= limit_seconds:
        return
    detail = f"jobs may take {limit_seconds:g} s here, and a search a tenth more than its budget"
    raise InvalidRequestError(
        f"goal.budget_seconds is too long: {detail}",
        code="budget_too_long",
        errors=[FieldError(f"{pointer}/goal/budget_seconds", detail)],
    )
