"""When answers are good enough for a goal that does not say, or cannot be held to what it says."""

from worker.engine.errors import InvalidDatasetError
from worker.engine.original import Original
from worker.engine.spec import Gates, Goal

MAX_DROP = 0.01
MIN_SQNR_DB = 20.0
NAMED_LIMITS = ("min_sqnr_db", "min_cosine", "min_argmax_agreement", "max_accuracy_drop")
FIGURES = ("accuracy", "fidelity")
UNJUDGED = (
    "the search left out what only real data can judge: fewer than 8 bits, and integers with"
    " ranges from samples"
)


def with_good_answers(goal: Goal, original: Original) -> Goal:
    """Return the goal with a limit on the answers, where it has none.

    Without one, the smallest model is the worst that does not count as ruined.

    Raises:
        InvalidDatasetError: the goal limits the drop of scores, and there is none that drops.
    """
    limits = goal.within
    is_scored = any(score.plan.metric.unit != "none" for score in original.scoring.scores)
    if limits.max_accuracy_drop is not None and not is_scored:
        raise InvalidDatasetError(_no_drop(original))
    if limits_answers(limits):
        return goal
    added = {"max_accuracy_drop": MAX_DROP} if is_scored else {"min_sqnr_db": MIN_SQNR_DB}
    return goal.model_copy(update={"within": limits.model_copy(update=added)})


def _no_drop(original: Original) -> str:
    """Return why no drop can be limited, and what can be."""
    if not original.scoring.scores:
        return (
            "the goal limits max_accuracy_drop, which needs labels: add an array named"
            ' "labels" to the evaluation data, or limit min_sqnr_db or min_argmax_agreement'
        )
    name = original.scoring.scores[0].plan.name
    return (
        f"the goal limits max_accuracy_drop, but {name} is an error in units of its own: limit the"
        f' figure "accuracy[{name}].after", or min_sqnr_db, or declare another metric'
    )


def limits_answers(limits: Gates) -> bool:
    """Return whether any limit is about the answers."""
    return any(getattr(limits, name) is not None for name in NAMED_LIMITS) or any(
        is_about_answers(limit.figure) for limit in limits.limits
    )


def is_about_answers(gate: str) -> bool:
    """Return whether a gate, by its name or figure, is about the answers: not size nor speed."""
    return gate in NAMED_LIMITS or gate.startswith(FIGURES)
