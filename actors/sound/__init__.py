"""The mix of a film: its tracks read, made louder or quieter, and added, a second at a time."""
