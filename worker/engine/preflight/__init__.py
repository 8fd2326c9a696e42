"""Preflight: in seconds, what a model is and what each method would make of it."""
