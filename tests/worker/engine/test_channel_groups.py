import numpy as np
import pytest

from worker.engine.channel_groups import (
    ChannelSums,
    as_ranges,
    channel_axis,
    split_by_scale,
)
from worker.engine.fidelity import OutputComparison


def groups_of(*pairs):
    sums = ChannelSums()
    for reference, answer in pairs:
        sums.add(np.asarray(reference, np.float32), np.asarray(answer, np.float32))
    return sums.groups()


def detections(seed=0):
    """Four rows of boxes up to 320 and two of scores up to 1, for 50 anchors."""
    random = np.random.default_rng(seed)
    boxes = random.uniform(0, 320, (1, 4, 50))
    return np.concatenate([boxes, random.uniform(0, 1, (1, 2, 50))], axis=1)


def without_scores(array):
    return np.concatenate([array[:, :4] * 1.01, np.zeros((1, 2, 50))], axis=1)


def test_lost_scores_show_beside_good_boxes():
    reference = detections()

    boxes, scores = groups_of((reference, without_scores(reference)))

    # a hundredth of every value is 40 dB; a zero for every value is 0 dB
    assert (boxes.channels, scores.channels) == ("0-3", "4-5")
    assert boxes.sqnr_db == pytest.approx(40, abs=0.01)
    assert scores.sqnr_db == pytest.approx(0, abs=1e-6)


def test_the_whole_output_hides_what_its_groups_show():
    comparison = OutputComparison("y")

    comparison.add(detections(), without_scores(detections()))

    result = comparison.result("dataset")
    assert result.sqnr_db > 35
    assert min(group.sqnr_db for group in result.groups) < 3


def test_channels_last_are_found_too():
    reference = np.swapaxes(detections(), 1, 2)
    answer = np.swapaxes(without_scores(detections()), 1, 2)

    assert [group.channels for group in groups_of((reference, answer))] == ["0-3", "4-5"]


def test_samples_are_pooled():
    samples = [detections(1), detections(2)]

    _, scores = groups_of((samples[0], samples[0]), (samples[1], without_scores(samples[1])))

    signal = sum(np.square(each[:, 4:]).sum() for each in samples)
    noise = np.square(samples[1][:, 4:]).sum()
    assert scores.sqnr_db == pytest.approx(10 * np.log10(signal / noise), abs=1e-4)


@pytest.mark.parametrize("faint", [0.0, 1e-6, 0.04])
def test_channels_without_a_signal_are_left_out(faint):
    reference = np.concatenate([np.full((1, 2, 9), 300.0), np.full((1, 2, 9), faint)], axis=1)
    reference[0, :2, 0] = 0

    assert groups_of((reference, reference + 0.1)) == []


def test_constant_channels_are_left_out():
    reference = detections()
    reference[:, 4:] = 0.5

    assert [group.channels for group in groups_of((reference, reference + 0.5))] == ["0-3"]


def test_channels_on_one_scale_are_one_group():
    random = np.random.default_rng(0)
    logits = random.normal(0, [[1.0], [5.0], [20.0]], (2, 3, 30))

    assert groups_of((logits, logits * 1.1)) == []


def test_chances_of_rare_classes_are_no_group():
    chances = np.array([[0.9, 0.0999, 1e-4]])

    assert groups_of((chances, np.array([[0.9, 0.1, 1e-2]]))) == []


def test_outputs_of_changing_size_have_no_groups():
    boxes = np.array([[300.0, 0.5]])

    assert groups_of((boxes, boxes), (np.tile(boxes, (2, 1)), boxes)) == []


def test_values_that_are_not_finite_do_not_count():
    reference = detections()
    answer = reference.copy()
    answer[0, 4, 0] = np.nan

    assert [group.sqnr_db for group in groups_of((reference, answer))] == [None, None]


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((8,), None),
        ((1, 1), None),
        ((1, 84), 1),
        ((1, 84, 8400), 1),
        ((1, 8400, 85), 2),
        ((1, 3, 64, 64), 1),
        ((1, 80, 20, 20), 1),
        ((1, 64, 64, 3), 3),
        ((1, 1, 64, 64), None),
    ],
)
def test_finds_the_axis_of_channels(shape, axis):
    assert channel_axis(shape) == axis


def test_splits_where_peaks_are_far_apart():
    # 9 over 0.2 is 45, 300 over 9 is 33, 0.2 over 0.1 is 2
    assert split_by_scale(np.array([0.1, 300.0, 9.0, 0.2, 0.0])) == [[1], [2], [3, 0]]


def test_writes_ranges_in_short():
    assert as_ranges([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7-8"
