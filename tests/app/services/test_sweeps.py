import pytest

from app.repositories.sweeps import StateCount
from app.services.sweeps import Standing
from app.tables import SweepRow


def standing(**counts):
    """A sweep with so many jobs in each state."""
    return Standing(
        SweepRow(), {state: StateCount(number, 0.0) for state, number in counts.items()}
    )


@pytest.mark.parametrize(
    ("counts", "state"),
    [
        ({"queued": 3}, "queued"),
        ({"queued": 2, "succeeded": 1}, "running"),
        ({"queued": 2, "cancelled": 1}, "running"),
        ({"running": 1, "cancelling": 1}, "running"),
        ({"cancelling": 1, "cancelled": 2}, "cancelling"),
        ({"succeeded": 3}, "succeeded"),
        ({"succeeded": 2, "failed": 1}, "partly_failed"),
        ({"failed": 3}, "failed"),
        ({"cancelled": 3}, "cancelled"),
        ({"succeeded": 1, "failed": 1, "cancelled": 1}, "cancelled"),
    ],
)
def test_state_is_what_the_jobs_come_to(counts, state):
    assert standing(**counts).state == state


@pytest.mark.parametrize(
    ("counts", "is_over"),
    [
        ({"succeeded": 1, "failed": 1, "cancelled": 1}, True),
        ({"succeeded": 1, "cancelling": 1}, False),
        ({"queued": 1}, False),
    ],
)
def test_is_over_once_all_jobs_have_ended(counts, is_over):
    assert standing(**counts).is_over is is_over


def test_progress_is_the_mean_of_the_jobs():
    counts = {
        "queued": StateCount(1, 0.0),
        "running": StateCount(2, 0.5 + 0.25),
        "failed": StateCount(1, 0.125),
    }

    assert Standing(SweepRow(), counts).progress == (0 + 0.75 + 1) / 4
