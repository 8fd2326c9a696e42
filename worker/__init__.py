"""The onnxpress worker: Celery tasks, sandboxed child processes and the compression engine."""
