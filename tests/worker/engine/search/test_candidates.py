import pytest

from tests.worker.engine.search.conftest import make_point
from worker.engine.errors import EngineError, PassError, VerificationError
from worker.engine.search import candidates
from worker.engine.search.candidates import EIGHT, HALVES, search_candidates

RUINED = VerificationError("nothing is left of the answers", code="ruined_result")
FAILED = PassError("no weight to compress")
LIMITS = {"min_sqnr_db": 20}


@pytest.fixture
def mixes(monkeypatch):
    """Collect which mixes of bits are asked for, and try none."""
    asked = []
    monkeypatch.setattr(candidates, "smallest", lambda _: asked.append("fewer"))
    monkeypatch.setattr(candidates, "fewest_halves", lambda _: asked.append("halves"))
    return asked


@pytest.fixture
def outcomes(study, monkeypatch):
    """Search with given outcomes of 8 bits and of float16: an SQNR, an error, or None for no time.

    All else fails.
    """

    def outcomes(eight, halves, **goal):
        opened = study(within=LIMITS, **goal)
        given = {EIGHT.name: eight, HALVES.name: halves}

        def made(proposal, folders, started):
            outcome = given.get(proposal.name, FAILED)
            if isinstance(outcome, EngineError):
                raise outcome
            point = make_point(proposal.name, limits=opened.goal.within)
            point.measured.fidelity[0].sqnr_db = outcome
            point.measure_again(point.measured.latency, opened.goal.within)
            opened.tried.append(point)
            return point

        def seconds_of(proposal):
            return 1e6 if given.get(proposal.name, FAILED) is None else 0.0

        monkeypatch.setattr(opened, "_made", made)
        monkeypatch.setattr(opened, "least_seconds", seconds_of)
        search_candidates(opened)
        return opened

    return outcomes


@pytest.mark.parametrize(
    ("eight", "halves", "asked"),
    [
        (30.0, 60.0, ["fewer"]),
        (15.0, 60.0, ["halves"]),
        (RUINED, 60.0, ["halves"]),
        (15.0, 18.0, []),
        (15.0, RUINED, []),
        (15.0, None, []),
        (15.0, FAILED, ["halves"]),
        (FAILED, 60.0, []),
        (None, 60.0, []),
    ],
)
def test_mixes_bits_only_where_what_was_made_says_so(outcomes, mixes, eight, halves, asked):
    outcomes(eight, halves)

    assert mixes == asked


def test_mixes_halves_where_float16_is_not_allowed(outcomes, mixes):
    outcomes(15.0, 60.0, methods=["weight_quantization"])

    assert mixes == ["halves"]


def test_what_failed_at_eight_bits_is_still_tried_as_halves(outcomes, mixes):
    opened = outcomes(FAILED, 60.0)

    assert opened.best[0].proposal.name == HALVES.name
