"""Datasets: how uploaded samples are read, checked against a model, and split."""
