"""Trains the bundled tiny LTX model on procedural clips. See `python -m tools.train_tiny --help`."""
