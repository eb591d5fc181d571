"""Which topology a job gets: candidates, bounds and memory, the search among them, the probe before it."""
