"""Who renders the same job, each in its own way."""
