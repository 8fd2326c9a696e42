"""Intel's ONNX Neural Compressor, static and per channel; runs where it is installed."""

from pathlib import Path

from onnx_neural_compressor.quantization import QuantFormat, config, quantize

from benchmarks.comparison.recipes.base import Order, main
from benchmarks.comparison.samples import Feeds, read_feeds


class Reader:
    """Hands out samples one by one, as often as asked."""

    def __init__(self, samples: Path) -> None:
        self._samples = samples
        self.rewind()

    def get_next(self) -> Feeds | None:
        """Return the next sample, None after the last."""
        return next(self._feeds, None)

    def rewind(self) -> None:
        """Start again."""
        self._feeds = read_feeds(self._samples)


def compress(order: Order) -> str | None:
    """Quantize to QDQ; other options are its own."""
    if order.samples is None:
        raise ValueError("static quantization needs samples")
    options = config.StaticQuantConfig(
        calibration_data_reader=Reader(order.samples),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
    )
    quantize(str(order.model), str(order.output), options)
    return None


if __name__ == "__main__":
    main(compress)
