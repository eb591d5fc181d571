"""The plain worker: one process, one device, one engine. It knows nothing of Ray."""
