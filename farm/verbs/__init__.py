"""What `farm status`, `why`, `pause`, `resume`, `cancel`, `retry` and `verify` do.

Functions over a run directory that return plain results: they need neither Ray nor a running driver, and the
command line only prints what they return. An unknown job is a UsageError that names the nearest ones.
"""
