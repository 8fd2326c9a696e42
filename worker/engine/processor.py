"""The processor: its name and the features that onnxruntime's kernels choose by."""

import platform
from pathlib import Path

COMPUTE_FLAGS = {
    "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16",
    "avx512_fp16", "avx_vnni", "amx_int8", "amx_bf16", "asimd", "asimddp", "i8mm", "bf16", "sve",
}  # fmt: skip
"""The processor features that onnxruntime's kernels choose by."""
VNNI_FLAGS = {"avx512_vnni", "avx_vnni", "amx_int8"}
ARM_INTEGER_FLAGS = {"asimddp", "i8mm"}
X86 = {"AMD64", "i386", "i686", "x86", "x86_64"}


def processor() -> tuple[str, list[str]]:
    """Return the processor's name and its features that matter, as far as the system tells."""
    fields: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            fields.setdefault(name.strip(), value.strip())
    except OSError:
        return platform.processor() or platform.machine(), []
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    name = fields.get("model name") or platform.processor() or platform.machine()
    return name, sorted(flags & COMPUTE_FLAGS)


def lacks_integer_products() -> bool:
    """Whether no instruction multiplies and adds 8-bit integers faster than floats, for certain."""
    flags = set(processor()[1])
    return bool(flags) and flags.isdisjoint(VNNI_FLAGS | ARM_INTEGER_FLAGS)


def adds_in_16_bits() -> bool:
    """Whether kernels add products of 8-bit integers in 16 bits, which 8-bit weights overflow."""
    return platform.machine() in X86 and VNNI_FLAGS.isdisjoint(processor()[1])
