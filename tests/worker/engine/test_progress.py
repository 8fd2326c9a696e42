import pytest

from worker.engine.progress import Progress


def test_progress_never_goes_back_over_stages_and_passes():
    seen = []
    progress = Progress(lambda stage, fraction: seen.append((stage, fraction)))

    with progress.stage("preparing"):
        pass
    with progress.stage("compressing"):
        first, second = progress.of_pass(0, 2), progress.of_pass(1, 2)
        first("calibrating", 1.0)
        first("compressing", 1.0)
        second("calibrating", 0.5)
    with progress.stage("blaming") as report:
        report(0.5)

    fractions = [fraction for _, fraction in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert {stage for stage, _ in seen} == {
        "preparing",
        "calibrating",
        "compressing",
        "blaming",
    }


def test_each_stage_is_timed():
    progress = Progress(lambda stage, fraction: None)

    with progress.stage("verifying"):
        pass

    assert progress.accounts.durations_seconds["verifying"] >= 0


def test_a_pass_has_its_share_of_compressing():
    seen = []
    progress = Progress(lambda stage, fraction: seen.append(fraction))

    progress.of_pass(1, 4)("compressing", 1.0)

    # compressing spans 0.05 to 0.65, and the second of four passes ends at its half
    assert seen == [pytest.approx(0.05 + 0.6 * 0.5)]
