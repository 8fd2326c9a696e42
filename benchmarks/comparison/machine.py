"""The machine that measured: what a reader needs to compare with another one."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

FLAGS_THAT_MATTER = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")
VECTOR_INTEGER_FLAGS = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"}
PACKAGES = ("onnxruntime", "onnx", "numpy")
GIBIBYTE = 2**30


def cpu_flags() -> list[str]:
    """Return the flags that decide how fast and how exact 8-bit products are."""
    fields = _cpu_fields()
    present = set(fields.get("flags", fields.get("Features", "")).split())
    return [flag for flag in FLAGS_THAT_MATTER if flag in present]


def has_exact_int8_products() -> bool:
    """Return whether sums of 8-bit products cannot saturate."""
    return bool(VECTOR_INTEGER_FLAGS & set(cpu_flags()))


def describe_machine() -> str:
    """Return one sentence."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIBIBYTE
    name = _cpu_fields().get("model name", platform.machine())
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return (
        f"{name} ({', '.join(cpu_flags()) or 'no vector flags'}), {os.cpu_count()} cores,"
        f" {memory:.0f} GiB; {platform.system()}, Python {platform.python_version()}, {versions}."
    )


def _cpu_fields() -> dict[str, str]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}
