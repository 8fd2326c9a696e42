import numpy as np
import pytest

from tests.engine_runs import first_answers, sqnr_db
from worker.engine.blame.activations import roundings_of
from worker.engine.blame.causes import harm_of_causes
from worker.engine.blame.pairing import Pairing
from worker.engine.blame.switches import segment_board
from worker.engine.blame.weights import weight_facts
from worker.engine.layers import StoredWeights
from worker.engine.passes.initializer_pruning import InitializerPruning
from worker.engine.passes.static_quantization import StaticQuantization


def harm(pair, images):
    pairing = Pairing(pair)
    stored = StoredWeights(pair.result, pair.tidied)
    found = {each.name: weight_facts(pairing, each, stored) for each in pairing.changed}
    weights = {name: facts for name, facts in found.items() if facts is not None}
    roundings = {each.name: list(roundings_of(pairing, each)) for each in pairing.changed}
    return harm_of_causes(pairing, pairing.changed, weights, roundings, images)


def test_where_only_the_weight_changed_it_does_all_the_harm(compressed, images):
    pair = compressed(InitializerPruning(sparsity=0.5, scope="per_layer"))

    board = segment_board(Pairing(pair), images)
    alone = {(n, w): board.fidelity_db({n}) for n, w in (("conv", "kernel"), ("gemm", "dense"))}
    assert harm(pair, images) == {cause: pytest.approx(db, abs=0.01) for cause, db in alone.items()}


def test_a_rounded_input_is_rounded_in_the_steps_of_its_range(compressed, images):
    pair = compressed(StaticQuantization(fallback="off"))
    pairing = Pairing(pair)
    [image] = [r for r in roundings_of(pairing, pairing.changed[0]) if r.name == "image"]

    found = harm(pair, images)

    steps = [np.round(feeds["image"] / np.float32(image.scale)) for feeds in images]
    lowest, highest = image.lowest / image.scale, image.highest / image.scale
    rounded = [
        {"image": (np.clip(each, lowest, highest) * image.scale).astype(np.float32)}
        for each in steps
    ]
    expected = sqnr_db(first_answers(pair.original, images), first_answers(pair.original, rounded))
    assert found["conv", "image"] == pytest.approx(expected, abs=0.1)
    assert {("conv", "kernel"), ("conv", "active"), ("gemm", "dense")} <= set(found)
