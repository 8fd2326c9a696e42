"""The compression engine: a pure library from model and spec to model and report."""

# Not only a docstring, because this must run before anything imports onnxruntime: its wheels send
# telemetry by default, and only this variable, set before the import, keeps them silent.
import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
