"""The onnxpress service: HTTP API, tables, storage and queue."""
