"""How long tasks take and how large models are, before and after they were measured."""
