"""From a checked spec to the plan: every chunk with its frames, seeds and parameters. Pure."""
