"""Jobs that are handed to a cluster's job server, and what is left of one that was refused."""
