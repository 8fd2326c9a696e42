from dataclasses import replace

import pytest

from worker.engine.blame.effects import Budget
from worker.engine.blame.finding import investigate
from worker.engine.blame.judging import Judged
from worker.engine.blame.mending import Job, exchange, mend
from worker.engine.errors import PassError
from worker.engine.passes.initializer_pruning import InitializerPruning
from worker.engine.passes.weight_quantization import WeightQuantization
from worker.engine.spec import Spec

COARSE = WeightQuantization(
    minimum_values=17,
    runtime_form="folded",  # not the one that happens to be faster
    overrides=({"nodes": ("conv",), "bits": 2},),
)


@pytest.fixture
def found(compressed, images, tmp_path):
    return investigate(compressed(COARSE), images, tmp_path, Budget(60))


@pytest.fixture
def job(found, images):
    """A job that runs passes so, and judges what they make on the images."""

    def job(run, step=COARSE, resolved=None):
        def judge(model):
            return Judged(found.fidelity_of(model), len(images), images)

        passes = [resolved or step]
        return Job(Spec(passes=[step]), passes, [{"conv", "gemm"}], 0.0, run, judge)

    return job


def test_exchanges_the_worst_nodes_in_the_result(found):
    [point] = exchange(found, Budget(60))

    assert (point.nodes, point.kept, point.is_rerun) == (1, ["conv"], False)
    assert point.sqnr_db == found.board.fidelity_db({"gemm"})


def test_runs_the_passes_again_with_the_change_that_is_offered(found, compressed, tmp_path, job):
    ran = []

    def run(passes):
        ran.append(passes[0])
        return compressed(passes[0]).result

    mending = mend(found, job(run), 5.0, tmp_path / "mend", Budget(60))

    assert mending.repair.spec.passes == [ran[0]]
    assert ran[0].overrides[-1].bits == 16
    assert mending.repair.sqnr_db == pytest.approx(found.fidelity_of(compressed(ran[0]).result))


def test_whether_to_correct_biases_is_decided_anew(found, compressed, tmp_path, job):
    """What no longer has a ruined weight may gain from it, and the offered spec asks for that."""
    ran = []

    def run(passes):
        ran.append(passes[0])
        return compressed(passes[0]).result

    done = COARSE.model_copy(update={"correct_biases": False})

    mending = mend(found, job(run, resolved=done), 5.0, tmp_path / "mend", Budget(60))

    assert ran[0].correct_biases == "auto"
    assert mending.repair.spec.passes[0].correct_biases == "auto"


def test_offers_nothing_that_does_not_help(found, tmp_path, job):
    result = found.pairing.pair.result

    mending = mend(
        found, job(lambda _: result), found.fidelity_of(result), tmp_path / "mend", Budget(60)
    )

    assert mending.repair is None
    assert all(point.is_rerun for point in mending.curve)


def test_a_change_that_fails_ends_the_search(found, tmp_path, job):
    def refuse(passes):
        raise PassError("no")

    mending = mend(found, job(refuse), 5.0, tmp_path / "mend", Budget(60))

    assert (mending.curve, mending.repair) == ([], None)


def test_does_not_run_the_same_passes_twice(compressed, images, tmp_path, job):
    step = InitializerPruning(threshold=3.0)
    found = investigate(compressed(step), images, tmp_path, Budget(60))
    ran = []

    def run(passes):
        ran.append(passes)
        return found.pairing.pair.result

    mend(found, job(run, step), 5.0, tmp_path / "mend", Budget(60))

    assert len(ran) == len({str(each) for each in ran})


def test_looks_next_at_the_samples_that_tell_most_of_what_is_mended(
    found, compressed, images, tmp_path, job, monkeypatch
):
    looked_at = []

    def look(pair, samples, *arguments):
        looked_at.append(samples)
        return investigate(pair, samples, *arguments)

    monkeypatch.setattr("worker.engine.blame.mending.investigate", look)
    whole = job(lambda passes: compressed(passes[0]).result)
    telling = replace(whole, judge=lambda model: replace(whole.judge(model), telling=images[4:]))

    mend(found, telling, 5.0, tmp_path / "mend", Budget(60))

    assert looked_at
    assert all(samples == images[4:] for samples in looked_at)
