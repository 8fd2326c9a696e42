"""Compressing one model by one engine's method, and measuring what came out."""
