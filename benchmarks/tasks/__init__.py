"""The labelled tasks that the benchmark's models are scored on."""
