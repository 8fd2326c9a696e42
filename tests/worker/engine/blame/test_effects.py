import onnx
import pytest

from worker.engine.blame.effects import (
    Budget,
    Effect,
    culprits,
    is_extraordinary,
    measure_effects,
)
from worker.engine.blame.pairing import Pairing, Segment
from worker.engine.blame.switches import segment_board
from worker.engine.passes.initializer_pruning import InitializerPruning


def effect(name, alone, local=None):
    return Effect(Segment(onnx.NodeProto(name=name), [], [], [], True), local, alone)


def names(effects):
    return [each.segment.name for each in effects]


def test_measures_every_segment_alone_and_the_worst_restored(compressed, images):
    pairing = Pairing(compressed(InitializerPruning(sparsity=0.5)))
    board = segment_board(pairing, images)

    effects = measure_effects(board, pairing.changed, {"conv": 5.0, "gemm": 10.0}, Budget(60))

    alone = {name: board.fidelity_db({name}) for name in ("conv", "gemm")}
    assert {each.segment.name: each.alone_db for each in effects} == alone
    assert effects[0].alone_db <= effects[1].alone_db
    # with two segments, to restore one is to compress the other alone
    assert effects[0].restored_db == effects[1].alone_db


def test_without_time_only_the_worst_by_its_own_error_is_measured(compressed, images):
    pairing = Pairing(compressed(InitializerPruning(sparsity=0.5)))
    board = segment_board(pairing, images)

    effects = measure_effects(board, pairing.changed, {"conv": 10.0, "gemm": 5.0}, Budget(0))

    assert [each.alone_db is None for each in effects] == [False, True]
    assert names(effects) == ["gemm", "conv"]


def test_the_worst_are_measured_on_all_samples_where_all_segments_were_not(
    compressed, images, monkeypatch
):
    pairing = Pairing(compressed(InitializerPruning(sparsity=0.5)))
    board = segment_board(pairing, images)
    monkeypatch.setattr("worker.engine.blame.effects.QUICK_SECONDS", 0.0)
    monkeypatch.setattr("worker.engine.blame.effects.REFINED_NODES", 1)

    worst, other = measure_effects(board, pairing.changed, {}, Budget(60))

    assert worst.alone_db == board.fidelity_db({worst.segment.name})
    assert other.alone_db == board.fidelity_db({other.segment.name}, 1)


@pytest.mark.parametrize(
    ("decibels", "guilty"),
    [
        ([10, 30, 30, 30], 1),  # 0.1 of 0.103
        ([20, 20, 20, 20], 0),  # a quarter each
        ([20, 20.5, 40, 40, 40], 2),  # half each, and a hundred times the others
        ([51, 60, 60], 0),  # nothing is lost
        ([3], 0),  # nobody to compare with
    ],
)
def test_those_stand_out_that_cost_most_of_what_is_lost(decibels, guilty):
    effects = [effect(str(index), value) for index, value in enumerate(decibels)]

    assert names(culprits(effects)) == [str(index) for index in range(guilty)]


def test_an_error_is_out_of_the_ordinary_where_most_nodes_have_far_smaller_ones():
    effects = [effect("a", 10, 5.0), effect("b", 30, 30.0), effect("c", 30, 32.0)]
    lossless = [effect("d", 200, 150.0), effect("e", 200, None)]

    assert is_extraordinary(effects[0], effects + lossless)
    assert not is_extraordinary(effects[1], effects + lossless)
    assert not is_extraordinary(lossless[1], effects + lossless)
