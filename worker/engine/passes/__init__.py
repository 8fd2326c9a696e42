"""The compression methods: `AnyPass` is the union of all of them, told apart by `method`."""

from typing import Annotated, get_args

from pydantic import Field

from worker.engine.passes.base import Pass
from worker.engine.passes.dynamic_quantization import DynamicQuantization
from worker.engine.passes.float16 import Float16
from worker.engine.passes.initializer_pruning import InitializerPruning
from worker.engine.passes.static_quantization import StaticQuantization
from worker.engine.passes.weight_quantization import WeightQuantization

AnyPass = Annotated[
    WeightQuantization | StaticQuantization | DynamicQuantization | Float16 | InitializerPruning,
    Field(discriminator="method"),
]
PASS_TYPES: tuple[type[Pass], ...] = get_args(get_args(AnyPass)[0])
