"""Runs one engine call in a fresh, limited child process."""
