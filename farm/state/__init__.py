"""What is known of a job, on disk and in its events: state, log, progress, fingerprint, requests."""
