"""What device memory workers need, and what they do where it is short."""
