"""The engines' methods that are compared."""

import hashlib
import sys
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

RECIPES = "benchmarks.comparison.recipes"
ENGINE_SOURCES = Path("worker/engine")
OWN_STATIC = "onnxpress static"
OWN_PLAIN_STATIC = "onnxpress static, all min-max"
PEER_STATIC = "onnxruntime static per channel"


@dataclass(frozen=True)
class Method:
    """One way to compress, as the table names it."""

    name: str
    recipe: str
    options: dict[str, Any] = field(default_factory=dict)
    needs_samples: bool = True
    python: str = sys.executable
    """The interpreter of the environment that has the engine."""

    @property
    def is_ours(self) -> bool:
        """Whether the method is one of onnxpress."""
        return self.recipe == "onnxpress"

    def fingerprint(self) -> str:
        """Return what a result was made with, so that it is measured again after a change."""
        if not self.is_ours:
            return version("onnxruntime") if self.python == sys.executable else self.python
        digest = hashlib.sha256(version("onnxruntime").encode())
        for path in sorted(ENGINE_SOURCES.rglob("*.py")):
            digest.update(path.read_bytes())
        return digest.hexdigest()


def own_methods() -> list[Method]:
    """Return those of onnxpress with their defaults, and int8 as onnxruntime does it."""
    return [
        Method(
            "onnxpress weight 8 bit",
            "onnxpress",
            {"method": "weight_quantization", "bits": 8},
            needs_samples=False,
        ),
        Method("onnxpress weight 4 bit", "onnxpress", {"method": "weight_quantization", "bits": 4}),
        Method(OWN_STATIC, "onnxpress", {"method": "static_quantization"}),
        Method(
            OWN_PLAIN_STATIC,
            "onnxpress",
            {"method": "static_quantization", "calibration_method": "minmax", "fallback": "off"},
        ),
        Method("onnxpress dynamic", "onnxpress", {"method": "dynamic_quantization"}),
        Method("onnxpress float16", "onnxpress", {"method": "float16"}),
    ]


def onnxruntime_methods(*, reduce_range: bool) -> list[Method]:
    """Return onnxruntime's; `reduce_range` where 8-bit products saturate, as it advises."""
    recipe = "onnxruntime_tools"
    return [
        Method("onnxruntime dynamic", recipe, needs_samples=False),
        *(
            Method(
                f"onnxruntime static per {'channel' if per_channel else 'tensor'}",
                recipe,
                {"per_channel": per_channel, "reduce_range": reduce_range},
            )
            for per_channel in (False, True)
        ),
    ]


def peer_methods(pythons: dict[str, str]) -> list[Method]:
    """Return the methods of engines that have an environment of their own."""
    return [
        Method(f"{name} static", f"{name}_tools", python=python) for name, python in pythons.items()
    ]
