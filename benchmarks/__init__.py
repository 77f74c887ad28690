"""Measurements, each of them a module: `python -m benchmarks.NAME --help`."""
