"""Preparing a model, so that every pass finds its weights: one module per rewrite."""
