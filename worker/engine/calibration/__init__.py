"""Calibration: the ranges of activations, from one streaming pass over the samples."""
