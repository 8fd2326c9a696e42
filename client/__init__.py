"""The onnxpress client: a small SDK over the HTTP API."""
