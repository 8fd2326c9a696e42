import pytest

from tests.worker.engine.search.conftest import make_point
from worker.engine.passes.dynamic_quantization import DynamicQuantization
from worker.engine.passes.static_quantization import StaticQuantization
from worker.engine.search.budget import NotStartedError
from worker.engine.search.exactness import Exactness
from worker.engine.spec import Gates, Goal

GOAL = Goal(minimize="latency", within=Gates(max_accuracy_drop=0.01))


def asked_for(proposal):
    [step] = proposal.passes
    return step.fallback_sqnr_db


def model_that_needs(db, asked):
    """Return what tries proposals; those that ask for less than `db` lose too much."""

    def try_(proposal):
        asked.append(asked_for(proposal))
        drop = 0.0 if asked_for(proposal) >= db else 0.5
        return make_point(proposal.name, drop=drop, limits=GOAL.within)

    return try_


@pytest.mark.parametrize(
    ("needed_db", "between"), [(9.0, [8.0, 10.0]), (5.0, [8.0, 6.0]), (20.0, [18.5, 21.75])]
)
def test_looks_between_what_kept_the_limits_and_what_did_not(needed_db, between):
    asked = []
    search = Exactness("static", StaticQuantization, GOAL, model_that_needs(needed_db, asked))

    search.try_default()
    search.try_at(12.0)
    search.try_at(4.0)
    search.narrow()

    assert asked == [25.0, 12.0, 4.0, *between]


@pytest.mark.parametrize("needed_db", [0.0, 30.0])
def test_looks_no_further_where_all_or_none_kept_them(needed_db):
    asked = []
    search = Exactness("dynamic", DynamicQuantization, GOAL, model_that_needs(needed_db, asked))

    search.try_default()
    search.try_at(4.0)
    search.narrow()

    assert asked == [23.0, 4.0]


def test_what_cannot_be_made_is_a_miss():
    asked = []
    made = model_that_needs(0.0, asked)
    search = Exactness(
        "static", StaticQuantization, GOAL, lambda each: made(each) if asked_for(each) > 4 else None
    )

    search.try_default()
    search.try_at(4.0)
    search.narrow()

    assert asked == [25.0, 14.5, 9.25]


def test_what_was_not_started_says_nothing():
    asked = []

    def try_(proposal):
        if asked:
            raise NotStartedError("not started")
        return model_that_needs(0.0, asked)(proposal)

    search = Exactness("static", StaticQuantization, GOAL, try_)
    search.try_default()
    with pytest.raises(NotStartedError):
        search.try_at(4.0)

    search.narrow()

    assert asked == [25.0]
