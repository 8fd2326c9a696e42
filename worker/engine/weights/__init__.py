"""Storing weights in few bits: which there are, on which grid, rounded how, written how."""
