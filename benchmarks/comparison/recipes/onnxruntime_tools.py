"""onnxruntime's own quantizers as its documentation has them used: pre-process, then quantize."""

from pathlib import Path

from onnxruntime.quantization import (
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.comparison.recipes.base import Order, main
from benchmarks.comparison.samples import Feeds, read_feeds


class Reader:
    """Hands out samples one by one, as `quantize_static` asks for them."""

    def __init__(self, samples: Path) -> None:
        self._feeds = read_feeds(samples)

    def get_next(self) -> Feeds | None:
        """Return the next sample, None after the last."""
        return next(self._feeds, None)


def compress(order: Order) -> str | None:
    """Quantize dynamically, or statically where samples are given."""
    prepared, note = _pre_process(order.model, order.workdir / "prepared.onnx")
    if order.samples is None:
        quantize_dynamic(str(prepared), str(order.output), weight_type=QuantType.QInt8)
        return note
    quantize_static(
        str(prepared),
        str(order.output),
        Reader(order.samples),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=order.options["per_channel"],
        reduce_range=order.options["reduce_range"],
        calibrate_method=CalibrationMethod.MinMax,
    )
    return note


def _pre_process(model: Path, prepared: Path) -> tuple[Path, str | None]:
    """Return the prepared model; what pre-processing fails on is quantized as well as it can be."""
    for skips_symbolic_shape, note in (
        (False, None),
        (True, "pre-processed without symbolic shape inference, which fails"),
    ):
        try:
            quant_pre_process(str(model), str(prepared), skip_symbolic_shape=skips_symbolic_shape)
        except Exception:  # noqa: BLE001, S112 - it fails in many ways; the next form may not
            continue
        return prepared, note
    return model, "not pre-processed, which fails"


if __name__ == "__main__":
    main(compress)
