"""The compression methods: `AnyPass` is the union of all of them, told apart by `method`."""

from typing import Annotated

from pydantic import Field

from worker.engine.passes.dynamic_quantization import DynamicQuantization
from worker.engine.passes.static_quantization import StaticQuantization

AnyPass = Annotated[DynamicQuantization | StaticQuantization, Field(discriminator="method")]
