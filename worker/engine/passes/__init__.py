"""The compression methods: `AnyPass` is the union of all of them, told apart by `method`."""

from typing import Annotated

from pydantic import Field

from worker.engine.passes.dynamic_quantization import DynamicQuantization
from worker.engine.passes.float16 import Float16
from worker.engine.passes.initializer_pruning import InitializerPruning
from worker.engine.passes.static_quantization import StaticQuantization
from worker.engine.passes.weight_quantization import WeightQuantization

AnyPass = Annotated[
    DynamicQuantization | Float16 | InitializerPruning | StaticQuantization | WeightQuantization,
    Field(discriminator="method"),
]
