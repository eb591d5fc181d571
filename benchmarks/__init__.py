"""Benchmarks: quality of the bundled model and speed of the farm."""
