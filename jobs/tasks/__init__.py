"""From a plan to stage tasks: graph, digests, duplicates, retention, retries, topologies."""
