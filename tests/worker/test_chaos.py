import sys

import pytest

from benchmarks import chaos


@pytest.mark.skipif(sys.platform != "linux", reason="finds its victims in /proc")
def test_no_job_is_lost_or_ended_twice_whatever_is_killed(tmp_path):
    outcome = chaos.run(tmp_path, job_count=6, kill_count=4, seed=1, patience=40)

    assert outcome.lost == 0
    assert outcome.ended_twice == 0
    assert outcome.states == {"succeeded": 6}
    assert outcome.left_in_spool == []
