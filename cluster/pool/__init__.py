"""A pool of workers: processes, what is handed to them, what is heard of them, payloads between them."""
