import time

import pytest

from worker.engine.search.budget import Budget, BudgetSpentError, SearchProgress


def test_keeps_time_back_for_the_end():
    budget = Budget(100, started=time.perf_counter() - 50)
    assert budget.left_seconds == pytest.approx(50, abs=1)

    budget.reserve_seconds = 20

    assert budget.left_seconds == pytest.approx(30, abs=1)
    assert budget.fraction == pytest.approx(50 / 80, abs=0.02)


def test_what_is_being_made_is_given_up_once_time_is_up():
    heard = []
    progress = SearchProgress(Budget(10, started=time.perf_counter() - 11), heard.append)

    with pytest.raises(BudgetSpentError):
        progress.of_pass(0, 1)("calibrating", 0.5)
    with pytest.raises(BudgetSpentError), progress.stage("evaluating"):
        pass
    assert heard == [1.0, 1.0]


def test_reports_the_share_of_the_time_whatever_the_stage():
    heard = []
    progress = SearchProgress(Budget(100, started=time.perf_counter() - 50), heard.append)

    with progress.stage("compressing") as report:
        report(0.9)

    assert heard == pytest.approx([0.5, 0.5, 0.5], abs=0.01)
