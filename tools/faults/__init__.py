"""Faults that are tried against a render, and whether it survives them: `python -m tools.faults`."""
