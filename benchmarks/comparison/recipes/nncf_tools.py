"""NNCF's post-training quantization with its defaults; runs where NNCF is installed."""

import nncf
import onnx

from benchmarks.comparison.recipes.base import Order, main
from benchmarks.comparison.samples import read_feeds


def compress(order: Order) -> str | None:
    """Quantize with as many samples as are given."""
    if order.samples is None:
        raise ValueError("NNCF needs samples")
    feeds = list(read_feeds(order.samples))
    model = onnx.load(order.model)
    quantized = nncf.quantize(model, nncf.Dataset(feeds), subset_size=len(feeds))
    onnx.save(quantized, order.output)
    return None


if __name__ == "__main__":
    main(compress)
