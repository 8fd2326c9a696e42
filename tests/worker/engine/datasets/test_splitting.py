import numpy as np
import pytest

from worker.engine.datasets.splitting import at_most, first, hold_out
from worker.engine.samples import Sample


class Numbered:
    """Samples whose only feed is their number."""

    origin = "dataset"

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __iter__(self):
        return (Sample({"x": np.array(index)}) for index in range(self.count))


def numbers(samples):
    return [int(sample.feeds["x"]) for sample in samples]


@pytest.mark.parametrize(
    ("count", "rest", "held"),
    [
        (11, [0, 1, 2, 3, 5, 6, 7, 8, 10], [4, 9]),
        (3, [0, 1], [2]),
        (1, [0], [0]),
    ],
)
def test_holds_out_every_fifth_sample(count, rest, held):
    calibration, verification = hold_out(Numbered(count))

    assert (numbers(calibration), numbers(verification)) == (rest, held)
    assert (len(calibration), len(verification)) == (len(rest), len(held))


def test_a_part_can_be_read_again():
    calibration, _ = hold_out(Numbered(5))

    assert numbers(calibration) == numbers(calibration)


def test_takes_the_first_samples_only():
    assert numbers(at_most(Numbered(5), 2)) == [0, 1]
    assert numbers(first(Numbered(5), 3)) == [0, 1, 2]


class Broken(Numbered):
    """Samples of which the last cannot be read."""

    def __iter__(self):
        yield from (Sample({"x": np.array(index)}) for index in range(self.count - 1))
        raise ValueError


def test_reads_nothing_behind_the_last_sample_it_takes():
    assert numbers(at_most(Broken(5), 2)) == [0, 1]
